"""What a key of pluto-api looks like. A text that cannot be one is refused at once, with what is wrong with it."""

import re

from proxy.core.access.grants import BEARER_PREFIX, UPSTREAM_KEY_PREFIXES

# No setting begins or ends with these, unless some tool has kept quotation marks that a shell would have removed.
QUOTES = tuple("\"'`\u2018\u2019\u201c\u201d")
_HEADER = re.compile(r"(authorization\s*:\s*)?bearer\b", re.IGNORECASE)
_ASSIGNMENT = re.compile(r"(export\s+)?[A-Za-z_][A-Za-z0-9_]*\s*=")
# Printable ASCII without spaces, quotation marks and backslashes.
_KEY = re.compile(r"ml(?:pi|ps)_[\x21\x23-\x26\x28-\x5b\x5d-\x5f\x61-\x7e]+")


def read_key(text: str) -> str:
    """Return the key in a text, without white space around it, such as the end of a line.

    Raises ValueError that says what is wrong and what to do, and quotes nothing of the text.
    """
    key = text.strip()
    if not key:
        raise ValueError("there is no key in it")
    if key.startswith(QUOTES) or key.endswith(QUOTES):
        raise ValueError("the key has quotation marks around it, which would be sent along; leave them out")
    if _HEADER.match(key):
        raise ValueError("it must hold the key alone, without `Bearer` in front")
    if _ASSIGNMENT.match(key):
        raise ValueError("it must hold the key alone, without `NAME=` in front")
    if key.startswith(BEARER_PREFIX):
        raise ValueError(
            f"{BEARER_PREFIX}... is a token of this proxy, for its clients; pluto-api's keys begin with mlpi_ or mlps_"
        )
    if not key.startswith(UPSTREAM_KEY_PREFIXES):
        raise ValueError("pluto-api's keys begin with mlpi_ or mlps_, this one doesn't; is it another service's?")
    if not _KEY.fullmatch(key):
        raise ValueError("the key must be one line of printable ASCII without spaces, quotation marks and backslashes")
    if key.endswith("..."):
        raise ValueError("the key ends in `...`, as in an example; put in a whole one")
    return key
