"""Numbers as the upstream reads them: JavaScript's `Number(text)` (ECMA-262, "StringToNumber").

Python's `float()` differs: it takes `1_0`, Arabic digits, `nan` and `\\x1c1`, and refuses `0x1`, `""` and a byte order mark. A
proxy that read `1_0` as 10 would answer a question that the upstream refuses.
"""

import math
import re

# WhiteSpace and LineTerminator of ECMA-262. Python would also strip U+0085 and U+001C..1F.
WHITESPACE = "\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
WHITESPACE += "\u2028\u2029\u202f\u205f\u3000\ufeff"

_DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_RADIX = re.compile(r"0(?:[xX]([0-9a-fA-F]+)|[oO]([0-7]+)|[bB]([01]+))")
_BASES = (16, 8, 2)


def to_number(text: str) -> float:
    """Return the double that JavaScript's `Number(text)` is: `nan` for what is no number, 0.0 for an empty text."""
    text = text.strip(WHITESPACE)
    if not text:
        return 0.0
    if _DECIMAL.fullmatch(text):
        return float(text)
    if radix := _RADIX.fullmatch(text):
        base, digits = next((base, digits) for base, digits in zip(_BASES, radix.groups(), strict=True) if digits)
        return _double(int(digits, base))
    if text in {"Infinity", "+Infinity", "-Infinity"}:
        return float(text)
    return math.nan


def _double(number: int) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf
