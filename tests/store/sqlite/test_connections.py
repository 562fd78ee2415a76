"""Connections to the cache file, where the disk does not answer."""

import asyncio
from unittest.mock import AsyncMock, patch

from proxy.store.sqlite import connections


async def test_a_closing_that_ends_with_the_event_loop() -> None:
    """A connection that could not be closed in time goes on closing; that the loop ends it is no fault to be reported."""
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    connection = AsyncMock()
    connection.close.side_effect = asyncio.Event().wait
    before = asyncio.all_tasks()
    with patch.object(connections, "CLOSE_TIMEOUT_S", 0.0):
        assert not await connections.close(connection)
    (closing,) = asyncio.all_tasks() - before
    closing.cancel()
    await asyncio.wait([closing])
    await asyncio.sleep(0)
    assert told == []
