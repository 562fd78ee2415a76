"""SQL's patterns for texts."""

import re

_ANY = {"%": ".*", "_": "."}


def ilike(text: str, pattern: str) -> bool:
    """`text ILIKE pattern`: `%` is any text, `_` any character, a backslash takes the next one literally; no case."""
    translated = ""
    characters = iter(pattern)
    for character in characters:
        if character == "\\":
            translated += re.escape(next(characters, character))
        else:
            translated += _ANY.get(character, re.escape(character))
    return re.fullmatch(translated, text, re.IGNORECASE | re.DOTALL) is not None


def contains(text: str, part: str) -> bool:
    """`text ILIKE '%' || part || '%'`: wildcards in the part are wildcards."""
    return ilike(text, f"%{part}%")
