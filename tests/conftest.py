"""What holds for every test: no test fails because the machine is busy."""

import os
from asyncio import AbstractEventLoop
from collections.abc import Callable, Mapping

from hypothesis import HealthCheck, settings

from tests.support.patient_loop import PatientLoop

# How long an example takes is the machine's affair.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

# No test talks to anybody outside. To read whom the system believes takes a fifth of what it takes to start a proxy.
os.environ["SSL_CERT_FILE"] = os.devnull


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], AbstractEventLoop]]:
    """Run every asynchronous test on an event loop whose timeouts don't run out while the machine does something else."""
    return {"patient": PatientLoop}
