"""The CPU time of a server, in nanoseconds, as the kernel's scheduler counts it for each thread: ticks of 10 ms are coarse."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

Task = tuple[int, int]


def run_ns(pid: int) -> Mapping[Task, int]:
    """Return for each thread of a process and of its workers how many nanoseconds it has run so far.

    Raises FileNotFoundError where the process, or this system, has no `/proc/PID/task/*/schedstat`.
    """
    found = dict(_of_process(pid))
    if not found:
        raise FileNotFoundError(f"/proc/{pid}/task/*/schedstat")
    return found


def used_ns(before: Mapping[Task, int], after: Mapping[Task, int]) -> int:
    """Return how many nanoseconds were run between two looks. What a thread ran that ended meanwhile is not known."""
    return sum(ns - before.get(task, 0) for task, ns in after.items())


def _of_process(pid: int) -> Iterator[tuple[Task, int]]:
    for task in Path(f"/proc/{pid}/task").glob("*"):
        # A thread may end between two looks.
        with suppress(FileNotFoundError, ProcessLookupError):
            yield (pid, int(task.name)), int((task / "schedstat").read_text().split()[0])
            for child in (task / "children").read_text().split():
                yield from _of_process(int(child))
