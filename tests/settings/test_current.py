"""The settings that hold, and who follows them."""

from proxy.config import Config
from proxy.config.model import FreshnessSettings
from proxy.settings import Settings
from proxy.settings.reloads import Reloads
from tests.support.world import ManualClock


def test_who_follows() -> None:
    """They are called at once, and once for each switch, when the new settings hold already."""
    settings, seen = Settings(Config()), list[tuple[int, float]]()
    settings.follow(lambda: seen.append((settings.version, settings.now.freshness.running_s)))
    assert seen == [(0, 5.0)]
    for number in (1, 2):
        settings.switch(Config(freshness=FreshnessSettings(running_s=number)))
    assert seen == [(0, 5.0), (1, 1.0), (2, 2.0)]


def test_what_became_of_reloads() -> None:
    """A failure tells its faults, and keeps what a restart is needed for; a success says when the settings were read."""
    clock = ManualClock()
    reloads = Reloads(clock)
    began_s = clock.now_s()
    assert reloads.last.succeeded
    clock.advance(1)
    reloads.note_success(("server.listen",))
    clock.advance(1)
    reloads.note_failure(("no",))
    assert not reloads.last.succeeded
    assert reloads.last.left == ("server.listen",)
    assert (reloads.loaded_s, reloads.succeeded, reloads.failed) == (began_s + 1, 1, 1)
    reloads.note_success(())
    assert reloads.last.succeeded
    assert not reloads.last.left
