"""Long live series: that what is computed of them is what a table of their rows would say, and that the judge knows it."""

import math
import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.standin import jsnumber
from proxy.standin.params import MetricsQuery
from tests.bench.growing.history import LongPast
from tests.bench.growing.origin import argument, make_standin
from tests.bench.growing.series import Series, Writing
from tests.bench.processes import serving
from tests.bench.replay import contest
from tests.bench.replay.judge import Answer, Promise, Verdict, judge
from tests.bench.replay.script import Question
from tests.support.oracle import Asked, OracleRow, permitted
from tests.support.world import KEY

START_S = 1_800_000_000.0
SERIES = Series(start_s=START_S, rows=1_000_000, late_each=50, rewrite_each_s=0.5)
PROMISE = Promise(age_s=10, rewrite_s=0)
LENIENT = Promise(age_s=10, rewrite_s=300)
NEWEST = Question(run=1, name="train/loss", first=SERIES.rows - 900)
OLD = Question(run=1, name="train/loss", first=500_000, last=500_999)

all_series = st.builds(
    Series,
    start_s=st.just(START_S),
    rows=st.integers(0, 300),
    name=st.sampled_from(["train/loss", "loss", "a/b/c"]),
    rows_per_s=st.sampled_from([0.3, 1.0, 5.0, 7.0]),
    first_step=st.integers(0, 20),
    stride=st.integers(1, 7),
    late_each=st.sampled_from([0, 2, 3, 10]),
    late_s=st.sampled_from([0.5, 3.0, 20.0]),
    rewrite_each_s=st.sampled_from([0.0, 0.25, 2.0]),
)
windows = st.none() | st.integers(0, 2_500)


def table(series: Series, moment_s: float) -> list[OracleRow]:
    """The rows of a moment, one after the other."""
    written = Writing(series)
    places = [place for place in range(series.due(moment_s)) if series.arrived_s(place) <= moment_s]
    again = [
        place
        for number in range(1, 1_000)
        if series.rewrite_each_s
        for at_s, place in [series.rewrite(number)]
        if at_s <= moment_s
    ]
    written.again_s(0, moment_s)
    return [
        OracleRow(name=series.name, group="", step=series.step(place), text=written.version(place, again.count(place)))
        for place in places
    ]


@settings(deadline=None)
@given(all_series, st.floats(0, 60), windows, windows, st.integers(1, 400))
def test_what_is_sent_is_what_the_oracle_permits(
    series: Series, after_s: float, first: int | None, last: int | None, limit: int
) -> None:
    """Of any window at any moment, whatever came late or was written again; the judge's past says the same."""
    moment_s = START_S + after_s
    (expected,) = permitted(table(series, moment_s), Asked(first=first or 0, last=last, limit=limit))
    standin = make_standin([series], clock=lambda: moment_s)
    query = MetricsQuery(run_id=1, project="demo", log_name="", log_group="", limit=limit, step_min=first, step_max=last)
    texts = standin.rows.select("org_demo", query, quoted_steps=False)
    standin.rows.close()
    assert f'{{"metrics":[{",".join(texts)}]}}'.encode() == expected
    past = LongPast([series], since_s=START_S)
    question = Question(run=1, first=first, last=last, limit=limit)
    assert past.answer(question, moment_s) == expected
    assert past.says(question, moment_s, expected)
    assert past.count(question, moment_s) == len(texts)


@settings(max_examples=100, deadline=None)
@given(all_series, st.floats(0, 40), st.floats(0, 20), windows, windows)
def test_between_two_moments_nothing_changes(
    series: Series, after_s: float, later_s: float, first: int | None, last: int | None
) -> None:
    """What `moments` leaves out has the answer of the moment before."""
    past, question = LongPast([series], since_s=START_S), Question(run=1, first=first, last=last, limit=50)
    until_s = START_S + after_s + later_s
    moments = past.moments(question, START_S + after_s, until_s)
    assert moments == sorted(moments, reverse=True)
    assert moments[-1] == START_S + after_s
    dice = random.Random(1)  # noqa: S311 -- the same moments every time
    for moment_s in [dice.uniform(START_S + after_s, until_s) for _ in range(20)]:
        before_s = next(one for one in moments if one <= moment_s)
        assert past.says(question, moment_s, past.answer(question, before_s))


@given(st.integers(0, 10**7), st.floats(0.01, 100))
def test_due_is_what_was_logged(place: int, rows_per_s: float) -> None:
    """At the moment at which a row is logged it is due, and just before that it isn't."""
    series = replace(SERIES, rows_per_s=rows_per_s)
    logged_s = series.logged_s(place)
    assert series.due(logged_s) > place
    assert series.due(math.nextafter(logged_s, 0)) <= place or series.logged_s(place - 1) == logged_s


def test_values_are_printed_as_javascript_does() -> None:
    """With as many digits as a double needs."""
    written = Writing(SERIES)
    texts = [written.text(place, START_S) for place in range(0, 1_000_000, 997)]
    values = [text.partition('"value":')[2].partition(",")[0] for text in texts]
    assert values == [jsnumber.to_text(float(value)) for value in values]
    assert sum(map(len, values)) / len(values) > 16
    assert 130 < sum(map(len, texts)) / len(texts) < 150


