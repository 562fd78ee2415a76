"""The kinds of parameters: two texts are one exactly where the upstream reads the same from both."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.question.compound import Json, NameSet, RunIds
from proxy.core.question.ecmascript import WHITESPACE, to_number
from proxy.core.question.parameters import Choice, Flag, Kind, Parameter, Text, Unread, WholeNumber
from proxy.core.question.query import read_query
from proxy.core.question.route import Route, RouteTable
from proxy.core.question.routes import COMPARE, DETAILS, DETAILS_BY_DISPLAY_ID, LIST, METRIC_NAMES, ROUTES
from proxy.errors import BadQuery

LISTS = st.text(alphabet="ab ,\t\u00a0", max_size=12)
STATUSES = NameSet(among=frozenset({"RUNNING", "FAILED"}))


@pytest.mark.parametrize(
    ("kind", "text", "canonical"),
    [
        (Text(empty_is_unset=True, trimmed=True), " \u00a0a b\ufeff", "a b"),
        (Text(empty_is_unset=True, trimmed=True), " \t", None),
        (Text(empty_is_unset=False), "", ""),
        (WholeNumber(minimum=0, cap=100), "1e3", "100"),
        (WholeNumber(minimum=0, cap=100), "", "0"),
        (WholeNumber(minimum=0, cap=100), "100.5", "100"),
        (WholeNumber(minimum=0, cap=100), "Infinity", "100"),
        (Choice(options=("A", "B")), "B", "B"),
        (Flag(), "false", "true"),
        (Flag(), "", None),
        (Unread(), "anything", None),
        (NameSet(), "b, a,,b", "a,b"),
        (NameSet(), " , ", None),
        (STATUSES, "RUNNING,FAILED,RUNNING", "FAILED,RUNNING"),
        (STATUSES, "RUNNING,done ,FAILED", "RUNNING,done ,FAILED"),
        (RunIds(ordered=True), "3,1,3,x,0x2", "3,1,3,2"),
        (RunIds(ordered=True), "", "0"),
        (RunIds(ordered=False), "3,1,3,x,0x2", "1,2,3"),
        (RunIds(ordered=False), "x", None),
        (RunIds(ordered=False), "1,", "0,1"),
        (RunIds(ordered=False), "", None),
        (RunIds(ordered=False), " ", "0"),
        (Json(), "", None),
        (Json(), ' {"a b" : [1, 2.0 , "\\" x"]}\n', '{"a b":[1,2.0,"\\" x"]}'),
        (Json(), '{"a": 1', '{"a": 1'),
        (Json(), '{"a": "\\ud83d b"}', '{"a":"\\ud83d b"}'),
        (Json(), '{"a": 1, "a": 2}', '{"a":1,"a":2}'),
    ],
)
def test_canonical_texts(kind: Kind, text: str, canonical: str | None) -> None:
    """Each kind has one text for every spelling of a value, None where it is as good as left out."""
    assert kind.canonical(text) == canonical


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (Choice(options=("A",)), "a"),
        (Choice(options=("A",)), ""),
        (WholeNumber(minimum=0, cap=100), "-1"),
        (WholeNumber(minimum=0, cap=100), "1.5"),
        (RunIds(ordered=True), "x,y"),
        (RunIds(ordered=True), "1.5"),
        (RunIds(ordered=False), "Infinity"),
        (RunIds(ordered=True, most=2), "1,1,1"),
    ],
)
def test_refused_texts(kind: Kind, text: str) -> None:
    """What the upstream would refuse is refused here, with a sentence."""
    with pytest.raises(ValueError, match=r"must|holds"):
        kind.canonical(text)


@given(LISTS, LISTS)
def test_sets_share_a_text_exactly_where_they_are_equal(one: str, other: str) -> None:
    """Two lists of names have one canonical text where they are one set upstream, and only there."""

    def names(text: str) -> set[str]:
        return {name for part in text.split(",") if (name := part.strip(WHITESPACE))}

    assert (NameSet().canonical(one) == NameSet().canonical(other)) == (names(one) == names(other))


@given(st.text(alphabet="12, x", max_size=8), st.text(alphabet="12, x", max_size=8))
def test_runs_share_a_text_exactly_where_they_are_equal(one: str, other: str) -> None:
    """Where the answer tells the order it is part of the question, elsewhere only which runs there are."""

    def runs(text: str) -> list[float]:
        return [number for part in text.split(",") if (number := to_number(part)) == number]

    def scope(text: str) -> set[float]:
        return set(runs(text)) if text else set()

    assert (RunIds(ordered=False).canonical(one) == RunIds(ordered=False).canonical(other)) == (scope(one) == scope(other))
    if runs(one) and runs(other):
        assert (RunIds(ordered=True).canonical(one) == RunIds(ordered=True).canonical(other)) == (runs(one) == runs(other))


@given(st.recursive(st.none() | st.booleans() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_json_loses_nothing_but_white_space(value: object) -> None:
    """However a document is laid out, its canonical text is one and means the same."""
    texts = {
        Json().canonical(json.dumps(value, ensure_ascii=False, indent=indent, separators=separators))
        for indent, separators in ((None, (",", ":")), (None, (", ", ": ")), (2, None), (None, (" , ", "\t:\n")))
    }
    assert len(texts) == 1
    (text,) = texts
    assert text is not None
    assert json.loads(text) == value


@pytest.mark.parametrize(
    ("route", "segment", "raw", "target"),
    [
        (DETAILS, "0x10", "projectName=a", "/api/runs/details/16"),
        (DETAILS, "%2016", "projectName=a", "/api/runs/details/16"),
        (DETAILS_BY_DISPLAY_ID, "MMP-42", "projectName=a%20b", "/api/runs/details/by-display-id/MMP-42?projectName=a%20b"),
        (DETAILS_BY_DISPLAY_ID, "m+p%C3%BC-1", "", "/api/runs/details/by-display-id/m%2Bp%C3%BC-1"),
        (LIST, "", "includeFieldValues=&includeFieldValues=", "/api/runs/list?limit=50&includeFieldValues=true"),
        (COMPARE, "", "logName=a&projectName=p&runIds=2,1", "/api/runs/compare?runIds=2,1&projectName=p&logName=a"),
        (METRIC_NAMES, "", "projectName=p&runIds=2,1&limit=1e9", "/api/runs/metric-names?projectName=p&runIds=1,2&limit=500"),
        (
            LIST,
            "",
            "status=FAILED,RUNNING&tags=b,a&projectName=p&offset=0",
            "/api/runs/list?projectName=p&tags=a,b&limit=50&status=FAILED,RUNNING",
        ),
    ],
)
def test_targets(route: Route, segment: str, raw: str, target: str) -> None:
    """The canonical question of a row: its path with the segment, and its parameters in the table's order."""
    assert read_query(route, raw, segment=segment).target == target


