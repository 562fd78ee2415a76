"""A fixture for every test that runs the proxy: the shared key never shows, whatever is logged or printed."""

from collections.abc import Iterator

import pytest

from tests.support.world import KEY


@pytest.fixture(autouse=True)
def _the_key_never_shows(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Whatever a test makes the proxy log or print, the key isn't in it."""
    yield
    captured = capfd.readouterr()
    assert KEY not in captured.out + captured.err
