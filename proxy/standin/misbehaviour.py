"""The answers that faults give instead of the true one."""

import itertools
import json
from collections.abc import Iterator
from email.utils import formatdate
from http import HTTPStatus

from proxy.standin.answers import HTML, Answer, Headers
from proxy.standin.faults import Fault, FaultKind

_PAGE = "<!DOCTYPE html><html><head><title>{title}</title></head><body><h1>{title}</h1>Ray ID: standin</body></html>"
_HUGE_ROW = b'{"logName":"huge","logGroup":"","value":1,"valueFlag":"","time":"2026-01-01 00:00:00.000","step":%d}'
_HUGE_PIECE_ROWS = 100


def answer_of(fault: Fault, now_s: float) -> Answer | None:
    """What a fault answers by itself; None for the kinds that need the true answer, or none at all."""
    match fault.kind:
        case FaultKind.STATUS:
            return firewall_error(fault.status, retry_after(fault, now_s))
        case FaultKind.HTML:
            page = _PAGE.format(title=_title(fault.status)).encode()
            return Answer(status=fault.status, body=page, content_type=HTML, headers=retry_after(fault, now_s))
        case FaultKind.NOT_JSON:
            return Answer(body=(fault.body or "upstream says hello").encode())
        case FaultKind.WRONG_SHAPE:
            return Answer(body=(fault.body or '{"runs":[]}').encode())
        case FaultKind.REDIRECT:
            status = fault.status if fault.status // 100 == HTTPStatus.MULTIPLE_CHOICES // 100 else HTTPStatus.FOUND
            return Answer(status=status, content_type="", headers=(("location", fault.location),))
        case FaultKind.HUGE:
            return Answer(body=_huge_body(fault.size_bytes))
        case FaultKind.HOLD | FaultKind.HANG | FaultKind.CUT_HEADERS | FaultKind.CUT_BODY | FaultKind.GZIP:
            return None


def firewall_error(status: int, headers: Headers = ()) -> Answer:
    """An error from in front of the application: a short JSON body, none of the application's headers."""
    return Answer(status=status, body=json.dumps({"error": _title(status)}).encode(), headers=headers)


def retry_after(fault: Fault, now_s: float) -> Headers:
    """The Retry-After that a fault asks for."""
    if fault.retry_after_s is None:
        return ()
    if fault.retry_after_as_date:
        return (("retry-after", formatdate(now_s + fault.retry_after_s, usegmt=True)),)
    return (("retry-after", f"{fault.retry_after_s:g}"),)


def _title(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return f"Status {status}"


def _huge_body(size_bytes: int) -> Iterator[bytes]:
    """A well-formed answer of at least `size_bytes`, in pieces of 100 rows (10 kB)."""
    yield b'{"metrics":['
    sent = 0
    for first in itertools.count(0, _HUGE_PIECE_ROWS):
        piece = b",".join(_HUGE_ROW % step for step in range(first, first + _HUGE_PIECE_ROWS))
        sent += len(piece) + 1
        if sent >= size_bytes:
            yield piece + b"]}"
            return
        yield piece + b","
