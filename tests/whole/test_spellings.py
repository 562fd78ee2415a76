"""Normalising, held against the stand-in's own reading of the upstream's rules, which shares no code with the proxy's."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from yarl import URL

from proxy.core.question.query import read_query
from proxy.core.question.routes import METRICS
from proxy.errors import BadQuery
from proxy.standin import GrowthConfig, Row, Standin, StandinConfig
from proxy.standin import params as oracle
from proxy.standin.querystring import decode
from proxy.standin.rows import Rows
from tests.standin.support import Clock
from tests.support.world import KEY, World, world
from tests.support.world import METRICS as PATH

SPELLED = """
    1 1.0 1e0 %201%20 +1 %2B1 0x1 0X01 0b1 0o1 .1e1 01 1. %EF%BB%BF1 1%C2%A0 %E2%80%A81 1%20 %31
    2 0x2 2e0 0b10 20e-1 0 -0 +0 0x0 0e9 3 7 10000 1e4 10001 2000 2e3
    1_0 %D9%A1 %1C1 1%1F %C2%851 -1 1.5 1e-1 NaN nan Infinity -Infinity inf 1e21 1e400
    9007199254740992 9007199254740993 null true 1,2 1n 0x 1e --1 +0x1 %2B0x1
"""
NUMBERS = [*SPELLED.split(), ""]
WORDS = "demo d%65mo %64%65%6d%6f Demo demo+ demo%20 +demo loss a%2Fb a/b a%26b %C3%A9 e%CC%81"
TEXTS = [*WORDS.split(), ""]
NAMES = [
    "runId",
    "%72unId",
    "projectName",
    "logName",
    "logGroup",
    "limit",
    "stepMin",
    "stepMax",
    "RunId",
    "foo",
    "_",
    "runId[]",
]

METRIC_NAMES = "/api/runs/metric-names?projectName=demo"
RANKED = "/api/runs/leaderboard?projectName=demo&logName=train/loss"


def text_of(name: str) -> st.SearchStrategy[str]:
    numeric = name.endswith("unId") or name in {"limit", "stepMin", "stepMax"}
    return st.sampled_from(NUMBERS if numeric else TEXTS)


PAIRS = st.sampled_from(NAMES).flatmap(lambda name: st.tuples(st.just(name), text_of(name)))
BASES = [[("runId", "1"), ("projectName", "demo")], [("projectName", "demo"), ("runId", "0x2")], []]


@st.composite
def queries(draw: st.DrawFn) -> str:
    """Raw queries: mostly answerable, in odd spellings and orders, with odd extras."""
    pairs = [*draw(st.sampled_from(BASES)), *draw(st.lists(PAIRS, max_size=4))]
    pairs = draw(st.permutations(pairs))
    return "&".join(name if not value and draw(st.booleans()) else f"{name}={value}" for name, value in pairs)


def question(raw: str) -> oracle.MetricsQuery | None:
    """What the upstream's database would be asked, None where the upstream refuses; no filter is one thing."""
    asked = oracle.read(decode(raw))
    return replace(asked, step_min=asked.step_min or None) if isinstance(asked, oracle.MetricsQuery) else None


def target(raw: str) -> str | None:
    """The canonical target, None where the proxy refuses."""
    try:
        return read_query(METRICS, raw, ignored={"_"}).target
    except BadQuery:
        return None


def standin_rows() -> Rows:
    rows = Rows()
    for run in (1, 2):
        for name in ("loss", "a/b", "\u00e9", "e\u0301"):
            rows.insert(Row(run_id=run, log_name=name, step=step, value=run * 1000 + step) for step in range(0, 40, run))
    return rows


ROWS = standin_rows()


@settings(max_examples=1500)
@given(queries())
@example("projectName=demo&runId=1&stepMin=&stepMax=")
@example("runId=9007199254740993&projectName=demo")
def test_the_raw_and_the_canonical_query_get_equal_answers(raw: str) -> None:
    """Refused here exactly where it is refused there, and otherwise the same question, with the same rows."""
    asked, canonical = question(raw), target(raw)
    if canonical is None or "runId=" not in canonical:
        # Missing altogether, the run is left to the upstream, whose published document allows that.
        assert asked is None
        return
    assert asked is not None
    again = question(canonical.partition("?")[2])
    assert again == asked
    assert ROWS.select("org_demo", asked, quoted_steps=False) == ROWS.select("org_demo", again, quoted_steps=False)


@settings(max_examples=1500)
@given(queries(), queries())
@example("runId=1&projectName=demo&limit=2000", "projectName=demo&runId=0x1&stepMin=0")
def test_equal_keys_if_and_only_if_equal_questions(left: str, right: str) -> None:
    """Two answerable raw queries share a target exactly where the upstream's database is asked the same."""
    if question(left) is None or question(right) is None:
        return
    assert (target(left) == target(right)) == (question(left) == question(right))


@pytest.mark.parametrize("number", [number for number in NUMBERS if target(f"runId={number}&projectName=demo")])
async def test_over_http(tmp_path: Path, number: str) -> None:
    """The stand-in answers the raw query and its canonical form alike, and through the proxy too."""
    standin = Standin()
    standin.rows.insert(Row(run_id=run, log_name="loss", step=run, value=run) for run in range(12))
    raw = f"{PATH}?runId={number}&projectName=demo&stepMin="
    async with world(tmp_path, standin=standin) as running:
        headers = {"Authorization": "Bearer mlpi_standin_key"}
        direct = await running.get(raw, base=running.upstream, **headers)
        canonical = await running.get(target(raw.partition("?")[2]) or "", base=running.upstream, **headers)
        assert direct.status == canonical.status == 200
        assert direct.body == canonical.body == (await running.get(raw)).body


async def directly(running: World, target: str) -> bytes:
    headers = {"Authorization": f"Bearer {KEY}"}
    async with running.session.get(URL(running.upstream + target, encoded=True), headers=headers) as response:
        return await response.read()


@pytest.mark.parametrize(
    ("target", "like"),
    [
        (f"{METRIC_NAMES}&runIds=", METRIC_NAMES),
        (f"{METRIC_NAMES}&runIds=x", METRIC_NAMES),
        (f"{METRIC_NAMES}&runIds=,", f"{METRIC_NAMES}&runIds=0"),
        (f"{METRIC_NAMES}&runIds=%20", f"{METRIC_NAMES}&runIds=0"),
        (f"{METRIC_NAMES}&limit=Infinity", f"{METRIC_NAMES}&limit=500"),
        (f"{METRIC_NAMES}&limit=500.5", f"{METRIC_NAMES}&limit=500"),
        (f"{RANKED}&limit=1e30", f"{RANKED}&limit=100"),
    ],
)
async def test_odd_texts_ask_what_they_ask_upstream(tmp_path: Path, target: str, like: str) -> None:
    """Each gets what the upstream answers to it directly, from the entry of the question that it means."""
    clock = Clock()
    growth = GrowthConfig(long_series_rows=0, finished_duration_s=100)
    standin = Standin(StandinConfig(growth=growth), clock=clock, monotonic=clock)
    async with world(tmp_path, standin=standin) as running:
        assert (await running.get(like)).body == await directly(running, like)
        reply = await running.get(target)
        assert reply.body == await directly(running, target)
        assert reply.is_hit
