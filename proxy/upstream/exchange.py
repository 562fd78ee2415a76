"""One HTTP exchange with pluto-api. Every failure is translated into one of the proxy's own errors."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Never

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError

from proxy.clock import Clock
from proxy.errors import AnswerTooLarge, UpstreamBadAnswer, UpstreamError, UpstreamTimeout
from proxy.settings import Settings
from proxy.slices import joined
from proxy.telemetry import Telemetry
from proxy.upstream.coding import decoded_chunks
from proxy.upstream.credential import Key
from proxy.upstream.failures import connect_timeout, failure_of
from proxy.upstream.reply import Reply, needs_body
from proxy.upstream.stall import stall_limit
from proxy.upstream.wire import Response, Wire

# If the status alone says what a response means, no more than this of its body is read: the status counts even if the body
# breaks off, drips or never comes.
_BRIEF_BYTES = 65_536
_BRIEF_S = 1.0
# How every row of a metrics answer begins. It cannot occur inside a string, where its quotes would be escaped.
_ROW = b'{"logName":'
_Complete = tuple[int, Mapping[str, str], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How large an answer may be: its bytes after decompression, and its rows (None: any number)."""

    bytes: int
    rows: int | None = None


class Exchange:
    """Sends one request with a key, at once. It neither tries again nor judges the reply."""

    def __init__(self, settings: Settings, clock: Clock, wire: Wire, telemetry: Telemetry) -> None:
        self._settings = settings
        self._clock = clock
        self._wire = wire
        self._telemetry = telemetry

    async def send(self, target: str, key: Key, *, timeout_s: float, bounds: Bounds) -> Reply[Never]:
        """Request a target (path and query in printable ASCII, sent as it is). Return the complete reply, whatever its status.

        Every call is counted, whatever its result. Raises UpstreamFailed, UpstreamTimeout, UpstreamStalled, UpstreamBadAnswer
        or AnswerTooLarge.
        """
        started_s, sent_at_s = self._clock.monotonic_s(), self._clock.now_s()
        result = "cancelled"
        try:
            status, headers, body = await self._send_in_time(target, key, timeout_s, bounds)
            result = str(status)
        except UpstreamError as exc:
            result = exc.code
            raise
        finally:
            elapsed_s = self._clock.monotonic_s() - started_s
            self._telemetry.count_call(result, elapsed_s)
        return Reply(
            status=status,
            headers=headers,
            body=body,
            sent_at_s=sent_at_s,
            sent_monotonic_s=started_s,
            elapsed_s=elapsed_s,
            fingerprint=key.fingerprint,
        )

    async def _send_in_time(self, target: str, key: Key, timeout_s: float, bounds: Bounds) -> _Complete:
        try:
            async with asyncio.timeout(timeout_s):
                return await self._send(target, key, bounds)
        except aiohttp.ServerTimeoutError:
            raise connect_timeout(self._settings.now.upstream) from None
        except TimeoutError:
            raise UpstreamTimeout(f"the upstream gave no complete answer within {timeout_s:.3g} s") from None
        except (aiohttp.ClientError, HttpProcessingError, OSError) as exc:
            raise failure_of(exc, self._settings.now.upstream) from None

    async def _send(self, target: str, key: Key, bounds: Bounds) -> _Complete:
        response = await self._wire.get(target, key)
        try:
            body = await (self._read_whole(response, bounds) if needs_body(response.status) else self._read_briefly(response))
            return response.status, response.headers, body
        finally:
            response.release()

    async def _read_whole(self, response: Response, bounds: Bounds) -> bytes:
        chunks: list[bytes] = []
        try:
            # What has come already cannot come to a standstill.
            if response.content.is_eof():
                await self._collect(response, bounds, chunks)
            else:
                async with stall_limit(lambda: response.content.total_raw_bytes, self._settings.now.upstream.stall_s):
                    await self._collect(response, bounds, chunks)
            return await joined(chunks)
        finally:
            # An error holds this frame, and so the chunks, for as long as somebody holds the error.
            chunks.clear()

    @staticmethod
    async def _collect(response: Response, bounds: Bounds, chunks: list[bytes]) -> None:
        size = rows = 0
        seam = b""
        async for chunk in decoded_chunks(response):
            size += len(chunk)
            if bounds.rows is not None:
                rows += (seam + chunk).count(_ROW)
                seam = (seam + chunk)[1 - len(_ROW) :]
            if size > bounds.bytes or (bounds.rows is not None and rows > bounds.rows):
                response.close()
                raise AnswerTooLarge(
                    f"the answer has more than {bounds.bytes} bytes (upstream.max_body_bytes); "
                    "ask for one logName, a smaller limit, or a window with stepMin and stepMax",
                    upstream_status=response.status,
                )
            chunks.append(chunk)

    async def _read_briefly(self, response: Response) -> bytes:
        body = bytearray()
        try:
            async with asyncio.timeout(_BRIEF_S):
                async for chunk in decoded_chunks(response):
                    body += chunk
                    if len(body) > _BRIEF_BYTES:
                        break
        except (TimeoutError, aiohttp.ClientError, UpstreamBadAnswer):
            response.close()
            return b""
        if len(body) > _BRIEF_BYTES:
            response.close()
        return bytes(body)
