"""The replay's own parts: that its judge knows what was true when, and lets nothing else through."""

import asyncio
import math
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import parse_qsl

import pytest

from proxy.standin import Standin, StandinConfig
from proxy.standin.growth import Series
from proxy.standin.params import MetricsQuery
from tests.bench import packaged
from tests.bench.exchange import UnexpectedError
from tests.bench.packaged import Lifetimes, NotInstalledError
from tests.bench.processes import Server
from tests.bench.replay import contest, fronts
from tests.bench.replay.contest import AWKWARD, PLAIN, growth_of
from tests.bench.replay.history import History, arrives_s
from tests.bench.replay.judge import Answer, Judged, Promise, Verdict, judge
from tests.bench.replay.script import LIMITS, Ask, Question, make_script
from tests.bench.replay.viewers import Viewer
from tests.bench.world import Plan
from tests.support.world import KEY

BEGAN_S = 1_800_000_000.0
PLAN = Plan(finished=1)
GROWTHS = {kind: growth_of(kind, PLAN, BEGAN_S) for kind in (PLAIN, AWKWARD)}
LOSS = Question(run=1002, name="train/loss")
REWRITTEN = Question(run=1002, name="eval/rewritten")
PROMISE = Promise(age_s=10, rewrite_s=0)
LENIENT = Promise(age_s=10, rewrite_s=300)
# The first row written again after the beginning, and when that is: 959 s after the run's start.
AGAIN_STEP, AGAIN_S = 859, BEGAN_S + 9


@pytest.fixture(scope="module")
def history() -> History:
    return History(GROWTHS[AWKWARD], since_s=BEGAN_S, until_s=BEGAN_S + 120)


def answer(body: bytes, asked_s: float, *, question: Question = LOSS, status: int = 200, took_s: float = 0.05) -> Answer:
    return Answer(question=question, status=status, body=body, asked_s=asked_s, answered_s=asked_s + took_s, elapsed_s=took_s)


def rewritten_as_before(history: History, at_s: float) -> bytes:
    """The answer of a moment, with the row that was written again as it was before."""
    place = (AGAIN_STEP, "eval")
    old, new = (row.text for row in history.partitions(REWRITTEN)["eval/rewritten"].versions[place])
    body = history.answer(REWRITTEN, at_s)
    assert body.count(new) == 1
    return body.replace(new, old)


def test_rows_arrive_when_they_are_due() -> None:
    """A row is due from the moment on at which it arrives, and not before; a backlog is with the first row."""
    for series in (Series(name="m", starts_s=7, every_s=3, backlog=5), Series(name="m", every_s=0.5)):
        for index in range(12):
            at_s = arrives_s(series, index)
            assert series.due(at_s) > index
            assert series.due(at_s - 0.25) <= max(index, series.backlog)
            assert index <= series.backlog or series.due(at_s - 0.25) == index


@pytest.mark.parametrize("kind", GROWTHS)
def test_the_history_is_what_the_stand_in_says(kind: str) -> None:
    """At moments as they come, and at those of an arrival and just before it, every question has the stand-in's answer."""
    growth, now_s = GROWTHS[kind], [BEGAN_S]
    standin = Standin(StandinConfig(growth=growth), clock=lambda: now_s[0])
    history = History(growth, since_s=BEGAN_S, until_s=BEGAN_S + 120)
    questions = list(dict.fromkeys(ask.question for ask in make_script(growth, viewers=8, seconds=60)))
    dice = random.Random(3)  # noqa: S311 -- the same questions every time
    whole = [BEGAN_S + second for second in (0, 9, 10, 30, 31, 50, 51, 52, 119)]
    moments = sorted([*whole, *(math.nextafter(moment_s, 0) for moment_s in whole[1:]), BEGAN_S + 77.7])
    compared = 0
    for now_s[0] in moments:
        standin.materialise()
        for question in dice.sample(questions, 25):
            texts = standin.rows.select("org_demo", _asked(question), quoted_steps=False)
            assert history.answer(question, now_s[0]) == f'{{"metrics":[{",".join(texts)}]}}'.encode(), question
            compared += len(texts)
    standin.rows.close()
    assert compared > 50_000


