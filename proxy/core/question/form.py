"""A raw query string taken apart strictly: every byte has one meaning, or the request is refused.

The upstream decodes leniently: a malformed percent sequence stays literal, and invalid UTF-8 becomes U+FFFD, so that two
different byte strings can turn into one. This proxy deliberately refuses such queries. It also refuses raw bytes beyond
printable ASCII, which must be percent-encoded (RFC 3986 section 2); the upstream's server would read them as Latin-1.
"""

import re
from urllib.parse import unquote_to_bytes

from proxy.errors import BadQuery, Fault

# Texts that decode to themselves: printable ASCII without `#` (which may not stand in a query), `%` and `+`.
_LITERAL = re.compile(r"[\x21\x22\x24\x26-\x2a\x2c-\x7e]*")
_MALFORMED = re.compile(r"%(?![0-9a-fA-F]{2})")
_UNENCODED = re.compile(r"[^\x21\x22\x24-\x7e]")
_SHOWN_CHARACTERS = 40


def split_query(query: str) -> list[tuple[str, str]]:
    """Return the decoded (name, value) pairs of a raw query, in order.

    Pairs are separated by `&`; the first `=` ends the name, no `=` means an empty value; `+` is a space; pairs without a
    name are dropped. Raises BadQuery naming every parameter that cannot be decoded.
    """
    faults: list[Fault] = []
    pairs: list[tuple[str, str]] = []
    for part in query.split("&"):
        raw_name, _, raw_value = part.partition("=")
        if not raw_name:
            continue
        if _LITERAL.fullmatch(part):
            pairs.append((raw_name, raw_value))
            continue
        try:
            pairs.append((_decode(raw_name), _decode(raw_value)))
        except ValueError as exc:
            faults.append(Fault(parameter=shown(raw_name), message=str(exc)))
    if faults:
        raise BadQuery(tuple(faults))
    return pairs


def read_segment(raw: str) -> str:
    """Return the decoded last segment of a path.

    Raises ValueError where it cannot be decoded and where it is no name: an empty segment, a dot segment (RFC 3986 section
    5.2.4), or one with an encoded slash or backslash.
    """
    text = _decode(raw, plus="+")
    if text in {"", ".", ".."} or "/" in text or "\\" in text:
        raise ValueError("is not one segment of a path")
    return text


def shown(text: str) -> str:
    """Return a client's text shortened, and escaped to printable ASCII: fit for a message, a log line or a header."""
    short = text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "..."
    return short.encode("ascii", "backslashreplace").decode("ascii").translate(_CONTROLS)


_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(0x20), 0x7F)}


def _decode(text: str, *, plus: str = " ") -> str:
    if _LITERAL.fullmatch(text):
        return text
    if found := _UNENCODED.search(text):
        raise ValueError(f"the character {shown(found.group())!r} must be percent-encoded")
    if found := _MALFORMED.search(text):
        raise ValueError(f"{text[found.start() : found.start() + 3]!r} is no percent-encoding; a percent sign itself is %25")
    try:
        decoded = unquote_to_bytes(text.replace("+", plus)).decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("not valid UTF-8 once percent-decoded") from None
    if "\0" in decoded:
        raise ValueError("holds a NUL character, which no name can have")
    return decoded
