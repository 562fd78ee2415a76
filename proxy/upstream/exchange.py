"""One HTTP exchange with pluto-api: every failure translated into the proxy's own errors."""

import asyncio
from dataclasses import dataclass
from typing import Never

import aiohttp
from yarl import URL

from proxy.clock import Clock
from proxy.config import model
from proxy.errors import AnswerTooLarge, UpstreamBadAnswer, UpstreamError, UpstreamTimeout
from proxy.slices import joined
from proxy.telemetry import Telemetry
from proxy.upstream.coding import undone
from proxy.upstream.credential import Key
from proxy.upstream.failures import failed, unconnected
from proxy.upstream.forwarding import forwarding
from proxy.upstream.reply import Reply, needs_body
from proxy.upstream.stall import unstalled

# Of what says all that it has to say by its status: that counts even if what follows breaks off, drips or never comes.
_ENOUGH_BYTES = 65_536
_ENOUGH_S = 1.0
# How every row of a metrics answer begins. In a name it cannot stand: there its quotes would be escaped.
_ROW = b'{"logName":'


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How large an answer may be: its bytes, once decompressed, and its rows (None: as many as there are)."""

    bytes: int
    rows: int | None = None


class Exchange:
    """Sends requests with the key they are given. It neither waits, nor tries again, nor judges."""

    def __init__(self, settings: model.Upstream, clock: Clock, session: aiohttp.ClientSession, telemetry: Telemetry) -> None:
        self._settings = settings
        self._clock = clock
        self._session = session
        self._forwarding = forwarding(settings)
        self._telemetry = telemetry

    async def send(self, target: str, key: Key, *, timeout_s: float, bounds: Bounds) -> Reply[Never]:
        """Ask for a path and query (printable ASCII, sent as it is) and return the complete reply, whatever its status.

        Raises UpstreamFailed, UpstreamTimeout, UpstreamStalled, UpstreamBadAnswer or AnswerTooLarge. Every call is counted,
        whatever comes of it.
        """
        started_s, sent_at_s = self._clock.monotonic_s(), self._clock.now_s()
        said = "cancelled"
        try:
            status, headers, body = await self._within(target, key, timeout_s, bounds)
            said = str(status)
        except UpstreamError as exc:
            said = exc.code
            raise
        finally:
            elapsed_s = self._clock.monotonic_s() - started_s
            self._telemetry.count_call(said, elapsed_s)
        return Reply(
            status=status,
            headers=headers,
            body=body,
            sent_at_s=sent_at_s,
            sent_monotonic_s=started_s,
            elapsed_s=elapsed_s,
            fingerprint=key.fingerprint,
        )

    async def _within(self, target: str, key: Key, timeout_s: float, bounds: Bounds) -> tuple[int, dict[str, str], bytes]:
        try:
            async with asyncio.timeout(timeout_s):
                return await self._send(target, key, bounds)
        except aiohttp.ServerTimeoutError:
            raise unconnected(self._settings) from None
        except TimeoutError:
            raise UpstreamTimeout(f"the upstream gave no complete answer within {timeout_s:.3g} s") from None
        except aiohttp.ClientError as exc:
            raise failed(exc, self._settings) from None

    async def _send(self, target: str, key: Key, bounds: Bounds) -> tuple[int, dict[str, str], bytes]:
        url = URL(self._settings.url + target, encoded=True)
        headers = {"Authorization": f"Bearer {key.secret}", **self._forwarding.question}
        asking = self._session.get(url, headers=headers, proxy_headers=self._forwarding.tunnel, allow_redirects=False)
        async with asking as response:
            if not needs_body(response.status):
                body = await self._what_there_is(response)
            else:
                async with unstalled(lambda: response.content.total_raw_bytes, self._settings.stall_s):
                    body = await self._whole(response, bounds)
            return response.status, {name.lower(): value for name, value in response.headers.items()}, body

    async def _whole(self, response: aiohttp.ClientResponse, bounds: Bounds) -> bytes:
        chunks: list[bytes] = []
        try:
            await self._take(response, bounds, chunks)
            return await joined(chunks)
        finally:
            # Whatever went wrong: an error holds this frame for as long as somebody holds the error.
            chunks.clear()

    @staticmethod
    async def _take(response: aiohttp.ClientResponse, bounds: Bounds, chunks: list[bytes]) -> None:
        size = rows = 0
        seam = b""
        async for chunk in undone(response):
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

    async def _what_there_is(self, response: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        try:
            async with asyncio.timeout(_ENOUGH_S):
                async for chunk in undone(response):
                    body += chunk
                    if len(body) > _ENOUGH_BYTES:
                        break
        except (TimeoutError, aiohttp.ClientError, UpstreamBadAnswer):
            response.close()
            return b""
        if len(body) > _ENOUGH_BYTES:
            response.close()
        return bytes(body)
