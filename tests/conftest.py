"""What holds for every test: no test fails because the machine is busy."""

import os
from asyncio import AbstractEventLoop
from collections.abc import Callable, Iterator, Mapping

import pytest
from hypothesis import HealthCheck, settings

from proxy.store.sqlite import keeper
from tests.support.patient_loop import PatientLoop

# How long an example takes is the machine's affair.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

# No test talks to anybody outside. To read whom the system believes takes a fifth of what it takes to start a proxy.
os.environ["SSL_CERT_FILE"] = os.devnull


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], AbstractEventLoop]]:
    """Run every asynchronous test on an event loop whose timeouts don't run out while the machine does something else."""
    return {"patient": PatientLoop}


@pytest.fixture(scope="session", autouse=True)
def _patient_start() -> Iterator[None]:
    """Have a store that is opened be open, however long a busy disk takes: what is put before that would be dropped."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keeper, "START_TIMEOUT_S", 600.0)
        yield
