"""The new process: it takes over from the old one."""

import asyncio
import os
import socket
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from functools import partial

import structlog

from proxy.app.parts import Parts
from proxy.core.freshness.entry import tombstone
from proxy.core.freshness.purge import Purge
from proxy.core.question.keeping import Keeping
from proxy.restart import purges
from proxy.restart.lending import Lending
from proxy.restart.link import Link
from proxy.restart.messages import (
    FROM_OLD,
    BudgetGiven,
    Finish,
    Forget,
    FromOld,
    GiveFile,
    Hello,
    Join,
    Leave,
    Promote,
    Ready,
    Serving,
    Withdrawn,
    Write,
)
from proxy.restart.sockets import ListeningSocket
from proxy.service.history import recorder
from proxy.store.sqlite import codec
from proxy.tasks import first_of

# How long the old process may take to write what waits and close the file. After that the new one does without for now.
_FILE_S = 10.0
# How long it may take to hand over the budget.
_BUDGET_S = 10.0
_log = structlog.get_logger()


class Taking:
    """The old process, and what is taken over from it."""

    def __init__(self, connection: socket.socket, hello: Hello, sockets: Sequence[ListeningSocket]) -> None:
        self._connection = connection
        self._hello = hello
        self._sockets = sockets
        self._kept: list[ListeningSocket] = []
        self._link: Link[FromOld] | None = None
        self._running: asyncio.Task[None] | None = None
        self._parts: Parts | None = None
        self._lending: Lending | None = None
        self._untell: Callable[[], None] | None = None
        self._said = False
        self._withdrawn = False

    @property
    def goes_on(self) -> bool:
        """Whether the old process goes on by itself: this one must not serve."""
        return self._withdrawn

    @property
    def pid(self) -> int:
        """The old process."""
        return self._hello.pid

    def sockets(self, addresses: Collection[str]) -> list[ListeningSocket]:
        """Return the listening sockets for these addresses, as `ListeningSocket.address` has them."""
        self._kept = [opened for opened in self._sockets if opened.address in addresses]
        return list(self._kept)

    def has_lent(self, opened: ListeningSocket) -> bool:
        """Tell whether a socket is one of those that are taken over."""
        return opened in self._kept

    async def open(self) -> None:
        """Begin, and have the old process let go of the cache file. Never raises."""
        self._link = await Link.over(self._connection, FROM_OLD)
        self._running = asyncio.get_running_loop().create_task(self._run(self._link), name="restart.run")
        try:
            await self._link.ask(GiveFile(), within_s=_FILE_S)
        except (TimeoutError, OSError) as exc:
            _log.warning("restart.file_held", reason=str(exc) or "it takes too long", hint="it is opened as soon as it is free")

    async def begin(self, parts: Parts) -> None:
        """Take over the budget, and what the old process has put since it let go of the file.

        Raises OSError where the old process doesn't answer in time: it goes on then, and this one must not serve. If it is
        gone, this one begins with an empty budget.
        """
        if self._link is None:
            raise RuntimeError("not open")
        self._parts = parts
        lending = self._lending = Lending(self._link, parts.turnstile, parts.clock)
        self._untell = parts.purging.tell(partial(purges.tell, self._link))
        try:
            await self._link.ask(Ready(), within_s=_BUDGET_S)
        except TimeoutError:
            self._withdrawn = True
        except OSError as exc:
            _log.warning("restart.no_budget", reason=str(exc))
        self.check()
        if not lending.begun:
            lending.begin(None)

    async def succeed(self) -> bool:
        """Tell the old process that this one accepts connections. Return whether it does so no more; else it goes on.

        While the old process stands still, nobody knows.
        """
        if self._link is not None and not self._withdrawn:
            self._said = True
            with suppress(OSError):  # it is gone
                await self._link.ask(Serving(pid=os.getpid()))
        return not self._withdrawn

    def inherit(self, *, mode: int) -> None:
        """Take what the old process has left. `mode`: of the files of Unix sockets.

        Where an address isn't listened on any more the file goes, too.
        """
        for opened in self._sockets:
            if opened in self._kept:
                _set_mode(opened, mode)
            else:
                if opened.file is not None:
                    opened.file.remove()
                opened.socket.close()

    def check(self) -> None:
        """Raise OSError where the old process goes on by itself."""
        if self._withdrawn:
            raise OSError(f"the running pluto-proxy (pid {self.pid}) goes on: handing over took too long")

    async def ended(self, *, within_s: float) -> None:
        """Wait until the old process has ended, for so many seconds at most."""
        if self._link is not None:
            await first_of(self._link.lost(), within_s=within_s)

    async def aclose(self) -> None:
        """End what is under way, once nobody listens. The old process goes on by itself. May be called again."""
        for opened in self._sockets:
            opened.socket.close()
        if self._link is not None:
            await self._link.aclose()
        if self._running is not None:
            await asyncio.wait({self._running})

    async def _run(self, link: Link[FromOld]) -> None:
        await link.run(self._handle)
        # It goes on where this one closes the connection, unless it has been told before that it need not.
        self._withdrawn |= not link.is_lost and not self._said
        link.close()
        if self._untell is not None:
            self._untell()
        if self._lending is not None:
            await self._lending.end()
        if not self._withdrawn:
            _log.info("restart.old_process_ended")

    def _handle(self, message: FromOld) -> None:
        if isinstance(message, Withdrawn):
            self._withdrawn = True
        if self._lending is None or self._link is None:
            return
        match message:
            case BudgetGiven():
                self._lending.begin(message)
            case Join():
                self._lending.join(message.ticket)
            case Promote():
                self._lending.promote(message)
            case Leave():
                self._lending.leave(message.ticket)
            case Finish():
                self._lending.finish(message)
            case Write():
                self._link.answer(message, self._write(message))
            case Forget():
                self._link.answer(message, self._carry_out(message.purge))
            case _:
                pass

    async def _write(self, message: Write) -> None:
        """Write what the old process would have written."""
        parts = self._parts
        if parts is None:
            raise RuntimeError("not ready")
        for adoption in message.adoptions:
            await parts.store.adopt(
                adoption.upstream,
                adoption.fingerprint,
                adoption.organization,
                old_namespace=adoption.old_namespace,
                new_namespace=adoption.new_namespace,
            )
        for purge in message.purges:
            await self._carry_out(purge)
        for namespace, key, sent_at_s in message.gone:
            parts.store.put(namespace, key, tombstone(sent_at_s))
        for row in message.rows:
            entry = await asyncio.to_thread(codec.entry_of, row) if row.body_bytes > codec.LARGE_BYTES else codec.entry_of(row)
            if row.namespace == recorder.NAMESPACE:
                parts.history.take_in(entry)
            else:
                parts.store.put(row.namespace, row.key, entry, Keeping.DISK)

    async def _carry_out(self, purge: Purge) -> None:
        if self._parts is not None:
            await purges.carry_out(self._parts.purging, purge)


def _set_mode(opened: ListeningSocket, mode: int) -> None:
    if opened.file is None:
        return
    try:
        opened.file.set_mode(mode)
    except OSError as exc:
        _log.warning("restart.mode_not_set", path=str(opened.file.path), reason=exc.strerror)