@pytest.fixture(scope="module")
def past() -> LongPast:
    return LongPast([SERIES], since_s=START_S)


def answer(body: bytes, asked_s: float, *, question: Question, status: int = 200) -> Answer:
    return Answer(
        question=question,
        status=status,
        body=body,
        asked_s=START_S + asked_s,
        answered_s=START_S + asked_s + 0.01,
        elapsed_s=0.01,
    )


@pytest.mark.parametrize(
    ("of_s", "asked_s", "verdict"),
    [(40, 40, Verdict.RIGHT), (30, 40, Verdict.RIGHT), (30, 40.3, Verdict.TOO_OLD), (41, 40.9, Verdict.WRONG)],
)
def test_an_answer_is_as_old_as_what_it_says(past: LongPast, of_s: float, asked_s: float, verdict: Verdict) -> None:
    """From ten seconds before the asking to its end, at a new row each 0.2 s."""
    given = answer(past.answer(NEWEST, START_S + of_s), asked_s, question=NEWEST)
    assert judge(past, given, PROMISE).verdict is verdict


@pytest.mark.parametrize(
    "spoil",
    [
        lambda body: body.replace(b'"value":', b'"value":1', 1),
        lambda body: body[:-4] + b"0}]}",
        lambda body: body.replace(b'"step":', b'"step": ', 1),
        lambda body: b'{"metrics":[' + body[body.index(b"},{") + 2 :],
        lambda body: b"},{".join([part for number, part in enumerate(body.split(b"},{")) if number != 1]),
        lambda body: body[:-3],
        lambda _: b'{"metrics":[]}',
        lambda _: b"",
    ],
)
@pytest.mark.parametrize("question", [NEWEST, OLD, replace(OLD, limit=100), Question(run=1, limit=300)], ids=str)
@pytest.mark.parametrize("promise", [PROMISE, LENIENT], ids=["exact", "lenient"])
def test_a_spoilt_answer_is_wrong(
    past: LongPast, question: Question, promise: Promise, spoil: Callable[[bytes], bytes]
) -> None:
    """One changed digit, one row more or less: nothing is let through that no moment explains."""
    body = past.answer(question, START_S + 4)
    assert judge(past, answer(spoil(body), 4, question=question), promise).verdict is Verdict.WRONG
    assert judge(past, answer(body, 4, question=question), promise).verdict is Verdict.RIGHT


def test_a_row_written_again_may_be_as_before(past: LongPast) -> None:
    """For as long as that is promised."""
    written_s, place = SERIES.rewrite(60)
    question = Question(run=1, first=place - 10, last=place + 10)
    body = past.answer(question, written_s - 0.01)
    assert body != past.answer(question, written_s)
    late = answer(body, written_s - START_S + 20, question=question)
    assert judge(past, late, PROMISE).verdict is Verdict.TOO_OLD
    assert judge(past, late, LENIENT).verdict is Verdict.BEHIND
    assert judge(past, late, replace(LENIENT, rewrite_s=19)).verdict is Verdict.TOO_OLD


def test_a_row_that_came_late_must_be_there(past: LongPast) -> None:
    """It isn't written again: without it an answer is too old."""
    place = next(place for place in range(SERIES.rows - 60, SERIES.rows) if SERIES.is_late(place))
    question = Question(run=1, first=place - 5, last=place + 5)
    arrived_s = SERIES.arrived_s(place)
    before, after = (past.answer(question, moment_s) for moment_s in (math.nextafter(arrived_s, 0), arrived_s))
    assert after.count(b'"step"') == before.count(b'"step"') + 1
    assert judge(past, answer(before, arrived_s - START_S + 11, question=question), LENIENT).verdict is Verdict.TOO_OLD


def test_every_judging_begins_with_spoilt_answers(past: LongPast) -> None:
    """As that of the replay does."""
    answers = [answer(past.answer(question, START_S + 4), 4, question=question) for question in (NEWEST, OLD)]
    assert [one.verdict for one in contest.judged(past, answers, LENIENT)] == [Verdict.RIGHT] * 2


async def test_the_origin_is_a_stand_in(tmp_path: Path) -> None:
    """As a process it tells of its run, samples its rows, and counts what it sends."""
    series = Series(start_s=time.time(), rows=1_000, run=7, rows_per_s=0.001)
    async with serving(tmp_path, "tests.bench.growing.origin", argument([series], latency_ms=0), cpu=None) as origin:
        headers = {"Authorization": f"Bearer {KEY}"}
        async with aiohttp.ClientSession(f"http://127.0.0.1:{origin.port}", headers=headers) as session:
            listed, details, metrics, counters = [
                await (await session.get(path)).json()
                for path in (
                    "/api/runs/list?projectName=demo&status=RUNNING",
                    "/api/runs/details/7",
                    "/api/runs/metrics?runId=7&projectName=demo&logName=train/loss&limit=100",
                    "/_standin/counters",
                )
            ]
    assert [run["id"] for run in listed["runs"]] == [7]
    assert details["status"] == "RUNNING"
    assert "train/loss" in {one["logName"] for one in details["logNames"]}
    assert [row["step"] for row in metrics["metrics"]][:3] == [0, 10, 20]
    assert counters["rows_sent"] == len(metrics["metrics"]) == 101
