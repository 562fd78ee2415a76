"""Numbers are read and printed as JavaScript does."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.standin import jsnumber

READ = {
    "": 0, " ": 0, "\ufeff": 0, "\u00a0\u20281\u3000": 1, "1": 1, "01": 1, "1.": 1, ".5": 0.5, "+1": 1, "-1": -1,
    "1e3": 1000, "1E-2": 0.01, ".1e1": 1, "0x10": 16, "0XfF": 255, "0o17": 15, "0b101": 5, "Infinity": math.inf,
    "+Infinity": math.inf, "-Infinity": -math.inf, "1e999": math.inf, "9007199254740993": 9007199254740992,
    "0x" + "f" * 300: math.inf, "\t\n\v\f\r7": 7,
}  # fmt: skip
NOT_NUMBERS = [
    "abc", "1_000", "1,2", "+0x1", "-0b1", "0x", "0xg", "0o8", "infinity", "inf", "nan", "NaN", ".", "e1", "1e", "1 2",
    "--1", "\x1c1", "\x1f", "\x851", "\u200b1", "\u0661", "\uff11", "null", "1n", "0x1p3", "+", "1e+",
]  # fmt: skip
PRINTED = {
    0.0: "0", 1.0: "1", -1.5: "-1.5", 1e20: "100000000000000000000", 1e21: "1e+21", 1.5e300: "1.5e+300",
    1e-6: "0.000001", 1e-7: "1e-7", 1.5e-7: "1.5e-7", 5e-324: "5e-324", 123456789.12345679: "123456789.12345679",
    2.0**64: "18446744073709552000", 2.0**53: "9007199254740992", -1e21: "-1e+21", 0.1 + 0.2: "0.30000000000000004",
    1e16: "10000000000000000", 123e-20: "1.23e-18", 0.00012: "0.00012", math.inf: "Infinity", -math.inf: "-Infinity",
}  # fmt: skip


@pytest.mark.parametrize(("text", "number"), READ.items(), ids=ascii)
def test_number_text_is_read(text: str, number: float) -> None:
    """Number(text) is what JavaScript says."""
    assert jsnumber.parse(text) == number


@pytest.mark.parametrize("text", NOT_NUMBERS, ids=ascii)
def test_other_text_is_nan(text: str) -> None:
    """What Python would take, or other alphabets' digits, is NaN all the same."""
    assert math.isnan(jsnumber.parse(text))


def test_negative_zero() -> None:
    """-0 is read as such and printed as 0."""
    assert math.copysign(1, jsnumber.parse("-0")) == -1
    assert jsnumber.to_text(-0.0) == "0"


@pytest.mark.parametrize(("number", "text"), PRINTED.items())
def test_a_number_is_printed(number: float, text: str) -> None:
    """String(number) is what JavaScript says."""
    assert jsnumber.to_text(number) == text


def test_nan_is_printed() -> None:
    """NaN has a name."""
    assert jsnumber.to_text(math.nan) == "NaN"


@given(st.floats(allow_nan=False))
def test_a_printed_number_reads_back(number: float) -> None:
    """Printing loses nothing but the sign of zero."""
    assert jsnumber.parse(jsnumber.to_text(number)) == number
