"""Both sides of a restart, as the command that serves sees them: it takes over if it is to, and lets others take over."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from proxy.app.parts import Parts
from proxy.config import Config
from proxy.restart.control import control_path, meet
from proxy.restart.handing import Handing
from proxy.restart.sockets import ListeningSocket
from proxy.restart.taking import Taking


def take_over(cache: Path) -> Taking | None:
    """Connect to the process that uses a cache file; return None where there is none. Raises OSError where it can't be used."""
    met = meet(control_path(cache))
    return None if met is None else Taking(*met)


class Restart:
    """`taking`: the process that this one takes over from, None for none."""

    def __init__(self, taking: Taking | None = None) -> None:
        self._taking = taking
        self._handing: Handing | None = None

    @property
    def takes_over(self) -> bool:
        """Whether this process takes over from another one."""
        return self._taking is not None

    def successor(self) -> int | None:
        """Return the process that has taken over from this one, None while none has."""
        return None if self._handing is None else self._handing.successor_pid

    def is_over(self) -> bool:
        """Tell whether another process has taken over from this one."""
        return self.successor() is not None

    def sockets(self, config: Config) -> list[ListeningSocket]:
        """Return the listening sockets that are taken over, as far as server.listen has their addresses."""
        addresses = [str(address) for address in config.server.addresses]
        return [] if self._taking is None else self._taking.sockets(addresses)

    @asynccontextmanager
    async def around(self) -> AsyncIterator[None]:
        """Have the old process let go of the cache file. Open the parts within."""
        try:
            if self._taking is not None:
                await self._taking.open()
            yield
        finally:
            if self._taking is not None:
                await self._taking.aclose()
            if self._handing is not None:
                await self._handing.aclose()

    @asynccontextmanager
    async def over(self, parts: Parts, *, within_s: float) -> AsyncIterator[None]:
        """Take over what the old process has. Answer requests within.

        At the end of one that was taken over from itself, the process before it may still end, for `within_s` at most: it asks
        this one for its calls. Raises OSError where the old process doesn't hand over.
        """
        try:
            if self._taking is not None:
                await self._taking.begin(parts)
            yield
            if self._taking is not None and self.is_over():
                await self._taking.ended(within_s=within_s)
        finally:
            if self._taking is not None:
                await self._taking.aclose()
            if self._handing is not None:
                await self._handing.settle()

    def serve(self, parts: Parts, sockets: Sequence[ListeningSocket], *, ended: Callable[[], None]) -> None:
        """Note that connections are accepted on these sockets, and let other processes take over. `ended`: one has."""
        if self._taking is not None:
            self._taking.serve()
        self._handing = Handing(parts, sockets, ended=ended)
        self._handing.open()
