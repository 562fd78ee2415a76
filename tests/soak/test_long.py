"""The long soak itself, for two seconds: that it runs and judges; its promises need its five minutes."""

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.bench.growing.calls import Call, Kind, parameters_of, read_calls, target_of
from tests.bench.growing.questions import panels, zooms
from tests.bench.growing.series import Series
from tests.bench.replay.judge import Judged, Verdict
from tests.bench.replay.script import Question
from tests.bench.report import Bound, Section
from tests.soak.live.viewers import Seen
from tests.soak.long import __main__ as command
from tests.soak.long.judging import Run, judge
from tests.soak.long.panels import Look
from tests.soak.long.watching import Phase, Plan, Watched

TINY = Plan(rows=3_000, seconds=1.5, panels=6, period_s=0.5, zoom_s=0.1, load_s=5, latency_ms=5, rewrite_each_s=0.5)
SERIES = Series(start_s=0, rows=100_000)


async def test_every_answer_is_right() -> None:
    """Against real processes: a short series is loaded, no answer is wrong, too old or failed, and nobody waits after that."""
    section = await command.soak(TINY)
    assert all(len(row) == len(section.columns) for row in section.rows)
    held = {bound.promise.partition(":")[0]: bound.held for bound in section.bounds}
    assert held["every answer is what the upstream said"], str(section)
    assert not any("not loaded" in bound.measured for bound in section.bounds), str(section)


def good(**changes: object) -> Seen:
    seen = Seen(asked_s=90, wait_s=0.005, status=200, age_s=1, forwarded=False, detail="")
    return replace(seen, **changes)  # type: ignore[arg-type]  # fields by name


def a_look(*, disturbed_s: float | None = 0.0, **changes: object) -> Look:
    return Look(new=good(**changes), again=good(), disturbed_s=disturbed_s)


def calls(**counts: int) -> list[Call]:
    return [Call(kind=Kind[name], at_s=0, rows=1, body_bytes=1) for name, count in counts.items() for _ in range(count)]


def a_run(
    *,
    loading: Sequence[Call] = calls(WINDOW=100, PROBE=30, AS_ASKED=500),
    watching: Sequence[Call] = calls(TAIL=61, WINDOW=314, PROBE=33, AS_ASKED=11, STATUS=900),
    looks: Sequence[Look] = (a_look(),) * 10,
    polled: Sequence[Seen] = (),
    verdicts: Sequence[Verdict] = (Verdict.RIGHT, Verdict.BEHIND),
    file_bytes: int = 26_000_000,
    **changes: object,
) -> Run:
    """A run of five minutes that is just as promised, but for what is given."""
    watched = Watched(
        loaded=True,
        load_calls=100,
        loading=Phase(name="", seconds=20, polled=(), looks=(), calls=loading),
        watching=Phase(name="", seconds=300, polled=[good(), *polled], looks=looks, calls=watching),
        answers=(),
        told={"series_delta_calls_total": 61.0},
        series_bytes=41e6,
        entries_bytes=0,
        grown_bytes=None,
    )
    return Run(
        rows=1_000_000,
        rewrite_check_s=300,
        watched=replace(watched, **changes),  # type: ignore[arg-type]  # fields by name
        judged=[Judged(verdict=verdict) for verdict in verdicts],
        file_bytes=file_bytes,
    )


def missed(run: Run) -> list[str]:
    return [bound.promise for bound in judge(run).bounds if not bound.held]


