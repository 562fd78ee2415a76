"""Connections to the cache file, where the disk does not answer."""

import asyncio
from unittest.mock import AsyncMock, patch

from proxy.store.sqlite import connections
from proxy.store.sqlite.outlasting import Outlasting


async def test_a_closing_that_ends_with_the_event_loop() -> None:
    """A connection that could not be closed in time goes on closing; that the loop ends it is no fault to be reported."""
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    ended: list[bool] = []
    outlasting = Outlasting(ended=lambda: ended.append(True))
    connection = AsyncMock()
    connection.close.side_effect = asyncio.Event().wait
    before = asyncio.all_tasks()
    with patch.object(connections, "CLOSE_TIMEOUT_S", 0.0):
        await connections.close(connection, outlasting)
    assert outlasting
    assert not ended
    (closing,) = asyncio.all_tasks() - before
    closing.cancel()
    await asyncio.wait([closing])
    await asyncio.sleep(0)
    assert told == []
    assert not outlasting
    assert ended
