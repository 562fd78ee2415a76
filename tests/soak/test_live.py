"""The live soak itself, for two seconds: that it runs and judges; its promises need its ten minutes."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench.replay.judge import Judged, Verdict
from tests.bench.report import Bound, Section
from tests.soak.live import __main__ as command
from tests.soak.live.judging import Run, Sample, judge
from tests.soak.live.viewers import Seen

TINY = replace(command.shortened(command.Plan(), 2), runs=3, metrics=3, period_s=0.5)


async def test_every_answer_is_right() -> None:
    """Against real processes: no answer is wrong, too old or failed, and no call is refused."""
    section = await command.soak(TINY)
    assert all(len(row) == len(section.columns) for row in section.rows)
    held = {bound.promise.partition(":")[0]: bound.held for bound in section.bounds}
    assert held["every answer is a 200, from the beginning"], str(section)
    assert held["of a sample none is wrong, too old or failed"], str(section)
    assert held["no 429s there"], str(section)


def good(at_s: float = 90.0, **changes: object) -> Seen:
    seen = Seen(asked_s=at_s, wait_s=0.01, status=200, age_s=9, forwarded=False, detail="")
    return replace(seen, **changes)  # type: ignore[arg-type]  # fields by name


def sample(at_s: float, **changes: object) -> Sample:
    taken = Sample(at_s=at_s, rss_bytes=2**28, descriptors=20, cpu_s=1.0, delayed_s=0.0, entries_bytes=0.0, series_bytes=0.0)
    return replace(taken, **changes)  # type: ignore[arg-type]  # fields by name


def a_run(*seen: Seen, last: Sample | None = None, **changes: object) -> Run:
    run = Run(
        title="",
        rate_per_s=10,
        burst=20,
        began_s=0,
        warm_s=60,
        settled_s=100,
        ended_s=200,
        seen=[good(), *seen],
        judged=[Judged(verdict=Verdict.RIGHT), Judged(verdict=Verdict.BEHIND)],
        arrived_s=[*[0.0] * 20, *(number / 10 for number in range(1, 2000))],
        refused=0,
        samples=[sample(0), sample(100), last or sample(200)],
    )
    return replace(run, **changes)  # type: ignore[arg-type]  # fields by name


def missed(run: Run) -> list[str]:
    return [bound.promise for bound in judge(run).bounds if not bound.held]


def test_a_run_as_promised_holds_every_bound() -> None:
    """Who waited during the warm-up is told and not judged; memory may grow by what is kept."""
    early = good(10, forwarded=True, wait_s=5, age_s=30)
    kept = sample(200, rss_bytes=2**28 + 2**27, entries_bytes=2.0**26)
    assert missed(a_run(early, last=kept)) == []
    assert missed(a_run(last=sample(200, rss_bytes=None, descriptors=None, cpu_s=None, delayed_s=None))) == []


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (a_run(good(10, status=503)), "every answer is a 200"),
        (a_run(good(forwarded=True)), "waits for the upstream"),
        (a_run(good(50, forwarded=True, wait_s=15, age_s=0)), "waits"),
        (a_run(*[good(wait_s=0.06)] * 2), "p99"),
        (a_run(*[good()] * 200, good(wait_s=0.5)), "p99"),
        (a_run(good(age_s=10)), "older"),
        (a_run(judged=[Judged(verdict=Verdict.TOO_OLD)]), "sample"),
        (a_run(judged=[]), "sample"),
        (a_run(arrived_s=[0.0] * 24), "no more than"),
        (a_run(arrived_s=[number / 10.3 for number in range(2000)]), "no more than"),
        (a_run(refused=1), "429"),
        (a_run(last=sample(200, rss_bytes=2**28 + 2**27)), "memory"),
        (a_run(last=sample(200, descriptors=40)), "descriptors"),
    ],
)
def test_every_promise_can_be_missed(run: Run, said: str) -> None:
    """Each kind of fault fails the bound that is about it."""
    assert any(said in promise for promise in missed(run))
    assert len(missed(run)) <= 2


@pytest.mark.parametrize(("held", "status"), [(True, 0), (False, 1)])
def test_a_missed_bound_is_the_exit_status(monkeypatch: pytest.MonkeyPatch, held: bool, status: int) -> None:
    """The command exits with 1 where a bound is missed, and what is short is half warm-up."""
    plans: list[command.Plan] = []

    async def found(plan: command.Plan, *, log: Path | None) -> Section:
        assert log is None
        plans.append(plan)
        return Section(title="", columns=[], rows=[], bounds=[Bound(promise="", measured="", held=held)])

    monkeypatch.setattr(command, "soak", found)
    assert command.main(["--minutes", "1", "--runs", "7"]) == status
    assert plans == [replace(command.Plan(), seconds=60, runs=7, warm_s=30, settled_s=30)]
