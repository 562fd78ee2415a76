"""The shared key as operators' tools hand it over."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.access.key import read_key

KEY = "mlpi_0123456789abcdefABCDEF"


@pytest.mark.parametrize("text", [KEY, "mlps_x", "mlpi_a-b_c.d~e+f/g=", "mlpi_standin_key"])
@pytest.mark.parametrize("around", ["{}", "{}\n", "{}\r\n", " {}\t", "\n\n{}\n\n"])
def test_white_space_around_it_is_no_part_of_it(text: str, around: str) -> None:
    """A file ends with a line end, and what makes secrets of it may keep that."""
    assert read_key(around.format(text)) == text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f'"{KEY}"', "quotation marks around it"),
        (f"'{KEY}'\n", "quotation marks around it"),
        (f"`{KEY}`", "quotation marks around it"),
        (f"\u201c{KEY}\u201d", "quotation marks around it"),
        (f'"{KEY}', "quotation marks around it"),
        (f"{KEY}'", "quotation marks around it"),
        (f'"Bearer {KEY}"', "quotation marks around it"),
        ('""', "quotation marks around it"),
        (f"Bearer {KEY}", "without `Bearer`"),
        (f"bearer\t{KEY}", "without `Bearer`"),
        ("Bearer", "without `Bearer`"),
        (f"Authorization: Bearer {KEY}", "without `Bearer`"),
        (f"PLUTO_API_KEY={KEY}", "without `NAME=`"),
        (f'export PLUTO_API_KEY = "{KEY}', "without `NAME=`"),
        ("ppt_0123456789", "a token of this proxy"),
        ("sk-0123456789", "another service's"),
        ("0123456789abcdef0123456789abcdef01234567", "another service's"),
        ("eyJhbGciOiJIUzI1NiJ9.e30.abc", "another service's"),
        ("${PLUTO_API_KEY}", "another service's"),
        ("<key>", "another service's"),
        ('{"key": "mlpi_x"}', "another service's"),
        ("MLPI_0123456789", "another service's"),
        (f"\ufeff{KEY}", "another service's"),
        (f"{KEY}\\n", "without spaces, quotation marks and backslashes"),
        (f"{KEY} {KEY}", "one line"),
        (f"{KEY}\n{KEY}\n", "one line"),
        (f"{KEY}\x00", "printable ASCII"),
        ("mlpi_\u0430bc", "printable ASCII"),
        ("mlpi_", "printable ASCII"),
        ("mlpi_...", "as in an example"),
        ("mlpi_\u2026", "printable ASCII"),
        ("", "no key"),
        (" \n", "no key"),
    ],
)
def test_what_cannot_be_a_key(text: str, told: str) -> None:
    """Each is told with what is wrong, and nothing of it is repeated."""
    with pytest.raises(ValueError, match=re.escape(told)) as caught:
        read_key(text)
    assert "0123456789" not in str(caught.value)


@given(st.text() | st.text().map(lambda text: f"mlpi_{text}"))
def test_what_is_sent_is_one_word_of_ascii(text: str) -> None:
    """Whatever a text holds, a key that comes of it can stand in a field of a request, and is the text but for its ends."""
    try:
        key = read_key(text)
    except ValueError:
        return
    assert re.fullmatch(r"mlp[is]_[!-~]+", key)
    assert key in text
    assert not text.replace(key, "", 1).strip()
