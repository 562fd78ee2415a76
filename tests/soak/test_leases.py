"""The soak of the shortcut itself, for ten seconds: that it runs and judges; its promises need its ten minutes."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from email.utils import formatdate
from gzip import compress
from pathlib import Path
from typing import Any

import pytest

from proxy.standin import GrowthConfig
from tests.bench.replay.history import History
from tests.bench.replay.script import Question
from tests.bench.report import Bound, Section
from tests.soak.leases import __main__ as command
from tests.soak.leases.judging import PROMISES, Asked, Judge, Stretch
from tests.soak.leases.past import Absence, Past
from tests.soak.leases.reporting import Run, Sample, judge
from tests.soak.leases.truth import Truth
from tests.soak.leases.unrest import Often

TINY = replace(
    command.shortened(command.Plan(), 10),
    runs=2,
    metrics=2,
    ended=1,
    often=Often(revoked_s=1.5, purged_s=0.7, rotated_s=2, restarted_s=4, gone_s=1),
)
START_S = 1_790_000_000.0
LIVE, ENDED = 1001, 2001
GROWTH = GrowthConfig(live_runs=1, finished_runs=1, metrics=1, start_s=START_S, long_series_rows=0, uncommon=False)
QUESTIONS = (Question(run=LIVE, name="train/loss"), Question(run=ENDED, name="train/loss"))
NOW_S = START_S + 100.2
TAG = '"a"'


async def test_every_answer_is_right() -> None:
    """Against real processes: everything happens that ends leases, and every promise that takes no minutes is held."""
    section = await command.soak(TINY)
    assert all(len(row) == len(section.columns) for row in section.rows)
    assert [bound for bound in section.bounds if not bound.held and "memory" not in bound.promise] == [], str(section)


class World:
    """A judge, and an answer as it should be at NOW_S; what a test changes of it is what is wrong."""

    def __init__(self) -> None:
        self.past = Past()
        self.history = History(GROWTH, since_s=START_S, until_s=START_S + 200)
        self.truths = [Truth(self.history, question) for question in QUESTIONS]
        self.judge = Judge(self.past, QUESTIONS, self.truths, ended=frozenset({ENDED}), revoked="revoked")

    def body(self, *, place: int = 0, at_s: float = NOW_S - 2) -> bytes:
        return self.history.answer(QUESTIONS[place], at_s)

    def answer(
        self,
        *,
        status: int = 200,
        body: bytes | None = None,
        at_s: float = NOW_S,
        age_s: int = 2,
        ttl_s: int = 2,
        request_id: str | None = None,
        etag: str = TAG,
        dated_s: float | None = None,
        coding: str | None = None,
        **asked: object,
    ) -> list[str]:
        """Take in an answer, 10 ms after it was asked for; return which promises it missed."""
        before = Counter(self.judge.missed)
        given: dict[str, object] = {"place": 0, "token": "first", "asked_s": at_s, "purged_s": 0.0, **asked}
        fields = {
            "X-Request-ID": request_id or f"ab-{sum(self.judge.outcomes.values()):03x}",
            "Date": formatdate(int(at_s if dated_s is None else dated_s), usegmt=True),
            "Age": str(age_s),
            "ETag": etag,
            "Cache-Status": f"pluto-proxy; hit; ttl={ttl_s}",
            **({} if coding is None else {"Content-Encoding": coding}),
        }
        sent = self.body() if body is None else body
        self.judge.take(Asked(**given), at_s + 0.01, status, fields, sent)  # type: ignore[arg-type]  # fields by name
        return sorted((self.judge.missed - before).elements())


def named(*words: str) -> list[str]:
    """The promises that have one of these words."""
    return sorted(promise for promise in PROMISES if any(word in promise for word in words))


def test_right_answers_miss_nothing() -> None:
    """Plain, compressed, without a body before it is known, not modified, of an ended run, and with an id of its own."""
    world = World()
    assert world.answer(is_head=True, body=b"") == []
    assert world.answer() == []
    assert world.answer(status=304, body=b"", tag=TAG) == []
    assert world.answer(etag='"a-gzip"', body=compress(world.body()), coding="gzip") == []
    assert world.answer(place=1, age_s=99, ttl_s=3000, etag='"b"', body=world.body(place=1)) == []
    assert world.answer(own_id="mine", request_id="mine") == []
    assert [truth.judged for truth in world.truths] == [2, 1]
    assert world.judge.outcomes == Counter(hit=6)


@pytest.mark.parametrize(
    ("changes", "missed"),
    [
        ({"body": b'{"metrics":[]}'}, "upstream said"),
        ({"dated_s": NOW_S - 2}, "upstream said"),
        ({"age_s": 0}, "upstream said"),
        ({"status": 304, "tag": '"other"', "body": b""}, "upstream said"),
        ({"age_s": 4}, "older than promised"),
        ({"age_s": 10, "ttl_s": -6}, "older than promised"),
        ({"status": 500}, "status"),
        ({"status": 401}, "status"),
        ({"status": 503}, "status"),
        ({"own_id": "mine"}, "no id"),
    ],
)
def test_every_fault_is_told(changes: dict[str, Any], missed: str) -> None:
    """Each kind of fault misses the promise that is about it, and no other."""
    assert World().answer(**changes) == named(missed)


def test_what_is_known_by_its_tag_is_judged_again() -> None:
    """By its age each time; and another body under the same tag is another answer."""
    world = World()
    assert world.answer() == []
    assert world.answer(at_s=NOW_S + 3, age_s=1) == named("upstream said")
    assert world.answer(status=304, body=b"", tag=TAG, at_s=NOW_S + 3, age_s=1) == named("upstream said")
    assert world.answer(body=world.body(at_s=NOW_S - 3)) == named("upstream said")
    assert world.answer(is_head=True, body=b"", etag='"c"', at_s=NOW_S + 3, age_s=0) == []
    assert world.answer(etag='"c"', at_s=NOW_S + 3, age_s=5, ttl_s=0) == named("upstream said")


def test_a_purge_a_revocation_and_an_outage_count() -> None:
    """From when they were done; refusals and errors are allowed for as long as they may come."""
    world = World()
    assert world.answer(purged_s=NOW_S - 1, age_s=2) == named("purge", "upstream said")
    world.past.revocations.append(Absence(going_s=NOW_S, gone_s=NOW_S))
    assert world.answer(token="revoked", status=401, body=b"") == []
    assert world.answer(token="second", status=401, body=b"") == named("status")
    assert world.answer(token="revoked", at_s=NOW_S + 0.9, age_s=3, ttl_s=1) == []
    assert world.answer(token="revoked", at_s=NOW_S + 1.1, age_s=3, ttl_s=1) == named("revoked")
    assert world.judge.slowest_refusal_s == pytest.approx(1.1)
    world.past.revocations[0].coming_s = world.past.revocations[0].back_s = NOW_S + 2
    assert world.answer(token="revoked", at_s=NOW_S + 2.5, status=401, body=b"") == []
    assert world.answer(token="revoked", at_s=NOW_S + 3.5, status=401, body=b"") == named("status")
    world.past.outages.append(Absence(going_s=NOW_S))
    assert world.answer(status=502, body=b"") == []
    assert world.answer(age_s=12, ttl_s=-8, etag='"d"', body=world.body(at_s=NOW_S - 12)) == []


def test_an_id_comes_once() -> None:
    """An id that came before is told."""
    world = World()
    assert world.answer(request_id="ab-fff") == []
    assert world.answer(request_id="ab-fff") == named("no id")


def a_run(**changes: object) -> Run:
    run = Run(
        title="",
        settled_s=1,
        stretches=[Stretch(statuses=Counter({200: 5})), Stretch(statuses=Counter({200: 5}))],
        samples=[sample(0), sample(1), sample(2)],
        asked=10,
        broken=0,
        missed={},
        faults=[],
        slowest_refusal_s=0.4,
        outcomes={"hit": 10},
        judged=1,
        unjudged=0,
        counted={"hit": 10},
        told={"hit": 10.0},
        happened={"purges": 1},
    )
    return replace(run, **changes)  # type: ignore[arg-type]  # fields by name


def sample(at_s: float, **changes: object) -> Sample:
    taken = Sample(at_s=at_s, rss_bytes=2**27, descriptors=20, cpu_s=1.0)
    return replace(taken, **changes)  # type: ignore[arg-type]  # fields by name


def missed_by(run: Run) -> list[str]:
    return [bound.promise for bound in judge(run).bounds if not bound.held]


def test_a_run_as_promised_holds_every_bound() -> None:
    """Also where the kernel tells nothing."""
    assert missed_by(a_run()) == []
    nothing = [sample(at_s, rss_bytes=None, descriptors=None, cpu_s=None) for at_s in range(3)]
    assert missed_by(a_run(samples=nothing)) == []


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (a_run(asked=11), "every request is answered"),
        (a_run(broken=1), "every request is answered"),
        *[(a_run(missed={promise: 1}), promise) for promise in PROMISES],
        (a_run(told={"hit": 9.0}), "counted"),
        (a_run(told={"hit": 10.0, "miss": 1.0}), "counted"),
        (a_run(happened={"purges": 1, "rotations": 0}), "happened"),
        (a_run(samples=[sample(0), sample(1), sample(2, rss_bytes=2**27 * 1.1)]), "memory"),
        (a_run(samples=[sample(0), sample(1), sample(2, descriptors=40)]), "descriptors"),
    ],
)
def test_every_bound_can_be_missed(run: Run, said: str) -> None:
    """Each kind of fault fails the bound that is about it, and no other."""
    assert [said in promise for promise in missed_by(run)] == [True]


@pytest.mark.parametrize(("held", "status"), [(True, 0), (False, 1)])
def test_a_missed_bound_is_the_exit_status(monkeypatch: pytest.MonkeyPatch, held: bool, status: int) -> None:
    """The command exits with 1 where a bound is missed."""
    plans: list[Sequence[float]] = []

    async def found(plan: command.Plan, *, log: Path | None = None) -> Section:  # noqa: ARG001 -- as the command calls it
        plans.append((plan.seconds, plan.settled_s))
        return Section(title="", columns=[], rows=[], bounds=[Bound(promise="", measured="", held=held)])

    monkeypatch.setattr(command, "soak", found)
    assert command.main(["--minutes", "1"]) == status
    assert plans == [(60, 30)]
