"""JavaScript numbers on their way into the integer columns of the upstream's two databases."""

from proxy.standin import jsnumber
from proxy.standin.problem import UnreadableError

_BIGINT_END = 2**63


def unsigned(number: float, bits: int = 64) -> int:
    """A ClickHouse UInt64 or UInt32: printed by JavaScript, read digit by digit, wrapped around at 2^bits.

    Raises UnreadableError for a sign, a fraction or an exponent, which the database can't read.
    """
    text = jsnumber.to_text(number)
    if not (text.isascii() and text.isdigit()):
        raise UnreadableError(text)
    return int(text) % (1 << bits)


def bigint(number: float) -> int:
    """A Postgres BIGINT, signed. Raises UnreadableError for fractions and for what is out of its range."""
    if not float(number).is_integer() or not -_BIGINT_END <= number < _BIGINT_END:
        raise UnreadableError(jsnumber.to_text(number))
    return int(number)
