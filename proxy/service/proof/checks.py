"""Whether the upstream still answers by the rule that answers are computed with. Nothing is computed while it doesn't.

Two checks look at the rule (`service.proof.comparing` has them):

- The **shadow** compares a computed answer with the upstream's own: every `shadow_s` seconds while anything is computed,
  sampled answers and windows in turns, and at once where an answer of the upstream's own was another one than would have been
  computed.
- The **canary** asks for a series of more than 1,000 rows in several ways, every ten minutes.

What the shadow found broken must itself be right again before anything is computed. Where the canary found the rule broken, or
nothing is left to compare, any series that somebody asks for may tell that it holds again.
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import replace

import structlog

from proxy.clock import Clock
from proxy.core.lone_surrogates import LoneSurrogates
from proxy.core.proof.stretch import part_in_full
from proxy.core.series.extents import Extents
from proxy.core.series.joining import narrowed
from proxy.core.series.metrics_query import MetricsQuery
from proxy.core.series.recipes import Computed
from proxy.errors import UpstreamError
from proxy.service.knowledge.shelves import Shelves
from proxy.service.proof.comparing import LEAST_ROWS, Comparer, Culprit, Finding, TellsNothing, answered
from proxy.settings import Settings
from proxy.tasks import end_tasks

CANARY_S = 600.0
# The next canary comes so long after one that told nothing (rows came meanwhile, the upstream failed), and while the rule is
# broken.
AGAIN_S = 300.0
# A shadow that is due waits so long at most for an answer of the kind whose turn it is, made of rows that have just come.
_PICKY_S = 10.0
# Where sampled answers and windows take turns, a comparison comes after this share of the usual time.
_SHARE = 0.75
# Answers that differ from the upstream's own are looked at no more often than this.
_SUSPICION_S = 5.0
# What came so long ago at most needn't be asked for once more: a growing series has most likely stood still since.
_JUST_S = 0.5
# The canary has at most this share of the rows that an answer may hold.
_CANARY_SHARE = 0.45
_log = structlog.get_logger()


class Checks:
    """Says whether the rule holds, and sees to it that this is checked: one check at a time, in the background."""

    def __init__(self, comparer: Comparer, shelves: Shelves, clock: Clock, *, settings: Settings) -> None:
        self._comparer = comparer
        self._shelves = shelves
        self._clock = clock
        self._settings = settings
        # What the next comparison is of: a sampled answer (True), one that has all rows of a window (False), or any (None).
        self._turn: bool | None = None
        # Which of the two kinds came since the last comparison.
        self._met: set[bool] = set()
        self._next_canary_s = 0.0
        self._again_s = AGAIN_S
        self._next_shadow_s = 0.0
        self._next_suspicion_s = 0.0
        self._running: asyncio.Task[None] | None = None
        # The series that the canary asks for, and the upstream's answer about it where that has just come.
        self._canary: MetricsQuery | None = None
        self._canary_answer: bytes | None = None
        # What the shadow found broken.
        self._culprit: Culprit | None = None
        self.passed = 0
        """How many checks found that the rule holds."""
        self.failed = 0
        """How many checks found the rule broken."""
        settings.follow(self._renew)

    def _renew(self) -> None:
        self._next_shadow_s = min(self._next_shadow_s, self._clock.monotonic_s() + self._shadow_s)

    @property
    def _shadow_s(self) -> float:
        """Seconds between two comparisons while anything is computed; 0: there are none."""
        return self._settings.now.series.shadow_s

    @property
    def trusted(self) -> bool:
        """Whether the rule holds, as far as anybody knows: nothing is computed otherwise."""
        return self._shelves.is_open

    def note(self, extents: Extents) -> None:
        """Take notice of complete series: one of them may serve as the canary."""
        now_s = self._clock.monotonic_s()
        if now_s < self._next_canary_s or not self._idle or (extents.question.first, extents.question.last) != (0, None):
            return
        lengths = {name: len(extent.rows) for name, extent in extents.by_name.items()}
        longest = max(lengths, key=lengths.__getitem__, default="")
        if longest and lengths[longest] > LEAST_ROWS:
            full = replace(extents.question.in_full, name=longest)
            # Of a series that one answer cannot prove whole a part is asked for.
            most = _CANARY_SHARE * full.limit
            part = None if lengths[longest] <= most else part_in_full(narrowed(extents, full), int(most))
            self._canary = part or full
            just_come = self._clock.now_s() - extents.tail_asked_s < _JUST_S
            self._canary_answer = answered(extents, self._canary) if just_come else None
            self.check_again()

    def check_again(self, question: MetricsQuery | None = None) -> None:
        """Begin the canary, or check again what the shadow found broken, unless that was done a moment ago.

        Nothing else leads back to trust. `question`: what somebody asks for, whose series becomes the canary's where it has
        none.
        """
        now_s = self._clock.monotonic_s()
        if now_s < self._next_canary_s or not self._idle:
            return
        if self._culprit is None and self._canary is None and question is not None and question.name is not None:
            self._canary = question.in_full
        if self._culprit is not None:
            check = self._conclude(self._comparer.recheck(self._culprit), check="again")
        elif self._canary is not None:
            check = self._run_canary(self._canary)
        else:
            return
        self._next_canary_s = now_s + self._again_s
        # A series that grows all the time may never stand still for a check: it is asked less and less often.
        self._again_s = min(2 * self._again_s, CANARY_S) if self.trusted else AGAIN_S
        self._start(check)

    def compare(self, question: MetricsQuery, computed: Computed, extents: Extents, *, sampled: bool) -> None:
        """Perhaps compare an answer computed from extents with the upstream's own, in the background.

        `sampled`: whether it lacks rows of its window.
        """
        now_s = self._clock.monotonic_s()
        self._met.add(sampled)
        if not self._shadow_s or now_s < self._next_shadow_s or not self._idle:
            return
        # What is made of older rows most likely differs, and then takes two more calls.
        late_s = now_s - self._next_shadow_s
        just = self._clock.now_s() - computed.tail_asked_s <= _JUST_S or late_s >= _PICKY_S / 2
        if (just and self._turn in {None, sampled}) or late_s >= _PICKY_S:
            self._turn = None if self._met == {sampled} else not sampled
            self._met.clear()
            # Both kinds are to be looked at within a minute.
            share = 1.0 if self._turn is None else _SHARE
            self._next_shadow_s = now_s + share * self._shadow_s
            self._start(self._conclude(self._comparer.shadow_closed(question, computed, extents), check="shadow"))

    def suspect(self, question: MetricsQuery, computed: bytes, source: MetricsQuery) -> None:
        """Take notice that the upstream's answer is another one than would have been computed: check that at once.

        `computed` is the body that would have been computed, from what is known of the question `source`.
        """
        if self.is_curious:
            self._next_suspicion_s = self._clock.monotonic_s() + _SUSPICION_S
            self._next_shadow_s = self._clock.monotonic_s() + self._shadow_s
            self._start(self._conclude(self._comparer.shadow(question, computed, source), check="shadow"))

    @property
    def is_curious(self) -> bool:
        """Whether an answer of the upstream's own is worth a comparison now."""
        return self.trusted and self._idle and bool(self._shadow_s) and self._clock.monotonic_s() >= self._next_suspicion_s

    async def settled(self) -> None:
        """Wait until the check under way is done."""
        if self._running is not None:
            await asyncio.wait([self._running])

    async def aclose(self) -> None:
        """End the check under way."""
        await end_tasks([self._running])

    @property
    def _idle(self) -> bool:
        return self._running is None or self._running.done()

    def _start(self, check: Coroutine[None, None, None]) -> None:
        self._running = asyncio.get_running_loop().create_task(self._guarded(check), name="checks.run")

    async def _guarded(self, check: Coroutine[None, None, None]) -> None:
        try:
            await check
        except UpstreamError as exc:
            _log.info("series.check_failed", code=exc.code)
        except TellsNothing:
            self._canary = self._culprit = None
        except LoneSurrogates:
            self._canary = self._culprit = None  # nothing is computed from such answers, so they tell nothing
        except ValueError as exc:
            self._judge(False, check="layout", reason=str(exc))

    async def _run_canary(self, full: MetricsQuery) -> None:
        before, self._canary_answer = self._canary_answer, None
        holds = await self._comparer.canary(full, before, trusted=self.trusted)
        if holds is None:
            return
        if self._judge(holds, check="canary"):
            self._next_canary_s, self._again_s = self._clock.monotonic_s() + CANARY_S, AGAIN_S
        else:
            self._canary = None  # perhaps not all of it is sent: another one may tell better

    async def _conclude(self, comparison: Coroutine[None, None, Finding], *, check: str) -> None:
        """Wait for a comparison of the shadow's, and draw the conclusions."""
        finding = await comparison
        self._culprit = finding.culprit
        if finding.holds is not None:
            self._judge(finding.holds, check=check)

    def _judge(self, holds: bool, *, check: str, reason: str = "") -> bool:
        self.passed += holds
        self.failed += not holds
        if not holds:
            _log.error("series.rule_broken", check=check, reason=reason)
        elif not self.trusted:
            _log.warning("series.rule_holds_again", check=check)
        if self.trusted and not holds:
            self._shelves.close()
        elif holds and check != "shadow":
            self._shelves.reopen()
        return holds
