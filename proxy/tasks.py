"""Tasks that are under way when a part is closed."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any


async def end_tasks(tasks: "Iterable[asyncio.Task[Any] | None]") -> None:
    """End tasks, and wait until they have ended. None stands for one that never began."""
    running = [task for task in tasks if task is not None]
    for task in running:
        task.cancel()
    if running:
        await asyncio.wait(running)


async def first_of(*waits: Coroutine[Any, Any, object], within_s: float) -> None:
    """Wait until the first of these is over, for so many seconds at most, and end the others."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await end_tasks(tasks)
