"""What commands print."""

import io
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.cli.output import Table, plain, size, span, write, write_json, write_table


@given(st.text(st.characters()))
def test_nothing_that_a_terminal_obeys(text: str) -> None:
    """Control characters, C1 among them, and those that turn writing around are written out; the rest stays."""
    shown = plain(text)
    assert shown.isprintable()
    assert not {"\x1b", "\x9b", "\r", "\n", "\u202e"} & set(shown)
    if text.isprintable():
        assert shown == text


def test_escapes_are_written_out() -> None:
    """The text can still be recognised."""
    assert plain("a\x1b[31mb\x9bc\u202ed\ud800é") == "a\\x1b[31mb\\x9bc\\u202ed\\ud800é"


class Stream(io.TextIOWrapper):
    """A standard output of a given encoding."""

    def __init__(self, encoding: str) -> None:
        super().__init__(io.BytesIO(), encoding=encoding)

    @property
    def written(self) -> str:
        self.flush()
        raw = self.buffer
        assert isinstance(raw, io.BytesIO)
        return raw.getvalue().decode(self.encoding)


def test_a_terminal_that_lacks_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are written as escapes: no command fails of them. JSON is ASCII anyway."""
    stream = Stream("ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    write("größe")
    write_json({"größe": "\x9b"})
    assert stream.written == 'gr\\xf6\\xdfe\n{"gr\\u00f6\\u00dfe": "\\u009b"}\n'


def test_a_table_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Aligned with spaces, numbers to the right, without a trailing space."""
    stream = Stream("utf-8")
    monkeypatch.setattr(sys, "stdout", stream)
    write_table(Table(headings=["n", "name"], rows=[["1", "a\x1b[2J"], ["100", "b"]], numbers=frozenset({0})))
    assert stream.written == "  n  name\n  1  a\\x1b[2J\n100  b\n"


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (2**30, "1.0 GiB"), (2**60, "1048576.0 TiB")]
)
def test_sizes(number: int, text: str) -> None:
    """With the unit that fits."""
    assert size(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (99, "99 s"),
        (100, "2 min"),
        (5_940, "99 min"),
        (6_000, "1 h 40 min"),
        (86_400, "24 h 0 min"),
        (180_000, "2 d 2 h"),
    ],
)
def test_spans(seconds: float, text: str) -> None:
    """With the units that fit."""
    assert span(seconds) == text
