"""Entity tags (RFC 9110 section 8.8.3) and `If-None-Match` (section 13.1.2).

A tag is made of the body's digest and the coding: it stays the same when a refresh brings the same bytes and across restarts,
and differs between the representations of one entry, as a strong validator must.
"""

import re

from proxy.core.freshness.entry import Coding, Entry

# One element of the list and the commas that follow it: empty elements are to be ignored (RFC 9110 section 5.6.1).
_TAG = re.compile(r'[\s,]*(?:W/)?"([\x21\x23-\x7e\x80-\xff]*)"\s*(?:,|$)')


def etag(entry: Entry, coding: Coding) -> str:
    """Return the strong entity tag of one representation, quotes included."""
    return f'"{_opaque(entry, coding)}"'


def matched(if_none_match: str, entry: Entry, sent: Coding) -> Coding | None:
    """Return the coding of a current representation that the client has already, None where it has none.

    `sent` is the coding that would be sent, and what `*` stands for. The comparison is weak, as it must be for this field. Any
    representation of the entry counts: they are the same answer, and the client named one that it holds. A malformed list is
    read up to where it breaks.
    """
    if if_none_match.strip() == "*":
        return sent
    tags = _tags(if_none_match)
    return next((coding for coding in (sent, *Coding) if _opaque(entry, coding) in tags), None)


def _opaque(entry: Entry, coding: Coding) -> str:
    return entry.digest if coding is Coding.IDENTITY else f"{entry.digest}-{coding}"


def _tags(text: str) -> set[str]:
    found: set[str] = set()
    position = 0
    while (match := _TAG.match(text, position)) is not None:
        found.add(match[1])
        position = match.end()
    return found
