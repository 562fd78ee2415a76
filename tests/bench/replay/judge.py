"""Judges answers by the upstream's history: was it what the upstream would have said at some moment, and how long ago.

An answer is right where it is, byte for byte, what the upstream would have sent at one moment between `age_s` before it was
asked for and its end. With `rewrite_s` rows that were written again may be as they were at some moment of that time: all other
rows, and which rows there are, must still be those of one moment.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from tests.bench.replay.history import Written
from tests.bench.replay.script import Question

_PREFIX, _BETWEEN, _SUFFIX = b'{"metrics":[', b'},{"logName":', b"]}"


class Verdict(StrEnum):
    """What an answer is; BEHIND is right, but for rows written again that it has as they were before."""

    RIGHT = "right"
    BEHIND = "behind"
    TOO_OLD = "too old"
    WRONG = "wrong"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """How old an answer may be, and for how long a row that was written again may be as it was before."""

    age_s: float = 10.0
    rewrite_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer as a viewer got it; both moments are wall seconds. `status` is 0 where the connection broke.

    `head` begins with the status line, and may be left out.
    """

    question: Question
    status: int
    body: bytes
    asked_s: float
    answered_s: float
    elapsed_s: float
    head: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A verdict; of what is too old, for how long the upstream had been saying something else when it was asked for."""

    verdict: Verdict
    behind_s: float = 0.0


class Past(Protocol):
    """What the upstream said at which moment; all moments are wall seconds, and none is before `since_s`."""

    since_s: float

    def count(self, question: Question, moment_s: float) -> int:
        """Return how many rows the upstream sent at a moment."""

    def rows(self, question: Question, moment_s: float) -> Iterable[Written]:
        """Return the rows that the upstream sent at a moment."""

    def says(self, question: Question, moment_s: float, body: bytes) -> bool:
        """Tell whether a body is what the upstream sent at a moment."""

    def moments(self, question: Question, from_s: float, until_s: float) -> list[float]:
        """Return the moments of a span at which there began to be something else to see, the last first, and `from_s`."""

    def versions(self, question: Question, row: Written, until_s: float) -> Sequence[Written]:
        """Return what was written at a row's place, in order, at least as far as it was written up to a moment."""


def judge(history: Past, answer: Answer, promise: Promise) -> Judged:
    """Return what an answer is."""
    if answer.status != 200:
        return Judged(verdict=Verdict.FAILED)
    question, oldest_s = answer.question, answer.asked_s - promise.age_s
    allowed = history.moments(question, oldest_s, answer.answered_s)
    if any(history.says(question, moment_s, answer.body) for moment_s in allowed):
        return Judged(verdict=Verdict.RIGHT)
    rewritten_s, texts = answer.asked_s - promise.rewrite_s, _texts(answer.body)
    if promise.rewrite_s and any(_is_behind(history, question, texts, moment_s, rewritten_s) for moment_s in allowed):
        return Judged(verdict=Verdict.BEHIND)
    until_s = answer.answered_s
    for moment_s in history.moments(question, history.since_s, answer.answered_s):
        if history.says(question, moment_s, answer.body) or (
            promise.rewrite_s and _is_behind(history, question, texts, moment_s, history.since_s)
        ):
            return Judged(verdict=Verdict.TOO_OLD, behind_s=max(0.0, answer.asked_s - until_s))
        until_s = moment_s
    return Judged(verdict=Verdict.WRONG)


def _is_behind(history: Past, question: Question, texts: Sequence[bytes], moment_s: float, since_s: float) -> bool:
    """Tell whether an answer is that of a moment, but for rows that it has as they were at some moment since `since_s`."""
    if history.count(question, moment_s) != len(texts):
        return False
    since_s = max(since_s, history.since_s)
    return all(
        row.text == text or text in _texts_since(history.versions(question, row, moment_s), since_s, moment_s)
        for row, text in zip(history.rows(question, moment_s), texts, strict=True)
    )


def _texts_since(versions: Sequence[Written], since_s: float, until_s: float) -> set[bytes]:
    """Return the texts that a place had at some moment of a span."""
    ends_s = [version.arrived_s for version in versions[1:]] + [math.inf]
    return {
        version.text
        for version, end_s in zip(versions, ends_s, strict=False)
        if version.arrived_s <= until_s and end_s > since_s
    }


def _texts(body: bytes) -> list[bytes]:
    """Return the rows of a body, each as it stands there; what isn't laid out as a body comes out as no row that there is."""
    inner = body[len(_PREFIX) : -len(_SUFFIX)]
    if not inner or _PREFIX + inner + _SUFFIX != body:
        return [] if body == _PREFIX + _SUFFIX else [body]
    first, *others = inner.split(_BETWEEN)
    begun = [first, *(_BETWEEN[2:] + other for other in others)]
    return [text + b"}" for text in begun[:-1]] + [begun[-1]]
