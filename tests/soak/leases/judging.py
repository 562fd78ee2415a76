"""Judges each answer: status, who asked, age, date, rows, id. Millions of them, so that what is known is looked up."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import lru_cache

from tests.bench.replay.script import Question
from tests.soak.leases.past import CLOCKS_S, Past
from tests.soak.leases.truth import Truth

# Lifetime, and with stale-while-revalidate; the longest lifetime of what has ended.
FRESH_S, OLDEST_S, ENDED_S = 5, 10, 3_600
# The outcomes as `/metrics` names them. Errors have names of their own, which no HEAD tells: they are one here.
REFUSED, FAILED = "unauthorized", "failed"
OUTCOMES = frozenset({"hit", "series", "stale", "collapsed", "miss", REFUSED})
_TTL = re.compile(r"ttl=(-?\d+)")
_BATCH_DIGITS = 3
_TOLD = 5
_ALLOWED = "every status is an allowed one"
_RIGHT = "every answer is what the upstream said when its Age says, and dated when it was given"
_AGE = f"none is older than promised: {FRESH_S} s where it is fresh, else {OLDEST_S} s while the upstream answers"
_REVOKED = "a revoked token is refused within a second"
_PURGED = "after a purge was confirmed no answer that was asked for before it"
_IDS = "no id comes twice, and who brings one gets it back"
PROMISES = (_ALLOWED, _RIGHT, _AGE, _REVOKED, _PURGED, _IDS)


@dataclass(slots=True, kw_only=True)
class Asked:
    """A request, sent at `asked_s`. `tag` and `own_id`: what it says it has, and the id that it brings.

    `purged_s`: the last purge of its run that was confirmed before it was sent. Moments are wall seconds.
    """

    place: int
    token: str
    asked_s: float
    purged_s: float
    is_head: bool = False
    tag: str | None = None
    own_id: str | None = None


@dataclass(slots=True, kw_only=True)
class Stretch:
    """What came in a stretch of time: how many by status, and how long a part of them took.

    `oldest_s`: the greatest age in seconds of answers about running runs while the upstream answered.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    oldest_s: int = 0
    waits_s: list[float] = field(default_factory=list)


