"""Messages between the old process and the new one: in order, and some of them acknowledged."""

import asyncio
import itertools
import socket
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Generic, TypeVar

import msgspec
import structlog

from proxy.restart.messages import Done, Message
from proxy.tasks import end_tasks

_LENGTH_BYTES = 4
# How long the other process may take to read what is left for it when the connection is closed.
_CLOSE_S = 5.0
_encoder = msgspec.msgpack.Encoder()
_log = structlog.get_logger()
Received = TypeVar("Received", bound=Message)


def framed(message: Message) -> bytes:
    """Return a message as it is sent."""
    body = _encoder.encode(message)
    return len(body).to_bytes(_LENGTH_BYTES) + body


class Link(Generic[Received]):
    """One end of the connection between the two. `decoder` reads what the other end sends."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        decoder: "msgspec.msgpack.Decoder[Received]",
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._decoder = decoder
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._lost = asyncio.Event()
        self._abort: asyncio.TimerHandle | None = None

    @classmethod
    async def over(cls, opened: socket.socket, decoder: "msgspec.msgpack.Decoder[Received]") -> "Link[Received]":
        """Return a link by a connected socket."""
        return cls(*await asyncio.open_unix_connection(sock=opened), decoder)

    @property
    def is_lost(self) -> bool:
        """Whether the other process is gone."""
        return self._lost.is_set()

    def send(self, message: Message) -> None:
        """Send a message. One for a process that is gone is lost."""
        if not self.is_lost:
            self._writer.write(framed(message))

    async def ask(self, message: Message, *, within_s: float | None = None) -> None:
        """Send a message and wait until it is acknowledged.

        Raises ConnectionError where the other process is gone, TimeoutError.
        """
        number = next(self._numbers)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asked[number] = done
        try:
            async with asyncio.timeout(within_s):
                if self.is_lost:
                    raise ConnectionError("the other process is gone")
                self.send(msgspec.structs.replace(message, number=number))
                await self._writer.drain()
                await done
        finally:
            del self._asked[number]

    def answer(self, message: Message, work: Coroutine[Any, Any, None]) -> None:
        """Do what a message asks for, and acknowledge it then. A failure is logged, and not acknowledged."""
        task = asyncio.get_running_loop().create_task(self._answer(message, work), name="restart.answer")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def run(self, handle: Callable[[Received], None]) -> None:
        """Give each message to `handle` until the other process is gone, or the connection is closed here.

        Also returns where a message isn't understood, or can't be handled, which is logged: then the link isn't lost, and it is
        the caller's to close.
        """
        try:
            # What came before the connection was closed here, and wasn't looked at, counts no more.
            while (message := await self._receive()) is not None and not self.is_lost:
                if isinstance(message, Done):
                    self._note_done(message.number)
                else:
                    handle(message)
        except Exception:  # noqa: BLE001 -- whatever it is: whoever waits for this end goes on by itself
            _log.exception("restart.crashed")

    async def _receive(self) -> Received | None:
        try:
            length = int.from_bytes(await self._reader.readexactly(_LENGTH_BYTES))
            return self._decoder.decode(await self._reader.readexactly(length))
        except (OSError, asyncio.IncompleteReadError):
            self._end()
        except (ValueError, msgspec.DecodeError) as exc:
            _log.warning("restart.not_understood", reason=str(exc))
        return None

    def close(self) -> None:
        """Close the connection once all is sent, or after 5 s. The other process is gone from now on."""
        self._end()

    async def lost(self) -> None:
        """Wait until the other process is gone."""
        await self._lost.wait()

    async def aclose(self) -> None:
        """Send what is still to be sent, for 5 s at most, and close the connection. What is being done for it is given up."""
        self._end()
        with suppress(OSError):
            await self._writer.wait_closed()
        if self._abort is not None:
            self._abort.cancel()
        await end_tasks([*self._tasks])

    async def _answer(self, message: Message, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception:  # noqa: BLE001 -- whatever it is: the other process waits in vain, and goes on by itself
            _log.exception("restart.failed", message=type(message).__name__)
        else:
            self.send(Done(number=message.number))

    def _note_done(self, number: int) -> None:
        done = self._asked.get(number)
        if done is not None and not done.done():
            done.set_result(None)

    def _end(self) -> None:
        if self.is_lost:
            return
        self._lost.set()
        self._writer.close()
        # A process that stands still reads nothing.
        self._abort = asyncio.get_running_loop().call_later(_CLOSE_S, self._writer.transport.abort)
        for done in self._asked.values():
            if not done.done():
                done.set_exception(ConnectionError("the other process is gone"))
