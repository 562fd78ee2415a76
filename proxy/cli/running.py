"""A running proxy, as commands ask it: over HTTP, like any other client."""

import ipaddress
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import msgspec
from yarl import URL

from proxy import __version__
from proxy.cli.output import plain
from proxy.config.load import TOKEN_VARIABLE, URL_VARIABLE
from proxy.config.model import Config, split_listen
from proxy.errors import CommandError, ConfigError

_CONNECT_S, ANSWER_S = 5.0, 60.0
_LONGEST_TOKEN = 10_000
_UNAUTHORIZED = f"set {TOKEN_VARIABLE}, or name a file that holds it with --token-file"
_object = msgspec.json.Decoder(dict[str, object])


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a running proxy is, and the token to send (`""`: none)."""

    url: str
    token: str = field(default="", repr=False)


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


def place_of(url: str | None, token_file: Path | None, environ: Mapping[str, str], config: Config) -> Place:
    """Return where to ask: at `url`, or where the environment says, or where the configuration listens.

    Raises ConfigError.
    """
    url = url or environ.get(URL_VARIABLE, "").strip() or url_of(config)
    if not _is_base(url):
        # What is wrong may be a password in it, which isn't shown.
        raise ConfigError([f"--url ({URL_VARIABLE}) must be the address of a proxy, such as http://127.0.0.1:8787"])
    token = environ.get(TOKEN_VARIABLE, "").strip() if token_file is None else _read_token(token_file)
    if not token.isascii() or not token.isprintable():
        raise ConfigError(["the token holds something that no token has"])
    return Place(url=url.rstrip("/"), token=token)


def _is_base(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.username is None and not parts.query


def url_of(config: Config) -> str:
    """Return the address at which this machine reaches a proxy with this configuration. Raises ConfigError."""
    host, port = split_listen(config.server.listen)
    if not port:
        raise ConfigError(["server.listen names no port: say where the proxy is with --url"])
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return f"http://{host}:{port}"
    if address.is_unspecified:
        host = "127.0.0.1" if address.version == 4 else "::1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class RunningProxy:
    """Sends requests to a running proxy."""

    def __init__(self, place: Place, session: aiohttp.ClientSession) -> None:
        self.url = place.url
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
        url = URL(self.url + target, encoded=True)
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
            raise CommandError(f"no proxy answers at {self.url}: {_reason(exc)}; is it running? --url says where") from None


@asynccontextmanager
async def reaching(place: Place, *, answer_s: float = ANSWER_S) -> AsyncIterator[RunningProxy]:
    """Open the connections to a running proxy. Proxies that the environment names are not used.

    A response must be there within `answer_s` seconds.
    """
    timeout = aiohttp.ClientTimeout(total=answer_s, sock_connect=_CONNECT_S)
    async with aiohttp.ClientSession(
        timeout=timeout, trust_env=False, headers={"User-Agent": f"pluto-proxy-cli/{__version__}"}
    ) as session:
        yield RunningProxy(place, session)


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
    if isinstance(exc, OSError) and exc.errno is not None and exc.errno > 0:
        return os.strerror(exc.errno)
    return plain(str(exc))


def _read_token(path: Path) -> str:
    try:
        with path.open(encoding="utf-8-sig") as file:
            text = file.read(_LONGEST_TOKEN + 1).strip()
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "not a text file in UTF-8"
        raise ConfigError([f"--token-file: {path} cannot be read: {reason}"]) from None
    if not text or len(text) > _LONGEST_TOKEN:
        raise ConfigError([f"--token-file: {path} holds no token, or more than one"])
    return text
