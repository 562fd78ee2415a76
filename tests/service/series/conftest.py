"""What tests of series share."""

import pytest

from proxy.service.series import delta_planner


@pytest.fixture
def on_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what is due at some time between two be due at the later one."""
    monkeypatch.setattr(delta_planner, "_EARLIEST", 1.0)
    monkeypatch.setattr(delta_planner, "_LATEST", 1.0)
