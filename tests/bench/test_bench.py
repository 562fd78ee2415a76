"""The bench itself, with tiny numbers: that it runs and what it tells, not how fast anything is."""

from collections.abc import AsyncIterator, Sequence
from itertools import repeat
from pathlib import Path

import pytest

from proxy.core.freshness.entry import Coding
from tests.bench import __main__ as command
from tests.bench.contestants import Bare, Case
from tests.bench.exchange import UnexpectedError
from tests.bench.hits import cases
from tests.bench.load import Expected, poll
from tests.bench.processes import Server, serving
from tests.bench.report import Bound, Section
from tests.bench.start import dependencies
from tests.bench.watched import gaps
from tests.bench.world import Plan

TINY = Plan(
    rounds=1,
    seconds=0.04,
    warm_up_s=0.02,
    connections=4,
    more_connections=6,
    misses=20,
    herd=40,
    answers=60,
    large=1,
    starts=1,
    cache_bytes=2**20,
    metrics=2,
    panels=2,
    viewers=2,
    replay_s=1,
    finished=1,
    lengths=(1_000, 2_000),
    load_s=5,
    looks=3,
    charted=2,
    charted_rows=3_000,
    cpu_rounds=1,
    cpu_s=0.1,
    polled=200,
    polled_s=0.5,
    fronts=("pluto-proxy",),
)
SMALL_CASE = Case(points=20, coding=Coding.IDENTITY)


@pytest.fixture
async def bare(tmp_path: Path) -> AsyncIterator[Server]:
    async with serving(tmp_path, "tests.bench.bare", "asyncio", cpu=None) as server:
        yield server


async def test_every_scenario_tells_what_it_found(capsys: pytest.CaptureFixture[str]) -> None:
    """All tables are printed with their bounds below the machine's kind; had anything been unexpected, it would have raised."""
    hits, misses, herd, memory, large, points, start, series, replay, stays, growth, view, page, cpu, polls = (
        sections
    ) = await command.run(TINY, list(command.SCENARIOS))
    assert len(hits.rows) == 2 * len(cases(TINY))
    assert len(hits.bounds) == 8
    assert [row[1] for row in misses.rows] == ["nothing", "pluto-proxy"] * 2
    assert len(misses.bounds) == 2
    assert herd.rows[0][1] == "1"
    assert [bound.held for bound in herd.bounds if "one upstream call" in bound.promise] == [True]
    assert len(memory.rows) == len(memory.bounds) <= 1
    assert len(large.rows) == 4
    assert len(large.bounds) == 6
    assert points.rows[0][0] == "10,000"
    assert len(start.rows) == len(start.bounds) == 2
    assert len(series.rows) == 7
    assert len(series.bounds) == 8
    assert [row[:2] for row in replay.rows] == [["plain", "pluto-proxy"], ["awkward", "pluto-proxy"]]
    # Of two viewers who ask for all their panels once.
    assert all(row[replay.columns.index("answers checked")] == "24" for row in replay.rows)
    assert [bound.held for bound in replay.bounds if "checked" in bound.promise] == [True, True]
    assert len(stays.rows) == 7
    assert [row[0] for row in growth.rows] == ["1,000", "2,000"]
    assert not any("not kept" in row[1] for row in growth.rows)
    assert len(view.rows) == 12
    assert len(view.bounds) == 4
    assert [row[0] for row in page.rows] in ([], ["1", "2"])
    assert len(cpu.rows) == 14
    assert ["replaced" in bound.promise for bound in cpu.bounds] == [True]
    assert [row[0] for row in polls.rows] == ["pluto-proxy"]
    assert all(len(row) == len(section.columns) for section in sections for row in section.rows)
    printed = capsys.readouterr().out
    assert printed.startswith("- machine: ")
    places = [printed.index(str(section)) for section in sections]
    assert places == sorted(places)


@pytest.mark.parametrize(
    "expected",
    [
        Expected(status=304, body_bytes=0),
        Expected(status=200, body_bytes=1),
        Expected(status=200, body_bytes=-1, marker=b"Cache-Status: pluto-proxy; hit"),
    ],
    ids=["status", "length", "marker"],
)
async def test_a_wrong_answer_ends_the_load(bare: Server, expected: Expected) -> None:
    """A status, a length or a head that isn't the expected one fails the run instead of being counted."""
    ready = await Bare(bare).prepare(SMALL_CASE)
    if expected.body_bytes < 0:
        expected = Expected(status=200, body_bytes=ready.expected.body_bytes, marker=expected.marker)
    with pytest.raises(UnexpectedError):
        await poll(bare.port, repeat(ready.request), expected, connections=2, seconds=0.05)


def test_gaps_are_told_apart(tmp_path: Path) -> None:
    """A gap counts as far as there was a CPU; those of before are none, and where nobody looked nothing counts."""
    told = tmp_path / "gaps"
    with pytest.raises(UnexpectedError, match="nobody looked"):
        gaps(told, 0.0)
    told.write_text("1.0 0.5 0.1\n2.0 0.25 0.125\n3.0 0.01 0.02\n")
    assert [gap.held_up_s for gap in gaps(told, 1.5)] == [0.125, 0.0]


def test_what_a_package_depends_on(tmp_path: Path) -> None:
    """Its own modules, the standard library, what isn't installed and the stand-in are left out."""
    (tmp_path / "standin").mkdir()
    (tmp_path / "standin" / "one.py").write_text("import yarl\n")
    (tmp_path / "one.py").write_text("import os, msgspec\nfrom proxy import core\nfrom aiohttp import web\nimport not_there\n")
    assert dependencies(tmp_path) == ["from aiohttp import web", "import msgspec"]


async def test_the_load_counts_every_answer(bare: Server) -> None:
    """The answers counted are all that came, on every connection at least one."""
    ready = await Bare(bare).prepare(SMALL_CASE)
    polled = await poll(bare.port, repeat(ready.request), ready.expected, connections=3, seconds=0.02)
    assert polled.answers >= 3
    assert polled.per_s > 0


@pytest.mark.parametrize(("held", "status"), [(True, 0), (False, 1)])
def test_a_missed_bound_is_the_exit_status(monkeypatch: pytest.MonkeyPatch, held: bool, status: int) -> None:
    """The command exits with 1 where a bound is missed, and with 0 where all are held."""

    async def found(_plan: Plan, _names: Sequence[str]) -> list[Section]:
        return [Section(title="", columns=[], rows=[], bounds=[Bound(promise="", measured="", held=held)])]

    monkeypatch.setattr(command, "run", found)
    assert command.main([]) == status


def test_something_unexpected_is_the_exit_status(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A run in which anything unexpected was answered exits with 1 and says what it was."""

    async def found(_plan: Plan, _names: Sequence[str]) -> list[Section]:
        raise UnexpectedError("a teapot")

    monkeypatch.setattr(command, "run", found)
    assert command.main(["--quick", "--only", "hits"]) == 1
    assert "a teapot" in capsys.readouterr().err
