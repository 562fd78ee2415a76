"""One GET to pluto-api with the shared key: every failure translated into the proxy's own errors."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from yarl import URL

from proxy import __version__
from proxy.clock import Clock
from proxy.config import model
from proxy.core.plan import Condition
from proxy.core.retry_after import read_retry_after
from proxy.errors import AnswerTooLarge, KeyRefused, UpstreamBusy, UpstreamError, UpstreamFailed, UpstreamTimeout
from proxy.telemetry import Telemetry
from proxy.upstream.cooldown import Cooldown
from proxy.upstream.credential import Credential, Key
from proxy.upstream.refusal import Refusal
from proxy.upstream.reply import BUSY, Reply, error_of

# The upstream closes a connection that idled for 5 s; giving it up earlier avoids sending into a closing one.
_KEEPALIVE_S = 4.0


class Upstream:
    """The upstream, as the rest of the proxy sees it."""

    def __init__(
        self,
        settings: model.Upstream,
        credential: Credential,
        clock: Clock,
        session: aiohttp.ClientSession,
        telemetry: Telemetry,
    ) -> None:
        self._settings = settings
        self._credential = credential
        self._clock = clock
        self._session = session
        self._telemetry = telemetry
        self._refusal = Refusal(clock)
        self.cooldown = Cooldown(clock, most_s=settings.cooldown_max_s)

    @property
    def url(self) -> str:
        """The base URL."""
        return self._settings.url

    def key(self) -> Key:
        """Return the shared key to use now."""
        return self._credential.current()

    def condition(self) -> Condition:
        """Say whether asking has any prospect now."""
        if self._refusal.refused(self.key().fingerprint):
            return Condition.KEY_REFUSED
        return Condition.RESTING if self.cooldown.resting else Condition.OPEN

    async def get(self, target: str) -> Reply:
        """Ask for a path and query (printable ASCII, sent as it is) and return a 200 or the upstream's own 4xx.

        Raises UpstreamBusy, UpstreamFailed, UpstreamTimeout, AnswerTooLarge or KeyRefused. Nothing of the reply is returned
        before its body is complete.
        """
        key = self.key()
        self._refusal.check(key.fingerprint)
        with self.cooldown.passage():
            reply = await self._exchange(target, key)
            if reply.status in BUSY:
                raise self._busy(reply)
            error = error_of(reply)
            if isinstance(error, KeyRefused):
                self._refusal.note_refused(key.fingerprint)
            elif reply.status < 500:
                self._refusal.note_accepted(key.fingerprint)
            if error is not None:
                raise error
        return reply

    def _busy(self, reply: Reply) -> UpstreamBusy:
        named_s = read_retry_after(
            reply.headers.get("retry-after"), reply.headers.get("date"), most_s=self._settings.cooldown_max_s
        )
        length_s = self.cooldown.begin(named_s)
        return UpstreamBusy(f"the upstream answered {reply.status}", retry_after_s=length_s, upstream_status=reply.status)

    async def _exchange(self, target: str, key: Key) -> Reply:
        """Ask once, and count that, whatever comes of it."""
        started_s, sent_at_s = self._clock.monotonic_s(), self._clock.now_s()
        said = "cancelled"
        try:
            status, headers, body = await self._send(target, key)
            said = str(status)
        except UpstreamError as exc:
            said = exc.code
            raise
        finally:
            elapsed_s = self._clock.monotonic_s() - started_s
            self._telemetry.asked(said, elapsed_s)
        return Reply(
            status=status,
            headers=headers,
            body=body,
            sent_at_s=sent_at_s,
            elapsed_s=elapsed_s,
            fingerprint=key.fingerprint,
        )

    async def _send(self, target: str, key: Key) -> tuple[int, dict[str, str], bytes]:
        url = URL(self._settings.url + target, encoded=True)
        headers = {"Authorization": f"Bearer {key.secret}"}
        try:
            async with asyncio.timeout(self._settings.deadline_s):
                async with self._session.get(url, headers=headers, allow_redirects=False) as response:
                    body = await self._body(response)
                    return response.status, {name.lower(): value for name, value in response.headers.items()}, body
        except aiohttp.ServerTimeoutError:
            seconds = f"{self._settings.connect_timeout_s:g} s"
            raise UpstreamTimeout(f"no connection to the upstream within {seconds}") from None
        except TimeoutError as exc:
            raise UpstreamTimeout(f"the upstream gave no complete answer within {self._settings.deadline_s:g} s") from exc
        except aiohttp.ClientError as exc:
            # The library's own texts can hold the request's headers, and with them the key.
            raise UpstreamFailed(f"the upstream could not be read: {_reason(exc)}") from None

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        most = self._settings.max_body_bytes
        chunks: list[bytes] = []
        size = 0
        async for chunk in response.content.iter_any():
            size += len(chunk)
            if size > most:
                response.close()
                raise AnswerTooLarge(
                    f"the answer has more than {most} bytes (upstream.max_body_bytes); "
                    "ask for one logName, a smaller limit, or a window with stepMin and stepMax",
                    upstream_status=response.status,
                )
            chunks.append(chunk)
        return b"".join(chunks)


def _reason(exc: aiohttp.ClientError) -> str:
    match exc:
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientSSLError():
            return "its TLS certificate or handshake was not accepted"
        case aiohttp.ClientConnectorDNSError():
            return "its host name has no address"
        case aiohttp.ClientConnectorError():
            return "no connection"
        case aiohttp.ServerDisconnectedError():
            return "it closed the connection without an answer"
        case aiohttp.ClientPayloadError():
            return "its answer broke off or could not be decompressed"
        case _:
            return type(exc).__name__


@asynccontextmanager
async def open_session(settings: model.Upstream) -> AsyncIterator[aiohttp.ClientSession]:
    """Open the pool of connections to the upstream: no cookies, no redirects, no proxy or netrc from the environment."""
    connector = aiohttp.TCPConnector(limit=settings.max_connections, keepalive_timeout=_KEEPALIVE_S)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=settings.connect_timeout_s)
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=timeout,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
            "User-Agent": f"pluto-proxy/{__version__}",
        },
        trust_env=False,
    ) as session:
        yield session
