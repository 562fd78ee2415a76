"""What earlier releases promised holds still. `promises` writes it down, as a step of each release; see docs/releases.md."""

import json
import re
from collections.abc import Mapping

import pytest

from proxy import __version__
from proxy.config import load
from tests.release.promises import EXAMPLE, KEPT, promised

RELEASES = sorted(path.stem for path in KEPT.glob("*.json"))
# What may stand in a place at one time and something else at another: nothing is known of its type then.
UNKNOWN = {"null", "empty"}


def lacks(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return the fields that are gone, or have another type. More may have come."""
    begun = {name for name, kind in then.items() if kind in UNKNOWN}
    return [
        name
        for name, kind in then.items()
        if (name not in now and not (name in begun and any(other.startswith(name) for other in now)))
        or (name in now and kind != now[name] and not UNKNOWN & {kind, now[name]})
    ]


@pytest.mark.parametrize("release", RELEASES)
async def test_what_was_promised(release: str) -> None:
    """Every setting is there, and every field of what `/admin/` says, with its type."""
    then, now = json.loads((KEPT / f"{release}.json").read_text()), await promised()
    assert set(then["settings"]) <= set(now["settings"])
    assert then["admin"].keys() <= now["admin"].keys()
    for path, form in then["admin"].items():
        assert lacks(form, now["admin"][path]) == [], path


@pytest.mark.parametrize("release", RELEASES)
def test_old_settings_are_understood(release: str) -> None:
    """The file that came with a release, with every setting in it, is no fault."""
    load(KEPT / f"{release}.toml", {})


def test_what_is_promised_is_written_down() -> None:
    """For this version, too, so that it isn't forgotten when it is released."""
    assert __version__ in RELEASES
    load(EXAMPLE, {})


def test_what_is_gone_is_noticed() -> None:
    """The comparison itself."""
    then = {"a.b": "number", "c": "null", "d": "empty", "e": "string"}
    assert lacks(then, then) == []
    assert lacks(then, {**then, "a.b": "null", "c": "string", "more": "number"}) == []
    assert lacks(then, {**then, "a.b": "string"}) == ["a.b"]
    assert lacks(then, {name: kind for name, kind in then.items() if name != "e"}) == ["e"]
    assert lacks({"d": "empty"}, {"d[].x": "number"}) == []
    assert lacks({"d": "empty"}, {}) == ["d"]


def test_the_notes() -> None:
    """They begin with what is not released yet; each release has its date, the latest first."""
    notes = (EXAMPLE.parents[1] / "CHANGELOG.md").read_text()
    first, *others = [line.removeprefix("## ") for line in notes.splitlines() if line.startswith("## ")]
    assert first == "[Unreleased]"
    found = [re.fullmatch(r"\[(\d+)\.(\d+)\.(\d+)\] - \d{4}-\d\d-\d\d", heading) for heading in others]
    versions = [tuple(map(int, one.groups())) for one in found if one is not None]
    assert len(versions) == len(others)
    assert versions == sorted(versions, reverse=True)
