"""What holds for every test: no test fails because the machine is busy."""

import os
from asyncio import AbstractEventLoop
from collections.abc import Callable, Iterator, Mapping

import pytest
from hypothesis import HealthCheck, settings

from proxy.store.sqlite import keeper
from tests.support.leases import leases_checked, leases_off
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


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take `--leases`: whether the web room's shortcut answers, never does, or is held against the ordinary way."""
    parser.addoption("--leases", choices=["on", "off", "checked"], default="on", help="see CONTRIBUTING.md")


def pytest_configure(config: pytest.Config) -> None:
    """Name the mark of tests that are about leases."""
    config.addinivalue_line("markers", "leases: about leases themselves; left out unless these answer (`--leases=on`)")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is about leases where there are none."""
    if config.getoption("--leases") != "on":
        for item in items:
            if item.get_closest_marker("leases"):
                item.add_marker(pytest.mark.skip(reason="it is about leases, which answer nothing here"))


@pytest.fixture(autouse=True)
def _leases(request: pytest.FixtureRequest) -> Iterator[None]:
    """Do what `--leases` says."""
    match request.config.getoption("--leases"):
        case "off":
            with leases_off():
                yield
        case "checked":
            with leases_checked() as different:
                yield
            assert not different
        case _:
            yield
