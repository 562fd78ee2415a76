"""The series engine against the oracle, in every order of events that hypothesis thinks of.

`python -m tests.series_model --answers 200000` goes on until so many answers were checked, and tells how they came about.

A run grows at its end and behind it, gains names and groups, changes its rows; its upstream changes its step form or fails;
time passes; between, questions are asked of the running proxy, which is killed and started anew. What an answer's Age claims
must be so: the upstream could have given that answer at that moment, or one that is promised of live series
(`tests.series_model.promise`).
"""

import asyncio
import math
import sys
from collections.abc import Coroutine
from contextlib import ExitStack, suppress
from itertools import islice
from typing import Any
from unittest.mock import patch

import structlog
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from proxy.core.proof.limits import Limits
from proxy.core.series import chunks, compacting, deltas, metrics_query
from tests.series_model import long_rules, status_rules
from tests.series_model.long_rules import LONG_QUESTIONS
from tests.series_model.outcomes import from_chunks, from_extents, holds_chunks, longest, mixed, outcomes
from tests.series_model.promise import is_kept
from tests.series_model.restart_rules import RestartRules, target_of
from tests.support.oracle import Asked, Cap, How, Of, OracleRow, permitted
from tests.support.oracle_upstream import OracleUpstream, moment, row
from tests.support.patient_loop import PatientLoop
from tests.support.world import ManualClock, Reply

# Small enough that series of a dozen rows meet every threshold; 10,000 in earnest.
MOST = 20
CHUNKS = compacting.ChunkSizes(rows=3, open_rows=2)
# As little beside its rows as a chunk of 2,048 of them costs.
CHUNK_BYTES = 20
# So little that chunks, and sometimes shelves, leave memory; one that holds a long series, but not two; and plenty.
MEMORY_BYTES = (6_000, 9_000, 12_000, 2**28, 2**28)
FRESH_S, REVALIDATE_S, ERROR_S, NEGATIVE_S = 5.0, 5.0, 100.0, 5.0
# Short enough that all of a series is looked at again now and then.
REWRITE_CHECK_S, OVERLAP_S = 45.0, 8.0
NAMES = ("a", "\uffee", "\U0001f600")
GROUPS = ("", "g1", "g2")
# Permutations of ties grow fast; what isn't among the first of them is looked for no further.
_MOST_WAYS = 5_000
# So many seconds at most pass while something is asked that is to be answered within five.
_MOST_MOVED_S = 3.5
# Within so many seconds of an upstream that answers it is noticed that it sends less than before.
NOTICED_S = 60.0
CAPS = st.builds(
    Cap,
    of=st.sampled_from(Of),
    how=st.sampled_from(How),
    size=st.integers(3, MOST + 2) | st.integers(3, 3 * MOST),
)
QUESTIONS = st.builds(
    Asked,
    name=st.none() | st.sampled_from((*NAMES, *NAMES, "none")),
    group=st.none() | st.none() | st.sampled_from(GROUPS[1:]),
    limit=st.integers(1, 6) | st.integers(1, 24),
    first=st.just(0) | st.integers(0, 70),
    last=st.none() | st.integers(0, 70),
)


