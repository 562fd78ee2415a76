r"""JSON with lone surrogates: escapes such as `"\ud83d"` that are half of a pair, or of no character at all.

JSON's grammar allows them (RFC 8259 section 8.2), JavaScript writes them for texts that were cut within a character, and
msgspec refuses them wherever they stand. So what cannot be read for them is read once more with NUL in their places: no name
that anybody can ask for holds one, so what is read so is equal to nothing that it is not. What is passed on are the bytes as
they came.
"""

import re
from typing import TypeVar

import msgspec

# Escapes outside of strings are refused by whoever reads what is left; a pair, and what follows a backslash, stay as they are.
_ESCAPES = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.", re.DOTALL
)
_IN_PLACE = rb"\u0000"
STAND_IN = "\0"
T = TypeVar("T")


class LoneSurrogates(ValueError):
    """Something is JSON and holds lone surrogates, so that what differs in them would look alike."""


def read_json(decoder: "msgspec.json.Decoder[T]", text: bytes) -> T:
    """Return what a decoder reads, STAND_IN standing for each lone surrogate. Raises what the decoder raises."""
    try:
        return decoder.decode(text)
    except msgspec.DecodeError:
        if (readable := without_surrogates(text)) == text:
            raise
    return decoder.decode(readable)


def without_surrogates(text: bytes) -> bytes:
    """Return JSON of the same length with an escaped NUL in the place of each lone surrogate's escape."""
    if rb"\ud" not in text and rb"\uD" not in text:
        return text
    return _ESCAPES.sub(lambda found: found[0] if found[1] is None else _IN_PLACE, text)