class Judge:
    """Takes in all answers. `missed` has, by promise, how many missed it, and `told` the first of them."""

    def __init__(
        self, past: Past, questions: Sequence[Question], truths: Sequence[Truth], *, ended: frozenset[int], revoked: str
    ) -> None:
        """`ended`: the runs that have ended. `revoked`: the token that is revoked now and then."""
        self._past = past
        self._questions = questions
        self._truths = truths
        self._ended = ended
        self._revoked = revoked
        self._ids: dict[str, bytearray] = {}
        self._answers = 0
        self.missed: Counter[str] = Counter()
        self.told: list[str] = []
        self.outcomes: Counter[str] = Counter()
        self.by_token: Counter[str] = Counter()
        self.slowest_refusal_s = 0.0
        self.stretch = Stretch()

    def take(self, asked: Asked, answered_s: float, status: int, fields: Mapping[str, str], body: bytes) -> None:
        """Judge an answer."""
        self._answers += 1
        stretch = self.stretch
        stretch.statuses[status] += 1
        if not self._answers % 64:
            stretch.waits_s.append(answered_s - asked.asked_s)
        self._check_id(asked, fields["X-Request-ID"])
        dated_s = _seconds(fields["Date"])
        if not int(asked.asked_s - CLOCKS_S) <= dated_s <= answered_s + CLOCKS_S:
            self._miss(_RIGHT, f"dated {dated_s - asked.asked_s:.2f} s after it was asked")
        if status in {200, 304}:
            self._check_answer(asked, answered_s, status, fields, body)
        else:
            self._check_refusal(asked, answered_s, status, body)

    def _check_answer(self, asked: Asked, answered_s: float, status: int, fields: Mapping[str, str], body: bytes) -> None:
        past = self._past
        how, age_s, tag = fields["Cache-Status"], int(fields["Age"]), fields["ETag"]
        self.outcomes[_kind(how)] += 1
        self.by_token[asked.token] += 1
        if asked.token == self._revoked:
            if past.is_revoked(asked.asked_s, answered_s):
                self._miss(_REVOKED, f"{past.slow_to_refuse_s(asked.asked_s):.3f} s after it was revoked")
            self.slowest_refusal_s = max(self.slowest_refusal_s, past.slow_to_refuse_s(asked.asked_s))
        if status == 304 and tag != asked.tag:
            self._miss(_RIGHT, f"304 for {tag}, which the client hasn't")
        self._check_age(asked, answered_s, how, age_s)
        # What the answer was made of was asked for at this moment at the latest.
        sent_s = answered_s - age_s + CLOCKS_S
        if sent_s < asked.purged_s:
            self._miss(_PURGED, f"{asked.purged_s - sent_s:.2f} s before: {how}")
        from_s = max(asked.asked_s - age_s - 1 - CLOCKS_S, asked.purged_s - CLOCKS_S)
        fault = self._truths[asked.place].fault(
            tag,
            None if asked.is_head or status == 304 else body,
            is_packed="Content-Encoding" in fields,
            from_s=from_s,
            answered_s=answered_s + CLOCKS_S,
        )
        if fault:
            self._miss(_RIGHT, f"{fault}: {self._questions[asked.place]}, Age {age_s}, {how}")

    def _check_age(self, asked: Asked, answered_s: float, how: str, age_s: int) -> None:
        is_ended = self._questions[asked.place].run in self._ended
        found = _TTL.search(how)
        ttl_s = int(found[1]) if found else 0
        if ttl_s >= 0 and age_s + ttl_s > (ENDED_S if is_ended else FRESH_S):
            self._miss(_AGE, f"fresh, Age {age_s}, {how}")
        if is_ended or self._past.is_troubled(asked.asked_s, answered_s):
            return
        self.stretch.oldest_s = max(self.stretch.oldest_s, age_s)
        # Age is in whole seconds, rounded down.
        if age_s >= OLDEST_S:
            self._miss(_AGE, f"Age {age_s}, {how}")

    def _check_refusal(self, asked: Asked, answered_s: float, status: int, body: bytes) -> None:
        self.outcomes[REFUSED if status == 401 else FAILED] += 1
        if status == 401:
            allowed = asked.token == self._revoked and self._past.may_be_refused(asked.asked_s, answered_s)
        else:
            self.by_token[asked.token] += 1
            allowed = status in {502, 503, 504} and self._past.is_troubled(asked.asked_s, answered_s)
        if not allowed:
            self._miss(_ALLOWED, f"{status} for {asked.token}: {body[:300]!r}")

    def _check_id(self, asked: Asked, request_id: str) -> None:
        if asked.own_id is not None:
            if request_id != asked.own_id:
                self._miss(_IDS, f"brought {asked.own_id}, got {request_id}")
            return
        batch, number = request_id[:-_BATCH_DIGITS], int(request_id[-_BATCH_DIGITS:], 16)
        seen = self._ids.get(batch)
        if seen is None:
            seen = self._ids[batch] = bytearray(16**_BATCH_DIGITS)
        if seen[number]:
            self._miss(_IDS, request_id)
        seen[number] = 1

    def _miss(self, promise: str, what: str) -> None:
        self.missed[promise] += 1
        if self.missed[promise] <= _TOLD:
            self.told.append(what)


def _kind(how: str) -> str:
    """Return the outcome as `/metrics` names it."""
    if "; hit" in how:
        return "stale" if "stale: " in how else "series" if "detail=" in how else "hit"
    return "collapsed" if "; collapsed" in how else "miss"


@lru_cache(maxsize=64)
def _seconds(date: str) -> float:
    return parsedate_to_datetime(date).replace(tzinfo=UTC).timestamp()
