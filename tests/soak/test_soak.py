"""The soak itself, for a few seconds: that it runs and what clients see; its figures need its two minutes."""

from dataclasses import replace

import pytest

from tests.bench.report import Bound, Section
from tests.soak import __main__ as command
from tests.soak.clients import Seen
from tests.soak.judging import Run, Sample, excess, judge, most_within, percentile

SHORT = command.Plan(seconds=8, clients=10, questions=40, period_s=1, limit_per_s=20, latency_ms=5, settling_s=2)


async def test_clients_see_neither_errors_nor_429s() -> None:
    """Against real processes, told the limit and not: once everything has been asked, nobody sees an error."""
    sections = await command.run(SHORT, list(command.VARIANTS))
    assert [section.title for section in sections] == [variant.title for variant in command.VARIANTS.values()]
    for section in sections:
        errors, refused, *_ = section.bounds
        assert errors.held, str(section)
        assert refused.held, str(section)


def good(at_s: float = 90.0, **changes: object) -> Seen:
    seen = Seen(began_s=at_s, wait_s=0.01, status=200, age_s=30, cache_status="pluto-proxy; hit; ttl=1", had_copy=True)
    return replace(seen, **changes)  # type: ignore[arg-type]  # fields by name


def a_run(
    *seen: Seen, told: bool = True, even: bool = False, arrived_s: "list[float] | None" = None, early: int = 0, refused: int = 0
) -> Run:
    arrived_s = [number / 5 for number in range(600)] if arrived_s is None else arrived_s
    samples = [
        Sample(at_s=at_s, calls=sum(arrived <= at_s for arrived in arrived_s), refused=gone, pace_per_s=5, waiting=0)
        for at_s, gone in ((0.0, 0), (10.0, early), (60.0, early), (120.0, early + refused))
    ]
    return Run(
        title="",
        limit_per_s=5,
        told=told,
        even=even,
        began_s=0,
        seconds=120,
        settling_s=10,
        seen=[good(), *seen],
        arrived_s=arrived_s,
        samples=samples,
    )


def missed(run: Run) -> list[str]:
    return [bound.promise for bound in judge(run).bounds if not bound.held]


@pytest.mark.parametrize("told", [True, False])
def test_a_run_as_promised_holds_every_bound(told: bool) -> None:
    """What went wrong in the first half is told and not judged, but for a 429."""
    early = [good(10, status=503), good(10, age_s=99), good(10, wait_s=20), good(90, wait_s=9, had_copy=False)]
    burst = [5.01, *(number / 5 for number in range(600))]
    assert missed(a_run(*early, told=told, arrived_s=burst, early=3)) == []
    assert missed(a_run(even=True)) == []


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (a_run(good(status=503)), "error"),
        (a_run(good(40, status=504, wait_s=25, had_copy=False)), "error"),
        (a_run(good(status=0)), "error"),
        (a_run(good(10, status=429)), "429"),
        (a_run(good(age_s=60)), "older"),
        (a_run(*[good(wait_s=1.6)] * 2), "99 %"),
        (a_run(arrived_s=[number / 5.3 for number in range(600)]), "no more than"),
        (a_run(arrived_s=sorted([*(number / 5 for number in range(600)), 90.05])), "no more than"),
        (a_run(even=True, arrived_s=[5.01, *(number / 5 for number in range(600))]), "no more than"),
        (a_run(refused=1), "no 429s"),
        (a_run(even=True, early=1), "no 429s"),
        (a_run(told=False, refused=11), "fewer than"),
        (a_run(told=False, arrived_s=[number / 3 for number in range(360)]), "settles"),
    ],
)
def test_every_promise_can_be_missed(run: Run, said: str) -> None:
    """Each kind of fault fails the bound that is about it, and no other."""
    (promise,) = missed(run)
    assert said in promise


def test_the_measures() -> None:
    """Of ordered moments: the most within a stretch, and the worst excess over a rate; the nearest rank of values."""
    assert most_within([], 1) == 0
    assert most_within([0, 0.5, 1, 1.2, 1.4], 1) == 4
    assert excess([], 5) == 0
    assert excess([number / 5 for number in range(50)], 5) == pytest.approx(0)
    assert excess([0, 1, 1, 1, 2], 1) == 2
    assert percentile([], 0.99) == 0
    assert [percentile(list(range(1, 201)), share) for share in (0.5, 0.99, 1)] == [100, 198, 200]


@pytest.mark.parametrize(("held", "status"), [(True, 0), (False, 1)])
def test_a_missed_bound_is_the_exit_status(monkeypatch: pytest.MonkeyPatch, held: bool, status: int) -> None:
    """The command exits with 1 where a bound is missed, and takes its length from the command line."""
    plans: list[command.Plan] = []

    async def found(plan: command.Plan, _names: "list[str]") -> list[Section]:
        plans.append(plan)
        return [Section(title="", columns=[], rows=[], bounds=[Bound(promise="", measured="", held=held)])]

    monkeypatch.setattr(command, "run", found)
    assert command.main(["--seconds", "3", "--only", "told"]) == status
    assert plans == [replace(command.Plan(), seconds=3)]