def _asked(question: Question) -> MetricsQuery:
    return MetricsQuery(
        run_id=question.run,
        project="demo",
        log_name=question.name or "",
        log_group=question.group or "",
        limit=question.limit or 2000,
        step_min=question.first,
        step_max=question.last,
    )


@pytest.mark.parametrize(
    ("of_s", "asked_s", "verdict"),
    [
        (40, 40, Verdict.RIGHT),
        (30, 40, Verdict.RIGHT),
        (30, 40.9, Verdict.RIGHT),
        (30, 41, Verdict.TOO_OLD),
        (0, 60, Verdict.TOO_OLD),
        (41, 40.96, Verdict.RIGHT),
        (41, 40.94, Verdict.WRONG),
        (-1, 5, Verdict.WRONG),
    ],
)
def test_an_answer_is_as_old_as_what_it_says(history: History, of_s: float, asked_s: float, verdict: Verdict) -> None:
    """From ten seconds before the asking to the end; older is too old, what was never there to be seen is wrong."""
    given = answer(history.answer(LOSS, BEGAN_S + of_s), BEGAN_S + asked_s)
    assert judge(history, given, PROMISE).verdict is verdict
    assert judge(history, given, LENIENT).verdict is verdict


def test_what_is_too_old_says_by_how_much(history: History) -> None:
    """It counts from when the upstream began to say something else."""
    judged = judge(history, answer(history.answer(LOSS, BEGAN_S + 20), BEGAN_S + 35.5), PROMISE)
    assert judged == Judged(verdict=Verdict.TOO_OLD, behind_s=14.5)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda body: body.replace(b'"value":', b'"value":1', 1),
        lambda body: body.replace(b"}]}", b"0}]}"),
        lambda body: body.replace(b'"step":', b'"step": ', 1),
        lambda body: body[:-2] + b",{}]}",
        lambda body: body[:-3],
        lambda body: body + b"\n",
        lambda body: b'{"metrics":[' + body[body.index(b"},{") + 2 :],
        lambda _: b'{"metrics":[]}',
        lambda _: b"",
        lambda _: b'{"metrics":[]',
    ],
)
@pytest.mark.parametrize("question", [LOSS, REWRITTEN, Question(run=1001, name="dense/signal", limit=500)], ids=str)
@pytest.mark.parametrize("promise", [PROMISE, LENIENT], ids=["exact", "lenient"])
def test_a_spoilt_answer_is_wrong(
    history: History, question: Question, promise: Promise, spoil: Callable[[bytes], bytes]
) -> None:
    """One changed digit, one row more or less, a space: nothing is let through that no moment explains."""
    body = history.answer(question, BEGAN_S + 40)
    assert judge(history, answer(spoil(body), BEGAN_S + 40, question=question), promise).verdict is Verdict.WRONG
    assert judge(history, answer(body, BEGAN_S + 40, question=question), promise).verdict is Verdict.RIGHT


def test_another_stride_is_wrong(history: History) -> None:
    """The sampling is that of one moment's number of rows: 1,000 rows of which 1 in 2 is sent aren't 1,001 with 1 in 3."""
    question = replace(LOSS, limit=500)
    before, after = (history.answer(question, BEGAN_S + second) for second in (49, 50))
    assert before.count(b'"step"') == 501
    assert after.count(b'"step"') == 335
    mixed = before[:-2] + b"," + after[after.rindex(b'{"logName"') :]
    assert judge(history, answer(mixed, BEGAN_S + 51, question=question), LENIENT).verdict is Verdict.WRONG


def test_a_group_is_of_one_moment(history: History) -> None:
    """Names of an answer that are of different moments make no answer that ever was."""
    question = Question(run=1002, group="train")
    older, newer = (history.answer(question, BEGAN_S + second) for second in (40, 44))
    seam = b'{"logName":"train/lr"'
    mixed = older[: older.index(seam)] + newer[newer.index(seam) :]
    assert judge(history, answer(mixed, BEGAN_S + 45, question=question), LENIENT).verdict is Verdict.WRONG
    assert judge(history, answer(newer, BEGAN_S + 45, question=question), LENIENT).verdict is Verdict.RIGHT


