"""What uses the cache file, and goes on by itself where a disk does not answer: what was begun cannot be taken back."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Outlasting:
    """What was begun and has not ended. Nobody else may have the file meanwhile, whoever still waits for it."""

    def __init__(self, *, ended: Callable[[], None]) -> None:
        """`ended` is called each time that nothing is under way any more."""
        self._under_way: set[asyncio.Task[Any]] = set()
        self._ended = ended

    def __bool__(self) -> bool:
        """Whether anything is under way."""
        return bool(self._under_way)

    def begin(self, doing: Coroutine[None, None, T]) -> "asyncio.Task[T]":
        """Begin something. Wait for the task that is returned, but don't cancel it."""
        task = asyncio.get_running_loop().create_task(doing)
        self._under_way.add(task)
        task.add_done_callback(self._note_end)
        return task

    def _note_end(self, task: "asyncio.Task[Any]") -> None:
        # Perhaps nobody waits for it who would retrieve its exception. The event loop cancels the task if it ends first.
        if not task.cancelled():
            task.exception()
        self._under_way.discard(task)
        if not self._under_way:
            self._ended()
