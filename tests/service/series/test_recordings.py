"""Every recorded answer again, after only whole runs were asked for: computed wherever completeness allows, and as recorded."""

from pathlib import Path
from urllib.parse import quote

import pytest

from proxy.core.question.query import read_query
from proxy.core.question.routes import METRICS as METRICS_ROUTE
from proxy.standin import Fault, FaultKind, Standin, StandinConfig, StepMode
from tests.support.recordings import REFUSED, TIES, typed, wanted
from tests.support.world import DATA, METRICS, world

# What whole runs cannot tell, so that the upstream is asked:
# `train/loss` of run 2 has 25,000 rows, more than any answer holds: it is never complete in one of the whole run. (Recording
# 57 asks for the same window as 55, of which the proxy asked for all rows: it costs nothing more.)
LONG = {49, 51, 53, 55, 59, 61}
# `bigstep` of run 3 has steps of 2^53 and above, which may have lost digits; 99 and 245 ask for all of run 3, and 43 names such
# a step.
INEXACT = {43, 87, 99, 111, 241, 245}
# `dup` of run 4 has rows of two groups at one step, whose order is undefined upstream: nothing of such a name is computed, not
# even the answer about one group (117), which has no ties of its own.
TIED = {113, 115, 117, 119, 121, 247}
# All names of a group of run 2: `train/loss` may have rows of that group among those that weren't sent.
GROUP_OF_LONG = {63}
# All names of a group of runs 3 and 4: these are complete, and `bigstep` and `dup` have no rows in those groups, but a question
# about every name is only answered where every name can be computed with.
GROUPS_BESIDE = {101, 103, 109, 123}
ASKED = LONG | INEXACT | TIED | GROUP_OF_LONG | GROUPS_BESIDE


@pytest.mark.parametrize(("mode", "computed"), [("unquoted", 61), ("quoted", 4)])
async def test_every_recorded_answer_from_whole_runs(tmp_path: Path, mode: str, computed: int) -> None:
    """Each comes back equal as JSON, and none but those named above costs a call."""
    standin = Standin(StandinConfig(mode=StepMode(mode)))
    standin.rows.load_csv(DATA / "rows.csv.gz")
    again = [recorded for recorded in wanted(mode) if recorded["id"] not in REFUSED]
    queries = {recorded["id"]: read_query(METRICS_ROUTE, recorded["query"]) for recorded in again}
    runs = {(query.values["runId"], query.values["projectName"]) for query in queries.values()}
    async with world(tmp_path, standin=standin, series__enabled="true", series__shadow_s=0) as running:
        for run, project in sorted(runs):
            await running.get(f"{METRICS}?runId={run}&projectName={quote(project)}&limit=10000")
        # The first computed answer sets off the canary, whose calls are nobody's.
        assert (await running.get(f"{METRICS}?runId=1&projectName=demo&limit=4")).is_hit
        await running.parts.proof.checks.settled()
        for recorded in again:
            if recorded["id"] in TIES:
                _tell(standin, queries[recorded["id"]].target, recorded["body"])
        without_a_call = set[int]()
        for recorded in again:
            # A long series may be put together meanwhile.
            await running.settled()
            before = standin.counters.total
            reply = await running.get(f"{METRICS}?{recorded['query']}")
            assert reply.status == 200
            assert typed(reply.body) == typed(recorded["body"]), recorded["id"]
            assert reply.is_hit == (standin.counters.total == before)
            if reply.is_hit:
                without_a_call.add(recorded["id"])
    assert set(queries) - without_a_call <= ASKED
    assert len(without_a_call) >= computed


def _tell(standin: Standin, target: str, body: str) -> None:
    """Answer one question, in this very form, with a recorded body: of tied rows the stand-in may choose another."""
    query = target.partition("?")[2]
    standin.faults.add(Fault(kind=FaultKind.NOT_JSON, times=None, body=body, matches=lambda _, asked: asked == query))