def test_a_row_written_again_may_be_as_before(history: History) -> None:
    """For as long as that is promised, and beside rows that are young enough; without the promise it was never so."""
    mixed = rewritten_as_before(history, AGAIN_S + 30)
    given = answer(mixed, AGAIN_S + 31, question=REWRITTEN)
    assert judge(history, given, PROMISE).verdict is Verdict.WRONG
    assert judge(history, given, LENIENT).verdict is Verdict.BEHIND
    assert judge(history, given, replace(LENIENT, rewrite_s=20)).verdict is Verdict.TOO_OLD
    late = answer(mixed, AGAIN_S + 60, question=REWRITTEN)
    assert judge(history, late, LENIENT).verdict is Verdict.TOO_OLD


def test_what_was_written_again_before_anybody_could_look_is_wrong() -> None:
    """The old value must have been there to be seen since the upstream was started."""
    history = History(GROWTHS[AWKWARD], since_s=AGAIN_S + 1, until_s=BEGAN_S + 120)
    given = answer(rewritten_as_before(history, AGAIN_S + 30), AGAIN_S + 31, question=REWRITTEN)
    assert judge(history, given, LENIENT).verdict is Verdict.WRONG


def test_a_row_from_later_than_its_answer_is_wrong(history: History) -> None:
    """What was written again may be older than the newest row, not newer than the state that the answer is of."""
    old, new = (row.text for row in history.partitions(REWRITTEN)["eval/rewritten"].versions[AGAIN_STEP, "eval"])
    mixed = history.answer(REWRITTEN, AGAIN_S - 3).replace(old, new)
    assert judge(history, answer(mixed, AGAIN_S + 2, question=REWRITTEN), LENIENT).verdict is Verdict.WRONG


def test_what_is_no_answer_has_failed(history: History) -> None:
    """Whatever its body is."""
    given = answer(history.answer(LOSS, BEGAN_S + 40), BEGAN_S + 40, status=503)
    assert judge(history, given, PROMISE).verdict is Verdict.FAILED


