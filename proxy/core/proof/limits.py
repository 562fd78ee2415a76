"""What was seen lately of how much the upstream sends, and what was concluded from it that is still to be confirmed.

A limit may be lowered at any time. So what was seen counts for `TRUST_S`, and whatever was taken to be whole because of it is a
**claim** until as much was seen again, asked for no earlier than that answer was. The question that showed it is the claim's
witness: asked again before what it showed is `TRUST_S` old, it confirms the claim, or shows that less is sent by now. A limit
that is lowered is therefore found out within `TRUST_S`.

Questions about one name and about all of them are two kinds: what is sent to one says nothing about the other.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from proxy.core.proof.wholeness import Size, Tails
from proxy.core.series.metrics_query import MetricsQuery

# How long what was seen counts, seconds.
TRUST_S = 60.0
# When a witness is asked again, seconds after it showed something: some are left for its answer.
_AGAIN_S = 45.0
# A witness that could not be asked is asked again after so many seconds.
_FAILED_S = 5.0
# The shorter names of a run may have fewer rows at its end.
_ROOM = 1.25
_MOST_KEPT = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """An answer that was seen: its question, its size, and when it was asked for (wall time).

    `tails`: from which steps on there are so many rows of the longest name, the fewest first.
    """

    question: MetricsQuery
    size: Size
    at_s: float
    tails: Tails = ()

    def supersedes(self, other: "Seen") -> bool:
        """Tell whether the other one is of no use beside this one."""
        return _are_alike(self.question, other.question) and self.at_s >= other.at_s and self.size.holds(other.size)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What was taken to be whole because of a witness: it holds once `size` was seen of an answer asked for after `until_s`."""

    witness: Seen
    size: Size
    until_s: float

    def is_confirmed_by(self, seen: Seen) -> bool:
        """Tell whether an answer confirms it."""
        alike = _are_alike(self.witness.question, seen.question)
        return alike and seen.at_s >= self.until_s and seen.size.holds(self.size)

    @property
    def tail(self) -> MetricsQuery:
        """The end of what the witness asks for of which there are most likely rows enough, so that less has to be sent."""
        enough = (first for rows, first in self.witness.tails if self._is_likely(rows))
        question = self.witness.question
        return replace(question, first=max(question.first, next(enough, question.first)))

    def _is_likely(self, rows: int) -> bool:
        share = rows / max(1, self.witness.size.most)
        seen = self.witness.size
        likely = Size(names=seen.names, most=rows, rows=int(share * seen.rows / _ROOM), bytes=int(share * seen.bytes / _ROOM))
        return likely.holds(self.size)

    @property
    def due_s(self) -> float:
        """When the witness is to be asked again (wall time)."""
        return self.witness.at_s + _AGAIN_S


class Limits:
    """What was seen, and the claims. All times are wall times."""

    def __init__(self) -> None:
        self._seen: list[Seen] = []
        self._claims: dict[MetricsQuery, Claim] = {}

    def note(self, question: MetricsQuery, size: Size, at_s: float, tails: Tails = ()) -> None:
        """Take notice of an answer's size, whether it is whole or not: it was sent."""
        seen = Seen(question=question, size=size, at_s=at_s, tails=tails)
        self._claims = {of: claim for of, claim in self._claims.items() if not claim.is_confirmed_by(seen)}
        kept = [one for one in self._seen if not seen.supersedes(one) and one.at_s > at_s - TRUST_S]
        if not any(one.supersedes(seen) for one in kept):
            kept.append(seen)
        kept.sort(key=lambda one: one.size.rows)
        # Whole runs have more rows than one metric: each kind has room of its own.
        kinds = ([one for one in kept if (one.question.name is None) is whole] for whole in (False, True))
        self._seen = [one for kind in kinds for one in kind[-_MOST_KEPT:]]

    def allow(self, question: MetricsQuery, size: Size, *, asked_s: float, now_s: float) -> bool:
        """Tell whether so much was sent a moment ago; if so, claim that the answer to a question is whole because of it.

        `size`: what must have been sent (`Size.doubled`, `Size.exceeded`); `asked_s`: when that answer was asked for.
        """
        found = [seen for seen in self._showing(question, size, now_s) if seen.at_s <= asked_s]
        if not found:
            return False
        # Few witnesses, and of those the one that is asked again at the least cost.
        witness = min(found, key=lambda seen: (seen.question not in self._claims, seen.size.bytes))
        before = self._claims.get(witness.question)
        claim = Claim(witness=witness, size=size, until_s=asked_s)
        if before is not None:
            claim = replace(before, size=before.size.joined(size), until_s=max(before.until_s, asked_s))
        self._claims[witness.question] = claim
        return True

    def resume(self, question: MetricsQuery, size: Size, now_s: float) -> None:
        """Take up a claim of an earlier process: its witness is to be asked at once."""
        witness = Seen(question=question, size=size, at_s=now_s - TRUST_S)
        self._claims[question] = Claim(witness=witness, size=size, until_s=now_s)

    def shows(self, question: MetricsQuery, size: Size, *, now_s: float) -> bool:
        """Tell whether so much was sent a moment ago, without claiming anything because of it."""
        return bool(self._showing(question, size, now_s))

    def _showing(self, question: MetricsQuery, size: Size, now_s: float) -> list[Seen]:
        lately = [seen for seen in self._seen if seen.at_s > now_s - TRUST_S]
        return [seen for seen in lately if _are_alike(question, seen.question) and seen.size.holds(size)]

    def due(self, now_s: float) -> Claim | None:
        """Return a claim whose witness is to be asked again now, None where there is none."""
        return next((claim for claim in self._claims.values() if claim.due_s <= now_s), None)

    def put_off(self, claim: Claim, now_s: float) -> None:
        """Let a claim wait: its witness could not be asked."""
        if self._claims.get(claim.witness.question) == claim:
            witness = replace(claim.witness, at_s=now_s - _AGAIN_S + _FAILED_S)
            self._claims[claim.witness.question] = replace(claim, witness=witness)

    def doubt(self) -> None:
        """Conclude nothing more from what was seen: less may be sent by now. What was concluded is still to be confirmed."""
        self._seen.clear()

    def forget(self) -> None:
        """Forget everything: what was concluded is forgotten too, by whoever counted on it."""
        self._seen.clear()
        self._claims.clear()

    @property
    def pending(self) -> Mapping[MetricsQuery, Size]:
        """What is to be confirmed: how much must be sent to which witness."""
        return {question: claim.size for question, claim in self._claims.items()}


def _are_alike(one: MetricsQuery, other: MetricsQuery) -> bool:
    """Tell whether two questions are of one kind: about one name both, or about all."""
    return (one.name is None) is (other.name is None)
