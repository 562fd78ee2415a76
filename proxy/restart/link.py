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
        """Give each message to `handle` until the other process is gone, or sends what nobody understands."""
        try:
            while True:
                length = int.from_bytes(await self._reader.readexactly(_LENGTH_BYTES))
                message = self._decoder.decode(await self._reader.readexactly(length))
                if isinstance(message, Done):
                    self._note_done(message.number)
                else:
                    handle(message)
        except (OSError, asyncio.IncompleteReadError):
            pass
        except (ValueError, msgspec.DecodeError) as exc:
            _log.warning("restart.not_understood", reason=str(exc))
        finally:
            self._end()

    def close(self) -> None:
        """Close the connection once all is sent. The other process is gone from now on."""
        self._end()

    async def lost(self) -> None:
        """Wait until the other process is gone."""
        await self._lost.wait()

    async def aclose(self) -> None:
        """Send what is still to be sent, and close the connection."""
        with suppress(OSError):
            await self._writer.drain()
        self._end()
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
        self._lost.set()
        self._writer.close()
        for done in self._asked.values():
            if not done.done():
                done.set_exception(ConnectionError("the other process is gone"))
