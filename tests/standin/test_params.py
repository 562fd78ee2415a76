"""Parameters are coerced, refused or handed to the database as upstream."""

import pytest

from proxy.standin.params import Impossible, MetricsQuery, Rejected, read
from proxy.standin.querystring import decode

REJECTED = {
    "": ["runId", "projectName"],
    "runId=1": ["projectName"],
    "projectName=p": ["runId"],
    "runId=x&projectName=p": ["runId"],
    "runId=1&runId=1&projectName=p": ["runId"],
    "runId=1&projectName=p&projectName=q": ["projectName"],
    "runId=1&projectName=p&logName=&logName=": ["logName"],
    "runId=1&projectName=p&logGroup=a&logGroup=b": ["logGroup"],
    "runId=1&projectName=p&limit=0.5": ["limit"],
    "runId=1&projectName=p&limit=": ["limit"],
    "runId=1&projectName=p&limit=Infinity": ["limit"],
    "runId=1&projectName=p&limit=10001": ["limit"],
    "runId=1&projectName=p&limit=1&limit=1": ["limit"],
    "runId=1&projectName=p&stepMin=-1": ["stepMin"],
    "runId=1&projectName=p&stepMax=1.5": ["stepMax"],
    "runId=1&projectName=p&stepMax=-1.5": ["stepMax", "stepMax"],
    "stepMax=x&stepMin=x&limit=x&logGroup&logGroup&logName&logName": [
        "runId", "projectName", "logName", "logGroup", "limit", "stepMin", "stepMax",
    ],
}  # fmt: skip
IMPOSSIBLE = ["runId=-1", "runId=1.5", "runId=Infinity", "runId=1e21", "runId=1&limit=2.5", "runId=1&stepMin=1e21"]
STEPS = {
    "0": 0, "": 0, "-0": 0, "7.0": 7, "0x10": 16, "9007199254740993": 9007199254740992,
    "18446744073709551615": 384, "18446744073709549568": 18446744073709550000, "1e20": 7766279631452241920,
}  # fmt: skip


@pytest.mark.parametrize(("query", "paths"), REJECTED.items())
def test_issues_name_their_parameters_in_schema_order(query: str, paths: list[str]) -> None:
    """A 400 lists every parameter that the schema refuses."""
    verdict = read(decode(query))
    assert isinstance(verdict, Rejected)
    assert [issue["path"] for issue in verdict.issues] == [[path] for path in paths]


@pytest.mark.parametrize("query", IMPOSSIBLE)
def test_what_the_database_cannot_read_is_impossible(query: str) -> None:
    """A sign, a fraction or an exponent that the schema lets through ends as a 500."""
    assert isinstance(read(decode(query + "&projectName=p")), Impossible)


@pytest.mark.parametrize(("text", "step"), STEPS.items())
def test_steps_are_printed_by_javascript_and_wrap_around(text: str, step: int) -> None:
    """Beyond 2^53 digits are lost first; beyond 2^64 the database wraps around."""
    verdict = read(decode(f"runId=1&projectName=p&stepMin={text}"))
    assert isinstance(verdict, MetricsQuery)
    assert verdict.step_min == step


def test_defaults() -> None:
    """2,000 rows, no filters."""
    assert read({"runId": ["3"], "projectName": ["p"]}) == MetricsQuery(
        run_id=3, project="p", log_name="", log_group="", limit=2000, step_min=None, step_max=None
    )