def test_a_judge_that_lets_anything_through_ends_the_run(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every judging begins with answers that are spoilt on purpose."""
    answers = [answer(history.answer(LOSS, BEGAN_S + 40), BEGAN_S + 40)]
    assert [one.verdict for one in contest.judged(history, answers, PROMISE)] == [Verdict.RIGHT]
    monkeypatch.setattr(contest, "judge", lambda *_: Judged(verdict=Verdict.RIGHT))
    with pytest.raises(UnexpectedError):
        contest.judged(history, answers, PROMISE)


@pytest.mark.parametrize("kind", GROWTHS)
def test_the_script_is_the_same_every_time(kind: str) -> None:
    """3,052 requests of every kind, whenever it is played; what is sent is what is judged, in any order."""
    plan = Plan()
    script, again = (
        make_script(growth_of(kind, plan, began_s), viewers=plan.viewers, seconds=plan.replay_s)
        for began_s in (BEGAN_S, BEGAN_S + 12_345)
    )
    assert script == again
    assert len(script) == 3_052
    assert [ask.at_s for ask in script] == sorted(ask.at_s for ask in script)
    questions = [ask.question for ask in script]
    assert {question.run for question in questions} == {*range(1001, 1007), *range(2001, 2011)}
    assert {question.limit for question in questions} == set(LIMITS)
    assert any(question.group for question in questions)
    assert (sum(question.name == "dense/signal" for question in questions) > 50) is (kind == AWKWARD)
    assert any(question.first is not None and question.last is None for question in questions)
    assert len({ask.target for ask in script}) > 5 * len(set(questions)) / 2
    for ask in script[:200]:
        assert _read(ask.target) == ask.question


def _read(target: str) -> Question:
    pairs = dict(parse_qsl(target.partition("?")[2], strict_parsing=True))
    assert pairs.pop("projectName") == "demo"
    numbers = {"runId": "run", "limit": "limit", "stepMin": "first", "stepMax": "last"}
    texts = {"logName": "name", "logGroup": "group"}
    given: dict[str, Any] = {
        **{numbers[key]: int(value) for key, value in pairs.items() if key in numbers},
        **{texts[key]: value for key, value in pairs.items() if key in texts},
    }
    return Question(**given)


async def test_what_is_not_installed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table says so, and the other rows are there."""

    async def absent(*_: object) -> None:
        raise NotInstalledError("nginx")

    monkeypatch.setattr(contest, "_replay", absent)
    section = await contest.measure(cast("Any", SimpleNamespace(plan=Plan(fronts=("nginx",)))))
    assert [row[:3] for row in section.rows] == [["plain", "nginx", "not installed"], ["awkward", "nginx", "not installed"]]
    assert all(len(row) == len(section.columns) for row in section.rows)


@pytest.mark.parametrize("name", ["nginx.conf", "varnish.vcl"])
def test_nothing_is_left_open_in_a_configuration(tmp_path: Path, name: str) -> None:
    """Folder, ports, lifetimes and key are written where the file leaves them open."""
    lifetimes = Lifetimes(fresh_s=77, stale_s=88)
    text = packaged.configuration(tmp_path / name, Server(pid=1, port=54_321), 65_432, lifetimes).read_text()
    assert "@" not in text
    assert "54321" in text
    assert "77s" in text
    assert f"Bearer {KEY}" in text


async def test_what_is_not_there_has_no_version(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither has what no package manager installed."""
    monkeypatch.setattr(packaged, "PATH", str(tmp_path))
    assert await packaged.versions(["nothing", "nginx"]) == []
    with pytest.raises(NotInstalledError):
        async with fronts.FRONTS["Varnish"].open(tmp_path, Server(pid=1, port=2), None):
            pass


BODY = b'{"metrics":[' + b"0" * 30 + b"]}"
HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNKED = HEAD + b"a\r\n" + BODY[:10] + b"\r\n22;x=y\r\n" + BODY[10:] + b"\r\n0\r\n\r\n"
MEASURED = b"HTTP/1.1 503 No\r\ncontent-length: 2\r\n\r\n{}"
EMPTY = HEAD + b"0\r\n\r\n"


@asynccontextmanager
async def answering(*said: bytes, pieces: int = 10**6, keeps: bool = True) -> AsyncIterator[tuple[int, list[int]]]:
    """Serve these answers, one a request; yield the port and how many requests each connection has had."""
    left, asked, serving = list(said), list[int](), list[asyncio.Task[Any] | None]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(0)
        serving.append(asyncio.current_task())
        number = len(asked) - 1
        while await reader.read(65_536):
            asked[number] += 1
            text = left.pop(0)
            for begin in range(0, len(text), pieces):
                writer.write(text[begin : begin + pieces])
                await writer.drain()
            if not keeps:
                break
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], asked
    finally:
        server.close()
        await server.wait_closed()
        await asyncio.gather(*filter(None, serving))


def _please(number: int = 0) -> Ask:
    return Ask(at_s=0, viewer=0, question=Question(run=number), target="/")


@pytest.mark.parametrize("pieces", [1, 7, 10**6])
async def test_answers_are_read_however_they_come(pieces: int) -> None:
    """In chunks, with a length, empty, in parts of any size; on one connection."""
    async with answering(CHUNKED, MEASURED, EMPTY, CHUNKED, pieces=pieces) as (port, asked):
        viewer = Viewer(port, {})
        answers = [await viewer.ask(_please(number)) for number in range(4)]
        await viewer.aclose()
    assert [(one.status, one.body) for one in answers] == [(200, BODY), (503, b"{}"), (200, b""), (200, BODY)]
    assert [one.question.run for one in answers] == [0, 1, 2, 3]
    assert all(one.asked_s <= one.answered_s for one in answers)
    assert asked == [4]


async def test_a_closed_connection_is_left_for_a_new_one() -> None:
    """A connection that was closed while it was idle is no failure."""
    async with answering(CHUNKED, CHUNKED, keeps=False) as (port, asked):
        viewer = Viewer(port, {})
        assert [(await viewer.ask(_please())).body for _ in range(2)] == [BODY, BODY]
        await viewer.aclose()
    assert asked == [1, 1]


@pytest.mark.parametrize("begun", [b"", CHUNKED[:-3], MEASURED[:-1]])
async def test_an_answer_that_is_cut_off_has_failed(begun: bytes) -> None:
    """It counts as an answer with no status."""
    async with answering(begun, keeps=False) as (port, _):
        viewer = Viewer(port, {})
        cut = await viewer.ask(_please())
        await viewer.aclose()
    assert (cut.status, cut.body) == (0, b"")
