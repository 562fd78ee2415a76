"""What tests of series share."""

import pytest

from proxy.service.series import watched


@pytest.fixture
def on_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what is due at some time between two be due at the later one."""
    monkeypatch.setattr(watched, "_EARLIEST", 1.0)
    monkeypatch.setattr(watched, "_LATEST", 1.0)