class SeriesModel(status_rules.StatusRules, long_rules.LongRules, RestartRules, RuleBasedStateMachine):
    """One run behind one proxy."""

    def __init__(self) -> None:
        super().__init__()
        self._runner = asyncio.Runner(loop_factory=PatientLoop)
        self._patches = ExitStack()
        self._patches.enter_context(patch.object(metrics_query, "MAX_LIMIT", MOST))
        self._patches.enter_context(patch.object(compacting, "SIZES", CHUNKS))
        self._patches.enter_context(patch.object(chunks, "_CHUNK_BYTES", CHUNK_BYTES))
        self._patches.enter_context(patch.object(deltas, "MAX_LIMIT", MOST))
        # So that few rows are too many for one answer, and small limits are worth it.
        self._patches.enter_context(patch.object(deltas, "_ROOM_ROWS", 1))
        self._patches.enter_context(patch.object(deltas, "_SPARE_ROWS", 0))
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("error"))
        self._quoted = False
        self._troubled = self._answered = False
        self._since_s = 0.0
        # How far time has moved while something was being asked.
        self._moved_s = self._asked_at_moved_s = 0.0
        # How long the calls have been under way that whoever asks next may join: an answer is as old as its call.
        self._under_way_s = 0.0
        # For how long the upstream has answered since it last began to keep to another cap.
        self._calm_s = math.inf
        # What happened, told where an answer is refused: hypothesis can't always play it again, since threads have their say.
        self._events: list[object] = []

    def _row(self, name: str, step: int, *, group: str, value: float, ago_s: float = 0) -> OracleRow:
        time = moment(self._upstream.clock.now_s() - ago_s)
        return row(name, step, group=group, quoted=self._quoted, value=value, time=time)

    def _put(self, rows: list[OracleRow]) -> None:
        self._upstream.put(rows)
        self._events.append([(one.name, one.group, one.step) for one in rows])

    def write(self, name: str, steps: list[int], value: float, *, apart_s: float = 0.0) -> None:
        """Write rows of a name's first group, for the rules of others: logged `apart_s` one after the other, and come now."""
        ago_s = [apart_s * (len(steps) - number) for number in range(1, len(steps) + 1)]
        self._put(
            [self._row(name, step, group="", value=value + step / 7, ago_s=s) for step, s in zip(steps, ago_s, strict=True)]
        )

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run something in the proxy's event loop."""
        return self._runner.run(coroutine)

    def move(self, seconds: float) -> None:
        """Let time pass while something is being asked: in all not so much that a deadline is over."""
        if self._moved_s + seconds > self._asked_at_moved_s + _MOST_MOVED_S:
            return
        self._running.advance(seconds)
        self._moved_s += seconds
        self._events.append(f"{seconds} s passed meanwhile")

    @initialize(
        # The default as often as all others.
        rows_bound=st.sampled_from([30, 200, 50_000, 50_000]),
        swr=st.sampled_from([0.0, REVALIDATE_S]),
        call_cost=st.sampled_from([0, 5, 15, 2000]),
        cap=st.none() | CAPS,
        memory=st.sampled_from(MEMORY_BYTES),
        long=st.sampled_from([0, 0, 30, 70]),
    )
    def begin(self, rows_bound: int, swr: float, call_cost: int, cap: Cap | None, memory: int, long: int) -> None:
        self._swr_s = swr
        self._events.append(f"{rows_bound=} {swr=} {call_cost=} {cap=} {memory=} {long=}")
        self._upstream = OracleUpstream(clock=ManualClock())
        self._upstream.note()
        self._upstream.keep_to(cap)
        for name in long_rules.LONG if long else ():
            self.write(name, [*range(long)], 0, apart_s=2)
        self.start(
            series__max_fetch_rows=rows_bound,
            series__memory_bytes=memory,
            series__rewrite_check_s=REWRITE_CHECK_S,
            series__overlap_s=OVERLAP_S,
            series__call_cost_rows=call_cost,
            freshness__running_s=FRESH_S,
            freshness__stale_while_revalidate_s=swr,
            freshness__stale_if_error_s=ERROR_S,
            freshness__stale_if_error_ended_s=ERROR_S,
            freshness__stale_wait_s=4,
            upstream__deadline_s=5,
            limits=Limits(),
            **status_rules.SETTINGS,
        )

    def teardown(self) -> None:
        try:
            self.end()
        finally:
            # Other tests must not find it as the model has it.
            self._runner.close()
            self._patches.close()
            structlog.reset_defaults()

    @rule(name=st.sampled_from(NAMES), group=st.sampled_from(GROUPS), count=st.integers(1, 14), gap=st.integers(1, 9))
    def grow(self, name: str, group: str, count: int, gap: int) -> None:
        """Rows at the end of a name, in one group."""
        last = max((step for of, _, step in self._upstream.rows if of == name), default=-1)
        steps = (last + gap * number for number in range(1, count + 1))
        # Logged every two seconds, and come all at once.
        ago_s = [2.0 * (count - number) for number in range(1, count + 1)]
        self._put([self._row(name, step, group=group, value=step / 7, ago_s=s) for step, s in zip(steps, ago_s, strict=True)])

    @rule(name=st.sampled_from(NAMES), group=st.sampled_from(GROUPS), step=st.integers(0, 60), value=st.integers())
    def write_anywhere(self, name: str, group: str, step: int, value: int) -> None:
        """A row late, written again, or at a step that another group has."""
        self._put([self._row(name, step, group=group, value=value)])

    @rule(name=st.sampled_from(NAMES), really=st.integers(0, 3))
    def forget(self, name: str, really: int) -> None:
        """A name is deleted, now and then."""
        if really:
            return
        for place in [place for place in self._upstream.rows if place[0] == name]:
            del self._upstream.rows[place]
        self._upstream.note()
        self._events.append(f"forgot {name}")

    @rule(really=st.integers(0, 3))
    def change_step_form(self, really: int) -> None:
        """From now on steps are written in the other form, old rows as well; now and then."""
        if really:
            return
        self._quoted = not self._quoted
        self._put([self._row(one.name, one.step, group=one.group, value=one.step / 3) for one in self._upstream.rows.values()])

    @rule(name=st.sampled_from(NAMES), group=st.sampled_from(GROUPS), calls=st.integers(0, 3), count=st.integers(1, 3))
    def grow_meanwhile(self, name: str, group: str, calls: int, count: int) -> None:
        """Rows come at the end of a name after one of the next answers."""
        self._upstream.meanwhile = [*[lambda: None] * calls, lambda: self.grow(name, group, count, 1)]
        self._events.append(f"after {calls} answers:")

    @rule(cap=st.none() | CAPS, really=st.integers(0, 2))
    def keep_to(self, cap: Cap | None, really: int) -> None:
        """The upstream silently sends less than before, or as it should, now and then, and keeps to that for a while."""
        if really or self._calm_s <= NOTICED_S:
            return
        self._upstream.keep_to(cap)
        self._events.append(f"{cap}")
        self._calm_s = 0.0

    def pause(self, seconds: float) -> None:
        """Time passes, for the rules of others."""
        self.wait(seconds)

    def poll(self, asked: list[Asked]) -> None:
        """Some questions at once, for the rules of others."""
        self.run(self._ask(asked))

    @rule(seconds=st.sampled_from([0.5, 1, 3, 6, 6, 6, 9, 11, 50, 200]))
    def wait(self, seconds: float) -> None:
        """Time passes."""

        parts = self._running.parts
        calling = parts.series.deltas.in_flight or parts.fetching.fetcher.in_flight
        self._under_way_s = self._under_way_s + seconds if calling else 0.0

        async def advance() -> bool:
            """Tell whether what was to be confirmed is: a witness may have to wait for a cool-down, which the clock ends."""
            self._running.advance(seconds)
            with suppress(TimeoutError):
                async with asyncio.timeout(0.5):
                    await self._running.parts.proof.witnesses.settled()
                    return True
            return False

        self._calm_s += seconds if self.run(advance()) and not self._upstream.failing else 0.0
        self._since_s += seconds
        self._events.append(f"waited {seconds} s")
        # Failures are remembered for negative_s.
        self._troubled = self._troubled and not (self._answered and self._since_s > NEGATIVE_S)

    @rule(really=st.integers(0, 9))
    def fail_or_mend(self, really: int) -> None:
        """The upstream fails, now and then, or no longer."""
        if really and not self._upstream.failing:
            return
        self._upstream.failing = not self._upstream.failing
        self._events.append(f"failing: {self._upstream.failing}")
        self._troubled, self._answered, self._since_s = True, False, 0.0

    @rule(asked=st.lists(QUESTIONS | LONG_QUESTIONS, min_size=2, max_size=16))
    def ask(self, asked: list[Asked]) -> None:
        """Some questions at once."""
        self.run(self._ask(asked))

    @rule(
        asked=st.lists(QUESTIONS, min_size=1, max_size=4),
        between=st.lists(
            st.tuples(st.sampled_from(NAMES), st.sampled_from(GROUPS), st.integers(0, 3), st.integers(0, 9)),
            min_size=1,
            max_size=4,
        ),
        really=st.integers(0, 1),
    )
    def watch(self, asked: list[Asked], between: list[tuple[str, str, int, int]], really: int) -> None:
        """The same questions again and again, while the run goes on, as dashboards ask: every other time."""
        if really:
            return
        for name, group, count, late in between:
            self.run(self._ask(asked))
            self.wait(6)
            if count:
                self.grow(name, group, count, 1)
            if late == 0:
                last = max((step for of, _, step in self._upstream.rows if of == name), default=0)
                self.write_anywhere(name, group, max(0, last - count), late)
        self.run(self._ask(asked))

    async def _ask(self, asked: list[Asked]) -> None:
        before = self.moment(asked)
        self._asked_at_moved_s = self._moved_s
        asking = asyncio.gather(*(self._running.get(target_of(one)) for one in asked))
        slack_s = 0.0
        while not (await asyncio.wait([asking], timeout=0.5))[0]:
            # Somebody waits in the line behind a probe that failed, until a deadline that comes only if time passes.
            self._running.advance(1)
            slack_s += 1
            assert slack_s <= 12, f"nobody waits longer than the deadline or stale_wait_s: {asked}"
        replies = await asking
        for _ in range(1000):  # what waits for a cool-down to end is not waited for
            if not self._running.busy:
                break
            await asyncio.sleep(0)
        slack_s += self._moved_s - self._asked_at_moved_s
        for one, reply in zip(asked, replies, strict=True):
            self._events.append(f"{one}: {reply.status}, {_kind(reply)}, Age {reply.headers.get('Age')}, slack {slack_s} s")
        for one, reply in zip(asked, replies, strict=True):
            self._judge(one, reply, slack_s, (before, self.moment(asked)))
        # Until the upstream was seen to answer again, and for a moment after its probe, the proxy is entitled to hold back.
        if not self._upstream.failing and any("fwd-status=200" in reply.headers.get("Cache-Status", "") for reply in replies):
            self._answered = True

    def _judge(self, asked: Asked, reply: Reply, slack_s: float, moments: tuple[status_rules.Moment, ...]) -> None:
        now_s = self._upstream.clock.now_s()
        outcomes[_kind(reply)] += 1
        from_extents[_kind(reply)] += _made(reply) is not None or "X-Pluto-Complete-Through" in reply.headers
        from_chunks[_kind(reply)] += _made(reply) is not None and holds_chunks(self._running, asked)
        if reply.status != 200:
            assert self._troubled, (asked, reply.status, reply.body, self._events)
            return
        age_s = int(reply.headers["Age"])
        fresh_s = max(
            status_rules.longest_fresh_s(one, now_s, age_s, slack_s=slack_s + 1, running_s=FRESH_S) for one in moments
        )
        most_s = fresh_s + (ERROR_S if self._troubled else self._swr_s)
        if "fwd=" in reply.cache_status:
            most_s = max(most_s, self._under_way_s)
        assert age_s <= most_s + slack_s, (asked, age_s, moments, self._events)
        longest[_kind(reply)] = max(longest[_kind(reply)], age_s)
        states = self._upstream.states(now_s - age_s - 1 - slack_s, now_s - age_s)
        caps = self._upstream.caps_between(now_s - age_s - 1 - slack_s, now_s - age_s) | {None}
        if any(reply.body in islice(permitted(state, asked, cap), _MOST_WAYS) for state in states for cap in caps):
            return
        if self._calm_s <= NOTICED_S + age_s + slack_s:
            outcomes["too soon after another cap"] += 1
            return
        mixed[_kind(reply)] += 1
        oldest_s = max(REWRITE_CHECK_S, fresh_s) + age_s + slack_s + 1
        behind = self._upstream.states(now_s - age_s - oldest_s, now_s)
        tail = len(behind) - len(self._upstream.states(now_s - age_s - 1 - slack_s, now_s))
        if not is_kept(reply.body, asked, behind, tail=tail):
            sys.stderr.write("".join(f"{event}\n" for event in self._events))
            raise AssertionError(f"{asked}, Age {age_s}: {reply.body!r}")


def _kind(reply: Reply) -> str:
    if reply.status != 200:
        return "error"
    if "stale: " in reply.cache_status:
        return "stale"
    return _made(reply) or ("hit" if reply.is_hit else "asked")


def _made(reply: Reply) -> str | None:
    status = reply.headers.get("Cache-Status", "")
    return next((word for word in ("series", "delta", "window") if f'"{word}' in status), None)
