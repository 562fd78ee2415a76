"""Numbers as JavaScript reads and prints them (ECMA-262, StringToNumber and Number::toString)."""

import math
import re

# ECMA-262 WhiteSpace and LineTerminator. Python's str.strip() would also take \x1c..\x1f and \x85.
_WHITE_SPACE = (
    "\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\ufeff"
)
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_INFINITY = {"Infinity": math.inf, "+Infinity": math.inf, "-Infinity": -math.inf}
_RADIX = (
    (re.compile(r"0[xX]([0-9a-fA-F]+)"), 16),
    (re.compile(r"0[oO]([0-7]+)"), 8),
    (re.compile(r"0[bB]([01]+)"), 2),
)
_PLAIN_DIGITS = 21  # from 1e21 on, and below 1e-6, JavaScript prints an exponent
_LEADING_ZEROS = 6


def parse(text: str) -> float:
    """`Number(text)`: NaN for what isn't a number, 0 for an empty or blank text, a sign only before decimals."""
    text = text.strip(_WHITE_SPACE)
    if not text:
        return 0.0
    if text in _INFINITY:
        return _INFINITY[text]
    if _DECIMAL.fullmatch(text):
        return float(text)
    for pattern, radix in _RADIX:
        if match := pattern.fullmatch(text):
            return _as_float(int(match[1], radix))
    return math.nan


def _as_float(number: int) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf


def to_text(number: float) -> str:
    """`String(number)`: the shortest digits that read back as the same number; -0 is `0`."""
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    if number == 0:
        return "0"
    sign = "-" if number < 0 else ""
    digits, point = _digits(abs(number))
    return sign + _layout(digits, point)


def _digits(number: float) -> tuple[str, int]:
    """The significant digits of a positive number, and where its decimal point stands, counted from their left."""
    mantissa, _, exponent = repr(number).partition("e")
    whole, _, fraction = mantissa.partition(".")
    padded = whole + fraction
    digits = padded.lstrip("0")
    point = len(whole) + int(exponent or 0) - (len(padded) - len(digits))
    return digits.rstrip("0"), point


def _layout(digits: str, point: int) -> str:
    if len(digits) <= point <= _PLAIN_DIGITS:
        return digits + "0" * (point - len(digits))
    if 0 < point <= _PLAIN_DIGITS:
        return f"{digits[:point]}.{digits[point:]}"
    if -_LEADING_ZEROS < point <= 0:
        return f"0.{'0' * -point}{digits}"
    mantissa = digits[0] if len(digits) == 1 else f"{digits[0]}.{digits[1:]}"
    return f"{mantissa}e{point - 1:+d}"
