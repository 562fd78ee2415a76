"""Leases forced off, or held against the ordinary way in whatever test makes use of them (`pytest --leases=`)."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch
from weakref import WeakKeyDictionary

from aiohttp import web

from proxy.web.gate.guard import Visit
from proxy.web.handler import Handler
from proxy.web.shortcut.lease import Lease
from proxy.web.shortcut.leases import Leases
from proxy.web.shortcut.prepared import PreparedResponse
from proxy.web.shortcut.writing import Outlet

# What differs between any two answers; the length is added to an ordinary one only once it is sent.
_VARYING = {"X-Request-ID", "Date", "Content-Length", "Server"}
_SAID = "what leases said"
# What goes with the clock, which doesn't stand still in every test.
_TIMED = {"Age", "Cache-Status"}


@contextmanager
def leases_off() -> Iterator[None]:
    """No lease answers anything, nor is one made."""

    def parsed(leases: Leases, *_: Any) -> None:
        leases.parsed += 1

    with (
        patch.object(Leases, "answer", lambda *_: False),
        patch.object(Leases, "answer_parsed", parsed),
        patch.object(Leases, "remember", lambda *_: None),
    ):
        yield


@contextmanager
def leases_checked() -> Iterator[list[str]]:
    """Whatever a lease would answer goes the ordinary way, and is compared; yield the list of what was different."""
    different: list[str] = []
    answer, answer_parsed, handle = Leases.answer, Leases.answer_parsed, Handler.handle
    # By the bytes of the request: what the lease said, and when. (Requests themselves keep what was said to them.)
    of_bytes: WeakKeyDictionary[Leases, dict[bytes, tuple[bytes, float]]] = WeakKeyDictionary()

    def checked_answer(leases: Leases, address: str, raw: bytes, outlet: Outlet) -> bool:  # noqa: ARG001 -- its signature
        written = _Written()
        with _unnoticed(leases):
            if answer(leases, address, raw, written):  # type: ignore[arg-type]  # all of an outlet that it uses
                of_bytes.setdefault(leases, {})[raw] = (written.said, leases._clock.now_s())
        return False

    def checked_parsed(leases: Leases, request: web.BaseRequest, visit: Visit, raw: bytes | None) -> None:
        said: list[tuple[bytes, float]] = []
        request[_SAID] = said
        if raw is not None and (by_bytes := of_bytes.get(leases, {}).pop(raw, None)) is not None:
            said.append(by_bytes)
        with _unnoticed(leases):
            found = answer_parsed(leases, request, visit, raw)
        if isinstance(found, PreparedResponse) and found._prepared is not None:
            said.append((found._prepared.head + found._prepared.body, leases._clock.now_s()))

    async def checked_handle(handler: Handler, request: web.BaseRequest, raw: bytes | None = None) -> web.StreamResponse:
        response = await handle(handler, request, raw)
        now_s = handler._leases._clock.now_s()
        for said, at_s in request.pop(_SAID, []):
            if not isinstance(response, web.Response) or (wrong := _difference(said, request, response, stood=at_s == now_s)):
                different.append(f"{request.method} {request.raw_path}: {wrong}")
        return response

    with (
        patch.object(Leases, "answer", checked_answer),
        patch.object(Leases, "answer_parsed", checked_parsed),
        patch.object(Handler, "handle", checked_handle),
    ):
        yield different


class _Written:
    """Takes an answer in place of a connection."""

    descriptor = None

    def __init__(self) -> None:
        self.said = b""

    def write(self, lease: Lease) -> None:
        self.said = bytes(lease.head) + lease.body


@contextmanager
def _unnoticed(leases: Leases) -> Iterator[None]:
    """Neither rates nor counts see what is asked of leases meanwhile: the ordinary way will tell them."""
    leases.settle()
    limits = SimpleNamespace(take_at_once=lambda *_: True, has_rate=leases._limits.has_rate)
    accounting = SimpleNamespace(hits=lambda *_, **__: None)
    with patch.object(leases, "_limits", limits), patch.object(leases, "_accounting", accounting):
        answered = leases._answered
        yield
        leases.settle()
        leases._answered = answered


def _difference(said: bytes, request: web.BaseRequest, response: web.Response, *, stood: bool) -> str:
    """Return what a lease said otherwise than the ordinary response, empty where nothing. `stood`: whether the clock did."""
    head, _, body = said.partition(b"\r\n\r\n")
    status, *lines = head.decode("ascii").split("\r\n")
    left_out = _VARYING if stood else _VARYING | _TIMED
    fields = [(name, value) for name, _, value in (text.partition(": ") for text in lines) if name not in left_out]
    ordinary = [(name, value) for name, value in response.headers.items() if name not in left_out]
    if (status, fields) != (f"HTTP/1.1 {response.status} {response.reason}", ordinary):
        return f"{status} {fields} in place of {response.status} {ordinary}"
    is_empty = request.method == "HEAD" or response.status == 304
    return "" if body == (b"" if is_empty else response.body or b"") else "another body"
