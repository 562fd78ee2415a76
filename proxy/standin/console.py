"""Console lines of runs: each is a function of its run and its number, none is kept."""

from dataclasses import dataclass

from proxy.standin.runs import Run, RunStatus

LOG_TYPES = ("INFO", "ERROR", "WARNING", "DEBUG", "PRINT")
# Lines that are there when a run begins; a run whose console grows adds one a second.
FIRST_LINES = 300
_STEPS_PER_LINE = 5
# Every 20 lines there is the same sequence of types.
_KINDS = {3: "DEBUG", 7: "WARNING", 10: "PRINT", 13: "ERROR", 17: "PRINT"}
_CYCLE = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A console line; `time_s` is wall seconds."""

    number: int
    kind: str
    message: str
    step: int
    time_s: float


def line_count(run: Run, now_s: float) -> int:
    """How many lines a run has written by now; what has ended writes no more."""
    if not run.logs_grow:
        return FIRST_LINES
    until_s = now_s if run.status is RunStatus.RUNNING else min(now_s, run.status_updated_s or now_s)
    return FIRST_LINES + max(0, int(until_s - run.created_at_s))


def numbers_of(count: int, kind: str | None) -> list[int]:
    """The numbers of the first `count` lines, or of those of one type."""
    return [number for number in range(count) if kind in (None, _kind(number))]


def line(run: Run, number: int) -> Line:
    """A run's line of this number, from 0."""
    kind = _kind(number)
    step = number * _STEPS_PER_LINE
    return Line(
        number=number,
        kind=kind,
        message=_message(run, kind, number, step),
        step=step,
        time_s=run.created_at_s + max(0, number - FIRST_LINES + 1),
    )


def _kind(number: int) -> str:
    return _KINDS.get(number % _CYCLE, "INFO")


def _message(run: Run, kind: str, number: int, step: int) -> str:
    match kind:
        case "DEBUG":
            return f"rank {run.id % 8}: all-reduce took {(number * 37 + run.id) % 90 + 10} ms"
        case "WARNING":
            return f'loader "train" is {(number + run.id) % 7 + 1} batches behind\t(Größe ≥ 2\u2009GiB)'
        case "ERROR":
            return f"Traceback (most recent call last):\n  worker {number % 4} restarted"
        case "PRINT":
            return f"step={step} eta={max(0, 3600 - number)}s ✓"
        case _:
            return f"[{run.name}] step {step}: loss {2.5 / (1 + step / 1000):.4f}"
