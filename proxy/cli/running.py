"""A running proxy, as commands ask it: over HTTP, like any other client."""

import os
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import msgspec
from yarl import URL

from proxy import __version__
from proxy.cli.output import plain
from proxy.cli.place import Place
from proxy.config.addresses import UNIX
from proxy.config.load import TOKEN_VARIABLE
from proxy.errors import CommandError, ConfigError

_CONNECT_S, ANSWER_S = 5.0, 60.0
_UNAUTHORIZED = f"set {TOKEN_VARIABLE}, or name a file that holds it with --token-file"
_object = msgspec.json.Decoder(dict[str, object])


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A response; the names of `headers` are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def document(self) -> dict[str, object]:
        """Return the body as an object. Raises CommandError where it is something else."""
        try:
            return _object.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise CommandError("the answer is no JSON object: is it a pluto-proxy that answers there?") from None


class RunningProxy:
    """Sends requests to a running proxy."""

    def __init__(self, place: Place, session: aiohttp.ClientSession) -> None:
        self.url = place.url
        # Of a Unix socket only the path counts. The host is one that every proxy answers for.
        self._base = "http://localhost" if place.url.startswith(UNIX) else place.url
        self._session = session
        self._headers = {"Authorization": f"Bearer {place.token}"} if place.token else {}

    async def get(self, target: str, **headers: str) -> Reply:
        """Request a target. Return the response, whatever its status. Raises CommandError where there is none."""
        return await self._send("GET", target, headers, b"")

    async def post(self, target: str, document: object) -> Reply:
        """Send a document. Return the response, whatever its status. Raises CommandError where there is none."""
        return await self._send("POST", target, {"Content-Type": "application/json"}, msgspec.json.encode(document))

    async def ask(self, target: str) -> Reply:
        """Request a target. Return the response, a 200. Raises CommandError."""
        reply = await self.get(target)
        if reply.status != 200:
            raise CommandError(told(reply))
        return reply

    async def _send(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Reply:
        url = URL(self._base + target, encoded=True)
        asking = self._session.request(
            method, url, headers={**self._headers, **headers}, data=body or None, allow_redirects=False
        )
        try:
            async with asking as response:
                said = await response.read()
                return Reply(
                    status=response.status,
                    headers={name.lower(): value for name, value in response.headers.items()},
                    body=said,
                )
        except TimeoutError:
            raise CommandError(f"{self.url} does not answer in time") from None
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            reason = _reason(exc)
            hint = "" if reason.endswith("?") else "; is it running? --url says where"
            raise CommandError(f"no proxy answers at {self.url}: {reason}{hint}") from None


@asynccontextmanager
async def reaching(place: Place, *, answer_s: float = ANSWER_S) -> AsyncIterator[RunningProxy]:
    """Open the connections to a running proxy. Proxies that the environment names are not used.

    A response must be there within `answer_s` seconds. Raises ConfigError where the place's `ca_file` cannot be used.
    """
    timeout = aiohttp.ClientTimeout(total=answer_s, sock_connect=_CONNECT_S)
    async with aiohttp.ClientSession(
        connector=_connector(place),
        timeout=timeout,
        trust_env=False,
        headers={"User-Agent": f"pluto-proxy-cli/{__version__}"},
    ) as session:
        yield RunningProxy(place, session)


def _connector(place: Place) -> aiohttp.BaseConnector:
    if place.url.startswith(UNIX):
        return aiohttp.UnixConnector(place.url.removeprefix(UNIX))
    if place.certificate is not None:
        return aiohttp.TCPConnector(ssl=aiohttp.Fingerprint(place.certificate))
    return aiohttp.TCPConnector(ssl=_trusting(place.ca_file) if place.url.startswith("https:") else True)


def _trusting(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError:
        raise ConfigError([f"--ca-file: {ca_file} holds no certificates in PEM form, or a damaged one"]) from None
    except OSError as exc:
        raise ConfigError([f"--ca-file: {ca_file} cannot be read: {exc.strerror}"]) from None


def told(reply: Reply) -> str:
    """Return in one line what a response says that isn't what was asked for."""
    try:
        problem = _object.decode(reply.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        problem = {}
    said = problem.get("detail") or problem.get("error") or problem.get("title")
    if reply.status == 401:
        return f"the proxy refuses the request: {plain(str(said))}; {_UNAUTHORIZED}"
    if said is None:
        return f"the answer has status {reply.status}, and doesn't say why: is it a pluto-proxy that answers there?"
    return plain(f"the proxy answers {reply.status}: {said}")


def _reason(exc: Exception) -> str:
    match exc:
        case aiohttp.ServerFingerprintMismatch():
            return "it has another certificate than server.tls_cert"
        case aiohttp.ClientConnectorCertificateError():
            why = getattr(exc.certificate_error, "verify_message", "") or "it is for another name"
            return f"its certificate is not accepted: {plain(why)}; --ca-file names who issued it"
        case aiohttp.ClientSSLError():
            return "the TLS handshake failed: is its address http://?"
        case aiohttp.ServerDisconnectedError():
            return "it closed the connection: is its address https://?"
        case aiohttp.ClientConnectorDNSError():
            return plain(exc.os_error.strerror or "its name is not known")
        case OSError(errno=int(code)) if code > 0:
            return os.strerror(code)
        case _:
            return plain(str(exc))
