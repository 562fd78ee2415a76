"""`/` and `/page/`: the page to look at charts with. It is a table of files that is read once, at the start."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import structlog
from aiohttp import web

import proxy
from proxy.core.freshness.entry import Coding
from proxy.core.http.coding import encode
from proxy.core.http.negotiation import acceptable
from proxy.web.accounting.context import RequestContext
from proxy.web.pages.page import Page
from proxy.web.reading.fields import joined
from proxy.web.reading.targets import Target

FOLDER = Path(proxy.__file__).parent / "page"
PREFIX = "/page/"
# What is drawn with is no part of the repository: `make page` fetches it.
DRAWING = ("vendor/uPlot.iife.min.js", "vendor/uPlot.min.css")
_INDEX = "index.html"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
# The page takes everything from this proxy. `blob:` and `data:` are for the pictures of charts that it makes itself.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
_HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept-Encoding",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_log = structlog.get_logger()


def open_page(folder: Path = FOLDER) -> Mapping[str, Page]:
    """Read the files in a folder and return a page for each, by path. None are there without what the page draws with."""
    if missing := [name for name in DRAWING if not (folder / name).is_file()]:
        _log.warning("page.missing", detail=f"/ is not served: {', '.join(missing)} is not there; `make page` fetches it")
        return {}
    return {path: Page(name="page", respond=_read(file).respond, is_public=True) for path, file in _files(folder)}


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    yield "/", folder / _INDEX
    for file in sorted(folder.rglob("*")):
        if file.suffix in _TYPES and file.name != _INDEX and file.is_file():
            yield PREFIX + file.relative_to(folder).as_posix(), file


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """A file's content, as it is and compressed, its type, and its entity tag, which is that of both forms."""

    content: bytes
    gzipped: bytes
    content_type: str
    tag: str

    async def respond(self, context: RequestContext, _target: Target) -> web.Response:
        """Return the response to a GET or HEAD: a 304 where the browser has the file already."""
        headers = context.request.headers
        sent = {**_HEADERS, "ETag": self.tag}
        # The tag is weak and of our own making, so that it can't be a part of another one.
        if self.tag in (joined(headers, "If-None-Match") or ""):
            return web.Response(status=304, headers=sent)
        sent["Content-Type"] = self.content_type
        if Coding.GZIP in acceptable(joined(headers, "Accept-Encoding")):
            return web.Response(body=self.gzipped, headers=sent | {"Content-Encoding": "gzip"})
        return web.Response(body=self.content, headers=sent)


def _read(file: Path) -> _File:
    content = file.read_bytes()
    return _File(
        content=content,
        gzipped=_gzip(content),
        content_type=_TYPES[file.suffix],
        tag=f'W/"{hashlib.sha256(content).hexdigest()[:32]}"',
    )


@cache
def _gzip(content: bytes) -> bytes:
    """Compress a file once, however many proxies a process opens."""
    return encode(content, Coding.GZIP)
