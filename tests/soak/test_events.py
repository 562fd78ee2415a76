"""The soak of event streams itself, for some seconds: that it runs and judges; its promises need its ten minutes."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.bench.report import Bound, Section
from tests.soak.events import __main__ as command
from tests.soak.events.judging import Memory, Run, judge
from tests.soak.events.listeners import Client
from tests.support.event_streams import Event

TINY = replace(
    command.Plan(), seconds=3, clients=4, pages=0, runs=2, metrics=2, runs_each=1, alone_s=1, warm_s=1, break_s=1, settling_s=1
)


async def test_streams_are_granted_and_tell() -> None:
    """Against real processes: streams that break off are taken up again, and nothing goes back."""
    section = await command.soak(TINY)
    assert all(len(row) == len(section.columns) for row in section.rows)
    held = {bound.promise.partition(":")[0]: bound.held for bound in section.bounds}
    assert held["every stream is granted"], str(section)
    assert held["no chart goes back"], str(section)
    assert held["no event is lost over breaks"], str(section)


def told(*throughs: int | None) -> Client:
    client = Client(number=1, charts=[("1", "loss")])
    client.counts["status 200"] += 1
    for through in throughs:
        client.note(Event(name="rows", id="b-1", data={"run": "1", "metric": "loss", "version": "v", "through": through}))
    return client


def a_run(*clients: Client, **changes: object) -> Run:
    run = Run(
        title="",
        alone_per_s=2,
        calls_per_s=2.1,
        clients=clients or [told(1, None, 2)],
        behind_s=[3.0] * 100,
        lost=[],
        before=Memory(rss_bytes=2**27, kept_bytes=2**20),
        after=Memory(rss_bytes=2**27 + 2**24, kept_bytes=2**20),
        cpu=0.1,
    )
    return replace(run, **changes)  # type: ignore[arg-type]  # fields by name


def missed(run: Run) -> list[str]:
    return [bound.promise for bound in judge(run).bounds if not bound.held]


def test_a_run_as_promised_holds_every_bound() -> None:
    """Also where the kernel tells nothing."""
    assert missed(a_run()) == []
    nothing = Memory(rss_bytes=None, kept_bytes=0)
    assert missed(a_run(before=nothing, after=nothing, cpu=None)) == []


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (a_run(calls_per_s=3.0), "asked as often"),
        (a_run(calls_per_s=0.0), "asked as often"),
        (a_run(lost=["client 1: loss"]), "lost"),
        (a_run(told(2, 1)), "goes back"),
        (a_run(replace(told(1), counts=Counter({"status 200": 1, "status 503": 1, "rows": 1}))), "granted"),
        (a_run(behind_s=[11.0]), "behind"),
        (a_run(behind_s=[]), "behind"),
        (a_run(after=Memory(rss_bytes=2**28, kept_bytes=0)), "memory"),
    ],
)
def test_every_promise_can_be_missed(run: Run, said: str) -> None:
    """Each kind of fault fails the bound that is about it."""
    assert [said in promise for promise in missed(run)] == [True]


@pytest.mark.parametrize(("held", "status"), [(True, 0), (False, 1)])
def test_a_missed_bound_is_the_exit_status(monkeypatch: pytest.MonkeyPatch, held: bool, status: int) -> None:
    """The command exits with 1 where a bound is missed."""
    plans: list[Sequence[float]] = []

    async def found(plan: command.Plan) -> Section:
        plans.append((plan.seconds, plan.clients))
        return Section(title="", columns=[], rows=[], bounds=[Bound(promise="", measured="", held=held)])

    monkeypatch.setattr(command, "soak", found)
    assert command.main(["--minutes", "1", "--clients", "7", "--pages", "0"]) == status
    assert plans == [(60, 7)]
