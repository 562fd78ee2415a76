"""Which bodies the upstream said when: each is judged by its rows once, and known by its tag after that."""

import math
import zlib
from dataclasses import dataclass

from tests.bench.replay.history import History
from tests.bench.replay.script import Question

# The tags that are remembered of a question: more than there are new ones in the time that an answer may live.
_MOST = 64
_AHEAD_S = 5.0
_GZIP = 31


@dataclass(slots=True, kw_only=True)
class Known:
    """An answer by its tag: its body as it came (None until it came), and from when until when the upstream said so.

    `until_least_s` and `since_most_s`: what answers without a body claimed of it, of which the body was not known yet.
    """

    body: bytes | None = None
    since_s: float = -math.inf
    until_s: float = math.inf
    until_least_s: float = -math.inf
    since_most_s: float = math.inf


class Truth:
    """What is known of the answers to one question."""

    def __init__(self, history: History, question: Question) -> None:
        self._history = history
        self._question = question
        self._known: dict[str, Known] = {}
        self.judged = 0
        self.unjudged = 0
        """How many tags were forgotten before their body came."""

    def known(self, tag: str) -> Known:
        """Return what is known by a tag."""
        known = self._known.get(tag)
        if known is None:
            if len(self._known) == _MOST:
                forgotten = self._known.pop(next(iter(self._known)))
                self.unjudged += forgotten.body is None
            known = self._known[tag] = Known()
        return known

    def fault(self, tag: str, body: bytes | None, *, is_packed: bool, from_s: float, answered_s: float) -> str:
        """Return what is wrong with an answer, "" where nothing is.

        It must be what the upstream said at a moment between `from_s` and `answered_s`. `body`: None where none was sent.
        """
        known = self.known(tag)
        if known.body is None:
            known.until_least_s = max(known.until_least_s, from_s)
            known.since_most_s = min(known.since_most_s, answered_s)
            if body is None:
                return ""
            span = self._span(zlib.decompress(body, _GZIP) if is_packed else body, answered_s)
            if span is None:
                return "a body that the upstream never said"
            known.body = body
            known.since_s, known.until_s = span
            self.judged += 1
            from_s, answered_s = known.until_least_s, known.since_most_s
        elif body is not None and body != known.body:
            return "two bodies with one tag"
        if known.until_s < from_s:
            return f"older than it says, by {from_s - known.until_s:.2f} s"
        return "" if known.since_s <= answered_s else "said before it was true"

    def _span(self, body: bytes, answered_s: float) -> tuple[float, float] | None:
        """Return since when and until when the upstream said this; None where it never did."""
        history, question, until_s = self._history, self._question, math.inf
        for since_s in history.moments(question, history.since_s, answered_s + _AHEAD_S):
            if history.says(question, since_s, body):
                return since_s, until_s
            until_s = since_s
        return None
