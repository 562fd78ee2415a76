"""Tasks that are under way when a part is closed."""

import asyncio
from collections.abc import Iterable
from typing import Any


async def end_tasks(tasks: "Iterable[asyncio.Task[Any] | None]") -> None:
    """End tasks, and wait until they have ended. None stands for one that never began."""
    running = [task for task in tasks if task is not None]
    for task in running:
        task.cancel()
    if running:
        await asyncio.wait(running)
