"""JSON with lone surrogates: read as the rest of it says, changed by nobody."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.access.projects import only_projects, project_of
from proxy.core.lone_surrogates import read_json, without_surrogates
from proxy.core.question import shapes
from proxy.core.question.shapes import Check
from proxy.core.run_status import read_ended, read_page
from proxy.core.series.answers import split
from proxy.core.series.metrics_query import MetricsQuery
from tests.support.surrogates import BODIES, LONE, ROW

_anything = msgspec.json.Decoder(Any)
_characters = st.characters(categories=["L", "N", "P", "Z", "S", "C"], exclude_characters="\0")
_texts = st.text(st.one_of(_characters, st.sampled_from(["\ud83d", "\ude00", "\\", "u", '"'])))
_documents = st.recursive(
    _texts | st.integers(0, 9) | st.none(), lambda inner: st.lists(inner) | st.dictionaries(_texts, inner)
)


def mended(value: Any) -> Any:
    """What is read in a document's place: each lone surrogate is a NUL."""
    match value:
        case str():
            return "".join("\0" if "\ud800" <= character <= "\udfff" else character for character in value)
        case list():
            return [mended(item) for item in value]
        case dict():
            return {mended(name): mended(item) for name, item in value.items()}
        case _:
            return value


@given(_documents)
def test_whatever_json_there_is(value: Any) -> None:
    """It is read as it is but for lone surrogates, which are NULs; the readable form is as long as what came."""
    value = json.loads(json.dumps(value))  # a high and a low one beside each other are a pair, whoever wrote them
    text = json.dumps(value).encode()
    assert read_json(_anything, text) == mended(value)
    assert len(without_surrogates(text)) == len(text)


@pytest.mark.parametrize(
    "text",
    [
        rb'"\ud83d',
        rb'"\ud83d" x',
        rb'"\ud83"',
        rb'["\ud83d", \ud83d]',
        rb'"\ud83dx\q"',
        b'"\\ud83d\x01"',
        rb'{"\ud83d":}',
    ],
)
def test_what_is_no_json_all_the_same(text: bytes) -> None:
    """A lone surrogate excuses nothing else."""
    with pytest.raises(msgspec.DecodeError):
        read_json(_anything, text)


def test_each_spelling() -> None:
    """Digits of either case, a half at the end, two highs in a row, a backslash before: each is what it is."""
    text = rb'["\uD83D","\udE00","x\ud83d","\ud83d\ud83d\ude00","\\ud83d","\\\ud83d","\ud83d\n","\ud83d\u0041"]'
    read: Any = read_json(_anything, text)
    assert read == ["\0", "\0", "x\0", "\0😀", "\\ud83d", "\\\0", "\0\n", "\0A"]


@pytest.mark.parametrize("check", BODIES)
def test_every_route_takes_them(check: Check) -> None:
    """They may stand in any text, be it one that is looked at."""
    check(BODIES[check].encode())


@pytest.mark.parametrize("check", BODIES)
def test_and_nothing_else_with_them(check: Check) -> None:
    """A body that is cut, or not UTF-8, is refused with them as without."""
    with pytest.raises(ValueError):  # noqa: PT011 -- the library's message
        check(BODIES[check].encode()[:-1])
    with pytest.raises(ValueError):  # noqa: PT011 -- as above
        check(BODIES[check].replace(LONE, LONE + "\xff", 1).encode("latin-1"))


def test_a_project_is_shown_to_nobody_by_another_name() -> None:
    """A name that nobody can write is nobody's; others' objects keep their bytes, lone surrogates and all."""
    mine, other = r'{"name":"p", "note":"\uD83d \ude00"}', r'{"name":"p\ud83d"}'
    body = ('{"projects":[' + other + " , " + mine + ",\n" + mine.replace("D83d", "d83D") + "]}").encode()
    wanted = '{"projects":[' + mine + "," + mine.replace("D83d", "d83D") + "]}"
    assert only_projects(body, {"p", "p\ufffd", r"p\ud83d"}) == wanted.encode()
    assert project_of(rb'{"projectName":"p","x":"\ud83d"}') == "p"
    assert project_of(rb'{"projectName":"p\ud83d"}') not in {"p", "p\ufffd", r"p\ud83d"}


def test_a_runs_status() -> None:
    """It is known though the run has such texts elsewhere; a project whose name has one is not another project."""
    assert (page := read_page(rb'{"runs":[{"id":7,"status":"RUNNING","name":"\ud83d"}],"total":1}')) is not None
    assert page.ids == ("7",)
    body = r'{"id":7,"status":"COMPLETED","projectName":"p","statusUpdated":"2026-01-01T00:00:00Z","tags":["\ud83d"]}'
    assert read_ended(body.encode(), run="7", project="p") is not None
    assert read_ended(body.replace('"p"', r'"p\ud83d"').encode(), run="7", project="p") is None


@pytest.mark.parametrize("place", range(4))
def test_nothing_is_computed_from_them(place: int) -> None:
    """An answer that holds one anywhere is not taken apart: names that differ there would look alike."""
    texts = ["a", "", "", "2026-01-01 00:00:00.000"]
    texts[place] += LONE
    body = ('{"metrics":[' + ROW % tuple(texts) + "]}").encode()
    shapes.check_metrics(body)
    with pytest.raises(ValueError, match="surrogate"):
        split(body, MetricsQuery(run="1", project="p", name=None, group=None, limit=10_000, first=0, last=None), sent_at_s=0.0)
