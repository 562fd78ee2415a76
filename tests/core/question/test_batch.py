"""Inputs about several runs and metrics: every spelling of a question is one text, and no two questions share one."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.pieces import finished
from proxy.core.question.batch import AskedOrder, BatchInput, named_in
from proxy.core.question.key_order import in_asked_order
from proxy.core.question.query import read_query
from proxy.core.question.routes import CHART_DATA
from proxy.core.question.sqids import run_of_sqid
from proxy.errors import BadQuery
from proxy.standin import sqids
from tests.support.charts import asked, chart, directly

BATCH = BatchInput()
NAMES = st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), min_size=1, max_size=6)
RUNS = st.lists(st.integers(0, 2**40), min_size=1, max_size=6)


def opened(**fields: Any) -> Any:
    return BATCH.open(json.dumps({"projectName": "p", "runIds": ["a1"], "logNames": ["x"], **fields}))


@given(NAMES, RUNS, st.data())
def test_the_order_makes_no_other_question(names: list[str], runs: list[int], data: st.DataObject) -> None:
    """Permutations of runs and metrics have one canonical text, which names each as often; the order asked is kept."""
    texts = [sqids.encode(run) for run in runs]
    one = opened(logNames=names, runIds=texts)
    shuffled = data.draw(st.permutations(names)), data.draw(st.permutations(texts))
    other = opened(logNames=shuffled[0], runIds=shuffled[1])
    assert one.values == other.values
    said = json.loads(one.values["input"])
    assert (sorted(said["logNames"]), sorted(said["runIds"])) == (sorted(names), sorted(texts))
    assert one.values["runIds"].split(",") == said["runIds"]
    if other.order is not None:
        assert (list(other.order.names), list(other.order.runs)) == shuffled
    assert named_in(one.values["input"]) == ("p", frozenset(names))
    # What was sent is asked in its own order.
    assert BATCH.open(one.values["input"]).order is None


@pytest.mark.parametrize(
    ("runs", "sorted_"),
    [
        (["MMP-1", "MMP-20", "MMP-3"], True),
        (["mmp-1", "MMP-2"], True),
        (["MMP-1", "mmp-1"], False),
        (["MMP-1", "MMP-01"], False),
        (["MMP-1", "XYZ-2"], False),
        (["MMP-1", sqids.encode(7)], False),
        ([sqids.encode(1), sqids.encode(2)], True),
        # Another spelling of the same number.
        ([sqids.encode(1), sqids.encode(1) + "a"], True),
        # No number, or one that the upstream couldn't tell from others.
        (["a", "b"], False),
        ([sqids.encode(1), "Z" * 40], False),
        ([sqids.encode(1)] * 2, True),
    ],
)
def test_ids_that_may_be_one_run(runs: list[str], sorted_: bool) -> None:
    """Their order stays a part of the question, since the last spelling of a run is the one that is answered with."""
    there, back = opened(runIds=runs), opened(runIds=runs[::-1])
    assert (there.values == back.values) is sorted_


@given(st.integers(0, 2**53 - 1), st.text("abcXYZ019", max_size=3))
def test_short_ids(number: int, more: str) -> None:
    """Read as the stand-in reads them, which shares no code with this."""
    text = sqids.encode(number)
    assert run_of_sqid(text) == number
    for spelled in (text + more, more + text, more):
        run = run_of_sqid(spelled)
        assert run in {sqids.decode_first(spelled), None}
        assert run is not None or (sqids.decode_first(spelled) or 2**60) > 2**53


def test_what_holds_no_number() -> None:
    """Neither nothing, nor another alphabet, nor a separator alone."""
    for text in ("", "a", "é", "a-1", "a b"):
        assert run_of_sqid(text) is None
    assert (
        sum(
            run_of_sqid("a" + character) is None
            for character in "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
        )
        == 1
    )


def test_the_window_and_the_buckets() -> None:
    """Doubles, as upstream; both ends or none; nothing is made up."""
    assert json.loads(opened(buckets=1e3, stepMin=-0.0, stepMax=2**53 + 1).values["input"]) == {
        "projectName": "p",
        "runIds": ["a1"],
        "logNames": ["x"],
        "buckets": 1000,
        "stepMin": 0,
        "stepMax": 2**53,
    }
    for alone in ({"stepMin": 5}, {"stepMax": 5}):
        assert opened(**alone).values == opened().values
    with pytest.raises(ValueError, match="stepMin must be a whole number of 0 or more"):
        opened(stepMin=0.5)


def test_the_organization() -> None:
    """It is no part of the question, and filled in where pluto-api looks for it."""
    target = chart([1], ["a,b", "}"], buckets=10)
    query = read_query(CHART_DATA, target.partition("?")[2])
    named = read_query(CHART_DATA, directly(target, 'o"r g').partition("?")[2])
    assert named.target == query.target
    assert (query.organization, named.organization) == (None, 'o"r g')
    sent = read_query(CHART_DATA, BATCH.addressed(query.target, 'o"r g').partition("?")[2])
    assert (sent.organization, sent.target) == ('o"r g', query.target)


def test_it_reads_alone() -> None:
    """Another parameter is no part of the question; what isn't an input is a bad query."""
    raw = chart([1], ["a"]).partition("?")[2]
    query = read_query(CHART_DATA, f"{raw}&projectName=other&x=1", extra=("x",))
    assert query.unknown == ("projectName",)
    assert query.values["projectName"] == "demo"
    assert query.target.endswith("&x=1")
    with pytest.raises(BadQuery, match=r"nested too deeply|not what pluto-api takes"):
        read_query(CHART_DATA, asked('{"a":' + "[" * 4000).partition("?")[2])


ODD_ONES = ["01", "-1", "1.0", "4294967294", "4294967295"]
INDEX_OR_NOT = st.one_of(st.integers(0, 2**33).map(str), st.text(max_size=3), st.sampled_from(ODD_ONES))
TEXTS = st.lists(INDEX_OR_NOT, min_size=1, max_size=6, unique=True)


def listed(names: list[str]) -> list[str]:
    """Return names as JavaScript lists keys."""
    indices = [
        name for name in names if name.isascii() and name.isdecimal() and str(int(name)) == name and int(name) < 2**32 - 1
    ]
    return sorted(indices, key=int) + [name for name in names if name not in indices]


def body_of(names: list[str], runs: list[str]) -> bytes:
    """Return an answer whose values tell which they are, as JSON.stringify writes it."""
    parts = {name: {run: {"at": [name, run], "}": "{"} for run in listed(runs)} for name in listed(names)}
    return json.dumps(parts, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")


@given(TEXTS, TEXTS, st.data())
def test_keys_in_the_order_asked(names: list[str], runs: list[str], data: st.DataObject) -> None:
    """What follows the question comes as if the client's own order had been sent; the bytes of each value stay."""
    names, runs = ([text.encode("utf-8", "ignore").decode() for text in texts] for texts in (names, runs))
    names, runs = list(dict.fromkeys(names)), list(dict.fromkeys(runs))
    wanted_names, wanted_runs = data.draw(st.permutations(names)), data.draw(st.permutations(runs))
    order = AskedOrder(names=tuple(wanted_names), runs=tuple(wanted_runs), sent_names=tuple(names), sent_runs=tuple(runs))
    there = [name for name in names if data.draw(st.booleans())]
    ordered = finished(in_asked_order(body_of(there, runs), order))
    assert ordered == body_of([name for name in wanted_names if name in there], wanted_runs if there else [])


@given(TEXTS, st.data())
def test_an_order_of_its_own_stays(names: list[str], data: st.DataObject) -> None:
    """Keys that don't follow the question, and keys that nobody asked for, are left where they are."""
    body = body_of(names, ["r"])
    others = tuple(data.draw(st.permutations(names)))
    order = AskedOrder(names=tuple(names), runs=("r",), sent_names=others, sent_runs=("r",))
    if listed(list(others)) != listed(names):
        assert finished(in_asked_order(body, order)) == body
    strange = AskedOrder(names=("x" * 9,), runs=("r",), sent_names=("x" * 9,), sent_runs=("r",))
    assert finished(in_asked_order(body, strange)) == body


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{ "a":{},"b":{}}',
        b'{"a":{},"b":{} }',
        b'{"a" :{},"b":{}}',
        b'{"a":{"r":1},"a":{"r":22}}',
        b'{"a":{},"b":{},"a":{}}',
        b'{"b":{},"a":{"\\ud800":1,"r":2}}',
    ],
)
def test_what_is_laid_out_otherwise_stays(body: bytes) -> None:
    """White space, a key twice, a key with half of a surrogate pair."""
    msgspec.json.decode(body.replace(b"\\ud800", b"x"))
    order = AskedOrder(names=("b", "a"), runs=("s", "r"), sent_names=("a", "b"), sent_runs=("r", "s"))
    assert finished(in_asked_order(body, order)) == body


def test_a_lone_surrogate_moves_with_its_value() -> None:
    """Other keys are ordered all the same, and the escape stays as it came."""
    body = b'{"a":{"r":"\\ud83d","s":1},"b":{"r":2}}'
    order = AskedOrder(names=("b", "a"), runs=("s", "r"), sent_names=("a", "b"), sent_runs=("r", "s"))
    assert finished(in_asked_order(body, order)) == b'{"b":{"r":2},"a":{"s":1,"r":"\\ud83d"}}'
