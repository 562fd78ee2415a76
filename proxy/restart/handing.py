"""The old process: it lets a new one take over."""

import asyncio
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

import structlog

from proxy.app.parts import Parts
from proxy.core.freshness.purge import is_answer
from proxy.restart import purges
from proxy.restart.control import ControlSocket, check_user, control_path, greet
from proxy.restart.link import Link
from proxy.restart.messages import (
    FROM_NEW,
    BudgetGiven,
    Done,
    Forget,
    FromNew,
    GiveFile,
    Go,
    Ready,
    Refused,
    Serving,
    Withdrawn,
    Write,
)
from proxy.restart.remote import RemoteBudget
from proxy.restart.sockets import ListeningSocket
from proxy.service.history import recorder
from proxy.service.tenancy import Sleep
from proxy.store.sqlite import codec
from proxy.store.sqlite.batch import Batch
from proxy.tasks import end_tasks, first_of

# How long the new process may take until it serves: then this one goes on, and tells it.
_PATIENCE_S = 60.0
# How long a new process that has the file, or asked for it, is waited for where this one is told to end meanwhile.
_READY_S = 15.0
# How long it may take for what it is to write: the store, and whoever waits for it, waits for that.
_WRITE_S = 5.0
# Where no connection can be accepted it is tried again after so many seconds, as event loops do.
_PAUSE_S = 1.0
_log = structlog.get_logger()


