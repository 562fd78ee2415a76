"""Numbers are read as JavaScript reads them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.question.ecmascript import WHITESPACE, to_number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1", 1),
        ("1.0", 1),
        ("1.", 1),
        ("1e0", 1),
        (".1e1", 1),
        ("+1", 1),
        ("01", 1),
        ("0x1", 1),
        ("0X1f", 31),
        ("0b11", 3),
        ("0B11", 3),
        ("0o17", 15),
        ("0O17", 15),
        (" 1 ", 1),
        ("\t\n\v\f\r\u00a0\ufeff\u2028\u3000 1", 1),
        ("", 0),
        ("   ", 0),
        ("-0", 0),
        ("-5", -5),
        ("9007199254740993", 9007199254740992),
        ("0x20000000000001", 9007199254740992),
        ("1e400", math.inf),
        ("0x" + "f" * 400, math.inf),
        ("Infinity", math.inf),
        ("+Infinity", math.inf),
        ("-Infinity", -math.inf),
        ("1" * 5000, math.inf),
    ],
)
def test_is_a_number_there(text: str, number: float) -> None:
    """What `Number(text)` gives in JavaScript."""
    assert to_number(text) == number


@pytest.mark.parametrize(
    "text",
    [
        "1_0",
        "\u0661",
        "\uff11",
        "\x1c1",
        "\x851",
        "1\x1f",
        "+0x1",
        "-0x1",
        "0x",
        "0x1.8p1",
        "0b2",
        "0o8",
        "1e",
        "e1",
        ".",
        "+",
        "--1",
        "1 2",
        "1,2",
        "inf",
        "infinity",
        "INFINITY",
        "nan",
        "NaN",
        "null",
        "true",
        "1n",
        "1f",
        "\u20601",
        "\u180e1",
    ],
)
def test_is_no_number_there(text: str) -> None:
    """Texts that JavaScript refuses, though Python or a person might read a number in some of them."""
    assert math.isnan(to_number(text))


@given(st.floats(allow_nan=False, allow_infinity=False), st.text(WHITESPACE, max_size=3), st.text(WHITESPACE, max_size=3))
def test_white_space_around_a_number_does_not_matter(number: float, before: str, after: str) -> None:
    """Python's `repr` of a finite float is a JavaScript number, and white space around it is ignored."""
    assert to_number(f"{before}{number!r}{after}") == number