@pytest.mark.parametrize("segment", ["", ".", "%2e%2E", "a%2Fb", "a%5Cb", "%", "%C3", "%00", "1.5"])
def test_segments_that_are_refused(segment: str) -> None:
    """A segment that means more than a number, or that cannot be decoded, never becomes part of a path upstream."""
    with pytest.raises(BadQuery):
        read_query(DETAILS, "", segment=segment)


def test_the_table_is_consistent() -> None:
    """Names and paths are each row's own, and every row can be found by its path."""
    assert len({route.name for route in ROUTES}) == len({route.path for route in ROUTES}) == len(ROUTES)
    table = RouteTable(ROUTES)
    for route in ROUTES:
        segment = "" if route.segment is None else "7"
        assert table.match(route.path.partition("{")[0] + segment) == (route, segment)


@pytest.mark.parametrize("path", ["/a/{x}/b", "/a/{x}"])
def test_rows_that_cannot_be(path: str) -> None:
    """Only a last segment can be open, and needs a parameter."""
    with pytest.raises(ValueError, match="last segment"):
        Route(name="x", path=path, summary="", parameters=(), check=lambda _: None)


@pytest.mark.parametrize("name", ["a b", "ä", "a&b", "a=b", "1", ""])
def test_parameters_that_cannot_be(name: str) -> None:
    """Their names go into the question as they are."""
    with pytest.raises(ValueError, match="plain words"):
        Route(name="x", path="/x", summary="", parameters=(Parameter(name=name, kind=Flag()),), check=lambda _: None)