class Handing:
    """Waits for a process that takes over, and hands over to it: one at a time. `ended` is called once it serves."""

    def __init__(
        self, parts: Parts, sockets: Sequence[ListeningSocket], *, ended: Callable[[], None], sleep: Sleep = asyncio.sleep
    ) -> None:
        self._parts = parts
        self._sockets = sockets
        self._ended = ended
        self._sleep = sleep
        self._control: ControlSocket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._link: Link[FromNew] | None = None
        self._running: asyncio.Task[None] | None = None
        self._patience: asyncio.Task[None] | None = None
        self._remote: RemoteBudget | None = None
        self._untell: Callable[[], None] | None = None
        self._asked = False
        self._ready = asyncio.Event()
        self._ending = False
        self.successor_pid: int | None = None
        """The process that has taken over, None while none has."""

    @property
    def hands_on(self) -> bool:
        """Whether another process has the sockets, and will go on with them unless it fails."""
        return self.successor_pid is not None or (self._link is not None and not self._link.is_lost)

    def open(self) -> None:
        """Begin to wait. Where that can't be, it is logged: the process serves all the same."""
        path = control_path(self._parts.store.disk.path)
        try:
            self._control = ControlSocket(path)
        except OSError as exc:
            _log.warning("restart.unavailable", path=str(path), reason=exc.strerror or str(exc))
            return
        self._accepting = asyncio.get_running_loop().create_task(self._accept(self._control.socket), name="restart.accept")

    async def settle(self) -> None:
        """Wait no longer, since this process ends. One that is about to take over still gets what it needs.

        Call it before the parts are closed. Where that process is gone, this one takes the cache file back, to write what is
        left.
        """
        self._ending = True
        await end_tasks([self._accepting, self._patience])
        if self._control is not None and self.successor_pid is None:
            self._control.remove()
        elif self._control is not None:
            self._control.close()
        link = self._link
        if link is None:
            return
        if self._asked:
            # Where it is lost before this process was taken over from, `_go_on` takes everything back.
            await first_of(self._ready.wait(), link.lost(), within_s=_READY_S)
        if link.is_lost or not self._ready.is_set():
            self._parts.store.disk.take_back()
            return
        await self._tell_history(link)

    async def aclose(self) -> None:
        """End the connection to the new process. Call it after the parts were closed, which hand on what is left."""
        if self._link is not None:
            await self._link.aclose()
        if self._running is not None:
            await asyncio.wait({self._running})

    async def write(self, batch: Batch, *, now_s: float) -> int:  # noqa: ARG002 -- see Heir
        """Have the new process write a batch, for 5 s at most. See store.sqlite.keeper.Heir.

        The parts that answers are computed from are left out: the new process makes its own from the file.
        """
        if self._link is None:
            raise ConnectionError("nobody takes over")
        message = Write(
            rows=tuple(row for row in batch.rows if is_answer(row.key) or row.namespace == recorder.NAMESPACE),
            gone=tuple(one for one in batch.superseded if is_answer(one[1])),
            adoptions=tuple(batch.adoptions),
            purges=tuple(batch.purges),
        )
        await self._link.ask(message, within_s=_WRITE_S)
        return 0

    async def _accept(self, listening: socket.socket) -> None:
        loop, warned = asyncio.get_running_loop(), False
        while True:
            try:
                connection, _ = await loop.sock_accept(listening)
            except OSError as exc:
                # As a rule there is no room for another descriptor. The connection is still there.
                if not warned:
                    _log.warning("restart.not_accepted", reason=exc.strerror or str(exc), hint="it is tried again each second")
                warned = True
                await self._sleep(_PAUSE_S)
                continue
            warned = False
            try:
                self._greet(connection)
                self._link = await Link.over(connection, FROM_NEW)
            except OSError as exc:
                _log.warning("restart.refused", reason=exc.strerror or str(exc))
                connection.close()
                continue
            except BaseException:
                connection.close()
                raise
            _log.info("restart.begun")
            self._patience = loop.create_task(self._lose_patience(self._link), name="restart.patience")
            self._running = loop.create_task(self._run(self._link), name="restart.run")

    def _greet(self, connection: socket.socket) -> None:
        """Begin with a process that connected. Raises OSError."""
        check_user(connection)
        if self._link is not None:
            raise OSError("another process is taking over")
        greet(connection, self._sockets)

    async def _run(self, link: Link[FromNew]) -> None:
        await link.run(self._handle)
        await end_tasks([self._patience])
        if self.successor_pid is None and not self._ending:
            link.send(Withdrawn())  # it isn't gone where it said what can't be understood
        # What is being handed over would be handed to a process that is gone.
        await link.aclose()
        if self._untell is not None:
            self._untell()
            self._untell = None
        if self.successor_pid is not None:
            self._parts.turnstile.take_back()
        else:
            self._go_on()

    async def _lose_patience(self, link: Link[FromNew]) -> None:
        await self._sleep(_PATIENCE_S)
        if self.successor_pid is None:
            link.send(Withdrawn())
            link.close()

    def _go_on(self) -> None:
        """Go on as before: the new process has failed, or this one ends."""
        if not self._ending:
            _log.warning("restart.failed", hint="the process that was to take over has ended: this one goes on")
        self._link = self._remote = None
        self._asked = False
        self._ready.clear()
        self._parts.store.disk.take_back()
        self._parts.turnstile.take_back()

    def _handle(self, message: FromNew) -> None:
        if self._link is None:
            return
        match message:
            case GiveFile():
                self._link.answer(message, self._give_file())
            case Ready():
                self._link.answer(message, self._give_budget(self._link))
            case Serving(pid=pid):
                self._be_succeeded(pid)
                self._link.send(Done(number=message.number))
            case Go():
                if self._remote is not None:
                    self._remote.go(message)
            case Refused():
                if self._remote is not None:
                    self._remote.refuse(message)
            case Forget():
                self._link.answer(message, purges.carry_out(self._parts.purging, message.purge))

    async def _give_file(self) -> None:
        parts = self._parts
        self._asked = True
        await parts.history.write()
        await parts.proof.witnesses.write()
        if not await parts.store.disk.give():
            _log.warning("restart.file_held", hint="the disk does not answer: the new process opens the file later")

    async def _give_budget(self, link: Link[FromNew]) -> None:
        parts = self._parts
        await self._tell_history(link)
        self._untell = parts.purging.tell(partial(purges.tell, link))
        parts.store.disk.inherit(self)
        # A disk that stands still is no reason not to hand over: what waits is handed on once it answers.
        await first_of(parts.store.disk.flush(), within_s=_WRITE_S)
        remote = RemoteBudget(link, parts.turnstile, parts.clock)
        handed = parts.turnstile.hand_over(remote)
        under_way, waiting = remote.tell(handed)
        self._remote = remote
        link.send(BudgetGiven(state=handed.state, under_way=under_way, waiting=waiting))
        self._ready.set()

    def _be_succeeded(self, pid: int) -> None:
        self.successor_pid = pid
        if self._accepting is not None:
            # The event loop still looks at the socket, which is closed once it doesn't.
            self._accepting.cancel()
        _log.info("restart.taken_over", pid=pid)
        self._ended()

    async def _tell_history(self, link: Link[FromNew]) -> None:
        """Tell the new process what was done, where the file can't: this one has it still."""
        if not self._parts.store.disk.is_given:
            row = codec.row_of(recorder.NAMESPACE, recorder.KEY, self._parts.history.entry())
            with suppress(OSError):
                await link.ask(Write(rows=(row,)), within_s=_READY_S)
