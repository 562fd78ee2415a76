"""How much the upstream was seen to send lately, and what was concluded from it and is still to be confirmed.

The upstream may lower a limit at any time. So the size of an answer counts for `TRUST_S`. An answer that was taken to be whole
because of it is a **claim**, until an answer of that size comes again that was asked for no earlier than the claimed one. The
question that showed the size is the claim's **witness**. It is asked again before what it showed is `TRUST_S` old; then it
confirms the claim, or shows that the upstream sends less by now. A lowered limit is therefore found out within `TRUST_S`.

Questions about one name and questions about all names are two kinds: the size of one kind says nothing about the other.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from proxy.core.proof.sizes import Size, Thinned
from proxy.core.series.metrics_query import MetricsQuery

# For how long the size of an answer counts, seconds.
TRUST_S = 60.0
# A witness is asked again so many seconds after it was last asked: the rest of TRUST_S is left for its answer.
_AGAIN_S = 45.0
# A witness that could not be asked is asked again after so many seconds.
_FAILED_S = 5.0
# The rows of a smaller answer may be shorter, by this factor.
_ROOM = 1.25
_MOST_KEPT = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """An answer that was seen: its question, its size, and when it was asked for (wall time).

    `thinned`: how much would come with smaller limits.
    """

    question: MetricsQuery
    size: Size
    at_s: float
    thinned: Thinned = ()

    def supersedes(self, other: "Seen") -> bool:
        """Tell whether this one makes the other superfluous: of the same kind, as new and as large."""
        return _are_alike(self.question, other.question) and self.at_s >= other.at_s and self.size.holds(other.size)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Answers that were taken to be whole because of a witness.

    The claim is confirmed by an answer of at least `size` that was asked for at `until_s` (wall time) or later.
    """

    witness: Seen
    size: Size
    until_s: float

    def is_confirmed_by(self, seen: Seen) -> bool:
        """Tell whether an answer confirms the claim."""
        alike = _are_alike(self.witness.question, seen.question)
        return alike and seen.at_s >= self.until_s and seen.size.holds(self.size)

    @property
    def smaller(self) -> MetricsQuery:
        """The witness's question with the smallest limit with which probably enough comes to confirm the claim."""
        question = self.witness.question
        enough = (limit for limit, most, rows in self.witness.thinned if self._is_likely(most, rows))
        return replace(question, limit=min(question.limit, next(enough, question.limit)))

    def _is_likely(self, most: int, rows: int) -> bool:
        seen = self.witness.size
        row_bytes = seen.bytes / max(1, seen.rows)
        return Size(names=seen.names, most=most, rows=rows, bytes=int(rows * row_bytes / _ROOM)).holds(self.size)

    @property
    def due_s(self) -> float:
        """When the witness is to be asked again (wall time)."""
        return self.witness.at_s + _AGAIN_S


class Limits:
    """The answers that were seen lately, and the claims. All times are wall times."""

    def __init__(self) -> None:
        self._seen: list[Seen] = []
        self._claims: dict[MetricsQuery, Claim] = {}

    def note(self, question: MetricsQuery, size: Size, at_s: float, thinned: Thinned = ()) -> None:
        """Note the size of an answer, whole or not: the upstream sent that much."""
        seen = Seen(question=question, size=size, at_s=at_s, thinned=thinned)
        self._claims = {of: claim for of, claim in self._claims.items() if not claim.is_confirmed_by(seen)}
        kept = [one for one in self._seen if not seen.supersedes(one) and one.at_s > at_s - TRUST_S]
        if not any(one.supersedes(seen) for one in kept):
            kept.append(seen)
        kept.sort(key=lambda one: one.size.rows)
        # Answers about whole runs are larger than those about one metric: they would crowd these out.
        kinds = ([one for one in kept if (one.question.name is None) is whole] for whole in (False, True))
        self._seen = [one for kind in kinds for one in kind[-_MOST_KEPT:]]

    def allow(self, question: MetricsQuery, size: Size, *, asked_s: float, now_s: float) -> bool:
        """Tell whether an answer of at least `size` was seen lately; if so, claim the answer to `question` to be whole.

        `size`: what must have been sent (`Size.doubled`, `Size.exceeded`). `asked_s`: when the claimed answer was asked for.
        """
        found = [seen for seen in self._showing(question, size, now_s) if seen.at_s <= asked_s]
        if not found:
            return False
        # There should be few witnesses: one that is a witness already, then the one that costs least to ask again.
        witness = min(found, key=lambda seen: (seen.question not in self._claims, seen.size.bytes))
        before = self._claims.get(witness.question)
        claim = Claim(witness=witness, size=size, until_s=asked_s)
        if before is not None:
            claim = replace(before, size=before.size.joined(size), until_s=max(before.until_s, asked_s))
        self._claims[witness.question] = claim
        return True

    def resume(self, question: MetricsQuery, size: Size, now_s: float) -> None:
        """Take up a claim of an earlier process. Its witness is due at once, unless it has to confirm as much already."""
        if (before := self._claims.get(question)) is not None:
            if before.size.holds(size):
                return
            size = before.size.joined(size)
        witness = Seen(question=question, size=size, at_s=now_s - TRUST_S)
        self._claims[question] = Claim(witness=witness, size=size, until_s=now_s)

    def shows(self, question: MetricsQuery, size: Size, *, now_s: float) -> bool:
        """Tell whether an answer of at least `size` was seen lately, without a claim."""
        return bool(self._showing(question, size, now_s))

    def _showing(self, question: MetricsQuery, size: Size, now_s: float) -> list[Seen]:
        lately = [seen for seen in self._seen if seen.at_s > now_s - TRUST_S]
        return [seen for seen in lately if _are_alike(question, seen.question) and seen.size.holds(size)]

    def due(self, now_s: float) -> Claim | None:
        """Return a claim whose witness is due, None where there is none."""
        return next((claim for claim in self._claims.values() if claim.due_s <= now_s), None)

    def put_off(self, claim: Claim, now_s: float) -> None:
        """Let a claim wait for some seconds, since its witness could not be asked."""
        if self._claims.get(claim.witness.question) == claim:
            witness = replace(claim.witness, at_s=now_s - _AGAIN_S + _FAILED_S)
            self._claims[claim.witness.question] = replace(claim, witness=witness)

    def doubt(self) -> None:
        """Forget the sizes that were seen, since the upstream may send less by now. Claims are still to be confirmed."""
        self._seen.clear()

    def forget(self) -> None:
        """Forget sizes and claims. The caller forgets what was computed because of the claims."""
        self._seen.clear()
        self._claims.clear()

    @property
    def pending(self) -> Mapping[MetricsQuery, Size]:
        """The sizes that are to be confirmed, by their witnesses' questions."""
        return {question: claim.size for question, claim in self._claims.items()}


def _are_alike(one: MetricsQuery, other: MetricsQuery) -> bool:
    """Tell whether two questions are of one kind: both about one name, or both about all names."""
    return (one.name is None) is (other.name is None)
