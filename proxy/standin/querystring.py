"""The upstream's reading of a raw query: Hono's rules behind the frontend that repairs invalid UTF-8."""

import re

_ESCAPES = re.compile(r"(?:%[0-9A-Fa-f]{2})+")


def split_target(target: str) -> tuple[str, str | None]:
    """The path and the raw query of a request target as it stood on the request line; None without a `?`."""
    path, mark, query = target.partition("?")
    return path, query if mark else None


def decode(query: str) -> dict[str, list[str]]:
    """All values of each name, in the order they came.

    `+` is a space, in names too; the first `=` splits; no `=` means an empty value; a pair without a name is ignored.
    A malformed percent sequence stays as it is; invalid UTF-8 becomes U+FFFD.
    """
    values: dict[str, list[str]] = {}
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        name = _unescape(name)
        if name:
            values.setdefault(name, []).append(_unescape(value))
    return values


def decode_segment(segment: str) -> str:
    """A segment of a path as a route's parameter: as a value, but that `+` is itself."""
    return _unescape(segment.replace("+", "%2B"))


def _unescape(text: str) -> str:
    # Raw bytes beyond ASCII: aiohttp's own C parser refuses them with 400, its Python one hands them on like this.
    text = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return _ESCAPES.sub(_bytes_of, text.replace("+", " "))


def _bytes_of(match: re.Match[str]) -> str:
    return bytes.fromhex(match[0].replace("%", "")).decode("utf-8", "replace")
