"""The time never goes back while the process runs."""

import time

import pytest

from proxy.clock import SystemClock


def test_a_machine_clock_set_back_does_not_make_entries_younger(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a step back the time goes on at its own pace; a step forwards is followed."""
    machine = {"wall": 1000.0, "monotonic": 5.0}
    monkeypatch.setattr("proxy.clock.time.time", lambda: machine["wall"])
    monkeypatch.setattr("proxy.clock.time.monotonic", lambda: machine["monotonic"])
    system = SystemClock()
    assert system.now_s() == 1000
    machine.update(wall=400.0, monotonic=6.0)
    assert system.now_s() == 1001
    machine.update(wall=402.0, monotonic=8.0)
    assert system.now_s() == 1003
    machine.update(wall=2000.0, monotonic=9.0)
    assert system.now_s() == 2000


def test_what_is_read_for_each_request() -> None:
    """The other two clocks are the machine's own."""
    before = time.monotonic(), time.time()
    told = SystemClock().monotonic_s(), SystemClock().machine_s()
    after = time.monotonic(), time.time()
    assert all(early <= now <= late for early, now, late in zip(before, told, after, strict=True))
