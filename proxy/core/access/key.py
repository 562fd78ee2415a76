"""What a key of pluto-api looks like, so that what cannot be one is refused before anybody is told to renew it."""

import re

from proxy.core.access.grants import BEARER_PREFIX, UPSTREAM_KEY_PREFIXES

# What no setting begins or ends with, unless somebody's tool has kept what a shell would have taken away.
QUOTES = tuple("\"'`\u2018\u2019\u201c\u201d")
_HEADER = re.compile(r"(authorization\s*:\s*)?bearer\b", re.IGNORECASE)
_ASSIGNMENT = re.compile(r"(export\s+)?[A-Za-z_][A-Za-z0-9_]*\s*=")
# Printable ASCII without spaces, quotation marks and backslashes.
_KEY = re.compile(r"ml(?:pi|ps)_[\x21\x23-\x26\x28-\x5b\x5d-\x5f\x61-\x7e]+")


def read_key(text: str) -> str:
    """Return the key that a text holds. White space around it, the end of a line say, is no part of it.

    Raises ValueError with what is wrong and what to do, and with nothing of the text.
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
