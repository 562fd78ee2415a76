"""Tasks that are ended when a part is closed."""

import asyncio

from proxy.tasks import end_tasks


async def test_tasks_have_ended_afterwards() -> None:
    """Whoever closes a part may rely on it: also where a task cleans up, has failed, or never began."""
    cleaned: list[str] = []

    async def cleaning() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.append("up")

    async def failing() -> None:
        raise ValueError

    tasks = [asyncio.ensure_future(cleaning()), asyncio.ensure_future(failing())]
    await asyncio.sleep(0)
    await end_tasks([*tasks, None])
    assert all(task.done() for task in tasks)
    assert cleaned == ["up"]
    assert isinstance(tasks[1].exception(), ValueError)
    await end_tasks([])
