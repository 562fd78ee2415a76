"""Entity tags (RFC 9110 section 8.8.3) and `If-None-Match` (section 13.1.2).

A tag is made of the body's digest and the coding. So it stays the same across restarts, and when a refresh brings the same
bytes; and it differs between the representations of one entry, as a strong validator must.
"""

import re

from proxy.core.freshness.entry import Coding, Entry

# One element of the list, with the commas around it: empty elements are ignored (RFC 9110 section 5.6.1).
_TAG = re.compile(r'[\s,]*(?:W/)?"([\x21\x23-\x7e\x80-\xff]*)"\s*(?:,|$)')


def etag(entry: Entry, coding: Coding) -> str:
    """Return the strong entity tag of one representation, quotes included."""
    return f'"{_opaque(entry, coding)}"'


def matched(if_none_match: str, entry: Entry, sent: Coding) -> Coding | None:
    """Return the coding of the current representation that the client holds, None where it holds none.

    `sent` is the coding that would be sent, which `*` stands for. The comparison is weak, as this field demands. Any
    representation of the entry counts, since all are the same answer. A malformed list is read up to its first error.
    """
    if if_none_match.strip() == "*":
        return sent
    tags = _tags(if_none_match)
    return next((coding for coding in (sent, *Coding) if _opaque(entry, coding) in tags), None)


def is_named(if_none_match: str, tag: str) -> bool:
    """Tell whether a client holds the representation with an opaque tag (weak comparison)."""
    return if_none_match.strip() == "*" or tag in _tags(if_none_match)


def _opaque(entry: Entry, coding: Coding) -> str:
    return entry.digest if coding is Coding.IDENTITY else f"{entry.digest}-{coding}"


def _tags(text: str) -> set[str]:
    found: set[str] = set()
    position = 0
    while (match := _TAG.match(text, position)) is not None:
        found.add(match[1])
        position = match.end()
    return found
