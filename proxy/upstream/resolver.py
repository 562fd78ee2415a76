"""Looking up the upstream's address, within the time that a connection may take."""

import asyncio
import socket

import aiohttp
from aiohttp.abc import ResolveResult

_Address = tuple[str, int, int]


class TimelyResolver(aiohttp.ThreadedResolver):
    """Asks the system, and waits for `timeout_s` at most.

    A look-up cannot be cancelled: it holds a thread for as long as the name server is silent, and others need the thread. So
    there is one look-up of each address at a time, and all who ask meanwhile wait for it.
    """

    def __init__(self, timeout_s: float) -> None:
        super().__init__()
        self._timeout_s = timeout_s
        self._under_way: dict[_Address, asyncio.Task[list[ResolveResult]]] = {}

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        """Return the addresses of a host. Raises aiohttp.ConnectionTimeoutError, OSError."""
        asked = (host, port, family)
        looking = self._under_way.get(asked)
        if looking is None:
            looking = self._under_way[asked] = asyncio.create_task(super().resolve(host, port, family), name="resolver.resolve")
            looking.add_done_callback(lambda done: self._end(asked, done))
        try:
            async with asyncio.timeout(self._timeout_s):
                return await asyncio.shield(looking)
        except TimeoutError:
            raise aiohttp.ConnectionTimeoutError("the name server does not answer") from None

    async def close(self) -> None:
        """Stop waiting for all look-ups."""
        for looking in self._under_way.values():
            looking.cancel()

    def _end(self, asked: _Address, looking: "asyncio.Task[list[ResolveResult]]") -> None:
        del self._under_way[asked]
        if not looking.cancelled():
            looking.exception()  # retrieved here, since nobody may be waiting any more
