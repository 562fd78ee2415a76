"""Both sides of a restart, as the command that serves sees them: it takes over if it is to, and lets others take over."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import structlog

from proxy.app.parts import Parts
from proxy.config import Config
from proxy.restart.control import control_path, meet
from proxy.restart.handing import Handing
from proxy.restart.sockets import BY_SUPERVISOR, ListeningSocket
from proxy.restart.taking import Taking
from proxy.service.tenancy import Sleep
from proxy.tasks import end_tasks

_log = structlog.get_logger()


def take_over(cache: Path) -> Taking | None:
    """Connect to the process that uses a cache file; return None where there is none. Raises OSError where it can't be used."""
    met = meet(control_path(cache))
    return None if met is None else Taking(*met)


class Restart:
    """`taking`: the process that this one takes over from, None for none. `sleep` is for tests."""

    def __init__(self, taking: Taking | None = None, *, sleep: Sleep = asyncio.sleep) -> None:
        self._taking = taking
        self._sleep = sleep
        self._handing: Handing | None = None
        self._succeeding: asyncio.Task[None] | None = None
        self._has_succeeded = False

    @property
    def takes_over(self) -> bool:
        """Whether this process takes over from another one."""
        return self._taking is not None

    def successor(self) -> int | None:
        """Return the process that goes on in this one's place, None while none does.

        It is the one that has taken over from this one, or the one that this one would have taken over from.
        """
        if self._taking is not None and self._taking.goes_on:
            return self._taking.pid
        return None if self._handing is None else self._handing.successor_pid

    def is_over(self) -> bool:
        """Tell whether another process goes on in this one's place."""
        return self.successor() is not None

    def owns(self, opened: ListeningSocket) -> bool:
        """Tell whether the file of a socket is this process's to remove: nobody else has it, or is to have it."""
        if self._handing is not None and self._handing.hands_on:
            return False
        return self._taking is None or self._has_succeeded or not self._taking.has_lent(opened)

    def sockets(self, config: Config, given: Sequence[ListeningSocket] = ()) -> list[ListeningSocket]:
        """Return the listening sockets that are taken over, as far as server.listen has their addresses.

        Those that a supervisor has `given` take the place of all others.
        """
        if self._taking is None or given:
            return list(given)
        return self._taking.sockets({BY_SUPERVISOR, *map(str, config.server.addresses)})

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
            if self._taking is not None:
                self._taking.check()
                if self.is_over():
                    await self._taking.ended(within_s=within_s)
        finally:
            await end_tasks([self._succeeding])
            if self._taking is not None:
                await self._taking.aclose()
            if self._handing is not None:
                await self._handing.settle()

    def serve(self, parts: Parts, sockets: Sequence[ListeningSocket], *, ended: Callable[[], None]) -> None:
        """Note that connections are accepted on these sockets, and let other processes take over.

        `ended` is called once another process goes on in this one's place (`is_over`). Raises OSError where the old process has
        gone on by itself.
        """
        self._handing = Handing(parts, sockets, ended=ended, sleep=self._sleep)
        if self._taking is None:
            self._handing.open()
            return
        self._taking.check()
        succeeding = self._succeed(self._taking, self._handing, parts, ended)
        self._succeeding = asyncio.get_running_loop().create_task(succeeding, name="restart.succeed")

    async def _succeed(self, taking: Taking, handing: Handing, parts: Parts, ended: Callable[[], None]) -> None:
        if not await taking.succeed():
            _log.error("restart.withdrawn", pid=taking.pid, hint="handing over took too long: the process before goes on")
            ended()
            return
        self._has_succeeded = True
        taking.inherit(mode=parts.settings.now.server.socket_permissions)
        handing.open()
