r"""JSON with lone surrogates: escapes such as `"\ud83d"` that are half of a pair, or of no character at all.

JSON's grammar allows them (RFC 8259 section 8.2), JavaScript writes them for texts that were cut within a character, and
msgspec refuses them wherever they stand. So a text that msgspec refuses is read once more with NUL in the place of each lone
surrogate. No name that a client can ask for holds NUL, so that what is read so equals no such name. Clients get the bytes as
they came.
"""

import re
from typing import TypeVar

import msgspec

# A pair stays as it is, and so does what follows a backslash. Escapes outside of strings are refused by the decoder later.
_ESCAPES = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.", re.DOTALL
)
_IN_PLACE = rb"\u0000"
STAND_IN = "\0"
T = TypeVar("T")


class LoneSurrogates(ValueError):
    """A text is JSON with lone surrogates: texts that differ only in these would look alike."""


def read_json(decoder: "msgspec.json.Decoder[T]", text: bytes) -> T:
    """Return what a decoder reads, with STAND_IN for each lone surrogate. Raises what the decoder raises."""
    try:
        return decoder.decode(text)
    except msgspec.DecodeError:
        if (readable := without_surrogates(text)) == text:
            raise
    return decoder.decode(readable)


def without_surrogates(text: bytes) -> bytes:
    """Return JSON of the same length with an escaped NUL in the place of each lone surrogate's escape."""
    # The first is looked for twenty times as fast as the others.
    if b"\\" not in text or (rb"\ud" not in text and rb"\uD" not in text):
        return text
    return _ESCAPES.sub(lambda found: found[0] if found[1] is None else _IN_PLACE, text)