def test_a_run_as_promised_holds_every_bound() -> None:
    """Where nobody knows whether the machine was disturbed, or it was, no time is held against the proxy."""
    assert missed(a_run()) == []
    assert missed(a_run(grown_bytes=10**9)) == []
    assert missed(a_run(looks=[a_look(wait_s=1, disturbed_s=None)] * 10)) == []
    assert missed(a_run(looks=[a_look(wait_s=1, disturbed_s=0.1)] * 10)) == []
    assert missed(a_run(looks=[a_look(wait_s=1)] * 4)) == []


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (a_run(verdicts=[Verdict.RIGHT, Verdict.WRONG]), "every answer"),
        (a_run(verdicts=[Verdict.RIGHT, Verdict.TOO_OLD]), "every answer"),
        (a_run(verdicts=[Verdict.RIGHT, Verdict.FAILED]), "every answer"),
        (a_run(verdicts=[]), "every answer"),
        (a_run(loading=calls(WINDOW=101, PROBE=31)), "is loaded"),
        (a_run(load_calls=101), "is loaded"),
        (a_run(loading=calls(WINDOW=99)), "is loaded"),
        (a_run(watching=calls(TAIL=62)), "call a lifetime"),
        (a_run(watching=calls(WINDOW=348)), "rotation"),
        (a_run(watching=calls(PROBE=348)), "rotation"),
        (a_run(watching=calls(AS_ASKED=12)), "comparison"),
        (a_run(looks=[*[a_look()] * 9, a_look(forwarded=True)]), "nobody waits"),
        (a_run(looks=[Look(new=good(), again=good(forwarded=True), disturbed_s=0)] * 5), "nobody waits"),
        (a_run(polled=[good(forwarded=True)]), "nobody waits"),
        (a_run(looks=[]), "nobody waits"),
        (a_run(looks=[*[a_look()] * 5, *[a_look(wait_s=0.008)] * 6]), "new form"),
        (a_run(series_bytes=41e6 + 1), "in memory"),
        (a_run(file_bytes=26_000_001), "on disk"),
    ],
)
def test_what_is_missed_is_told(run: Run, said: str) -> None:
    """Each bound by itself."""
    (promise,) = missed(run)
    assert said in promise


def test_what_was_not_loaded_misses_all_that_is_about_calls() -> None:
    """However few there were."""
    assert len(missed(a_run(loading=[], watching=[], loaded=False))) == 4


def test_a_call_is_known_by_its_question() -> None:
    """Whatever the order of its parameters, and with the limit that nobody says."""
    asked = Question(run=1, name="train/loss", first=5)
    told = [
        ("/api/runs/list", "projectName=demo", 0),
        ("/api/runs/metrics", "stepMin=5&limit=2000&logName=train%2Floss&projectName=demo&runId=1", 2_000),
        ("/api/runs/metrics", "runId=1&projectName=demo&limit=10000&stepMin=99900", 200),
        ("/api/runs/metrics", "runId=1&projectName=demo&limit=10000&stepMin=99000", 1_000),
        ("/api/runs/metrics", "runId=1&projectName=demo&limit=10000&stepMin=1&stepMax=9", 9),
        ("/api/runs/metrics", "runId=1&projectName=demo&limit=7&stepMin=5", 8),
    ]
    body = json.dumps(
        [{"path": path, "query": query, "rows": rows, "started_s": 1.0, "body_bytes": 2} for path, query, rows in told]
    ).encode()
    kinds = [call.kind for call in read_calls(body, {parameters_of(asked)}, tail_rows=700)]
    assert kinds == [Kind.STATUS, Kind.AS_ASKED, Kind.TAIL, Kind.WINDOW, Kind.WINDOW, Kind.PROBE]
    assert target_of(asked) == "/api/runs/metrics?limit=2000&logName=train/loss&projectName=demo&runId=1&stepMin=5"


@pytest.mark.parametrize("rows", [1, 3, 1_000, 1_000_000])
def test_questions_are_of_any_size(rows: int) -> None:
    """Panels and zooms ask within the series, each zoom something else."""
    series = replace(SERIES, rows=rows)
    shown, looks = panels(series, 20), [zoom for zoom, _ in zip(zooms(series), range(200), strict=False)]
    assert len(shown) == 20
    assert all((one.first or 1) >= 1 for one in (*shown, *looks))
    assert rows < 1_000 or len(set(looks)) == 200
    assert rows < 1_000 or all(one.last is None or one.last < rows for one in looks)


@pytest.mark.parametrize(("held", "status"), [(True, 0), (False, 1)])
def test_a_missed_bound_is_the_exit_status(monkeypatch: pytest.MonkeyPatch, held: bool, status: int) -> None:
    """The command exits with 1 where a bound is missed; what is given replaces the plan's."""
    plans: list[Plan] = []

    async def found(plan: Plan, **_: object) -> Section:
        plans.append(plan)
        return Section(title="", columns=[], rows=[], bounds=[Bound(promise="", measured="", held=held)])

    monkeypatch.setattr(command, "soak", found)
    assert command.main(["--rows", "5000", "--seconds", "7"]) == status
    assert plans == [replace(Plan(), rows=5_000, seconds=7)]
