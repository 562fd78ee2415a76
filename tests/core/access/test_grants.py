"""Who may ask for what: the decisions, as tables."""

import pytest

from proxy.core.access.grants import ANYBODY, Access, Grant, digest_of_token, may_ask, read_bearer, run_details, tells_project
from proxy.core.access.projects import only_projects, project_of
from proxy.core.question.query import Query, read_query
from proxy.core.question.route import RouteTable
from proxy.core.question.routes import ROUTES
from proxy.core.question.subject import Subject

OURS = Grant(name="t", projects=frozenset({"ours", "also ours"}))
NOTHING = Grant(name="n", projects=frozenset())
RUN, METRIC = "runId=1", "logName=loss"


def query(target: str, *, extra: tuple[str, ...] = ()) -> Query:
    path, _, raw = target.partition("?")
    matched = RouteTable(ROUTES).match(f"/api/runs/{path}")
    assert matched is not None
    return read_query(matched[0], raw, segment=matched[1], extra=extra)


NAMING = [
    f"metrics?{RUN}&projectName={{}}",
    f"metrics/raw?{RUN}&projectName={{}}&{METRIC}",
    "list?projectName={}",
    "details/by-display-id/DEM-1?projectName={}",
    f"statistics?{RUN}&projectName={{}}",
    f"compare?runIds=1,2&projectName={{}}&{METRIC}",
    f"leaderboard?projectName={{}}&{METRIC}",
    "metric-names?projectName={}",
    "metric-names?projectName={}&runIds=1",
    f"logs?{RUN}&projectName={{}}",
    f"files?{RUN}&projectName={{}}",
]


@pytest.mark.parametrize("target", NAMING)
def test_what_names_a_project(target: str) -> None:
    """It is judged by that, letter for letter; an unlimited token may ask for any."""
    for project, access in (
        ("ours", Access.GRANTED),
        ("also+ours", Access.GRANTED),
        ("also%20ours", Access.GRANTED),
        ("Ours", Access.UNKNOWN),
        ("ours+", Access.UNKNOWN),
        ("theirs", Access.UNKNOWN),
    ):
        asked = query(target.format(project))
        assert may_ask(OURS, asked) is access
        assert may_ask(NOTHING, asked) is Access.UNKNOWN
        assert may_ask(ANYBODY, asked) is Access.GRANTED


@pytest.mark.parametrize(
    ("target", "access"),
    [
        ("projects", Access.FILTERED),
        ("details/1", Access.BY_RUN),
        ("details/1?projectName=ours", Access.BY_RUN),
        ("status/history?runId=1", Access.BY_RUN),
        ("status/history?runId=1&projectName=ours", Access.BY_RUN),
        ("details/by-display-id/DEM-1", Access.REFUSED),
        ("details/by-display-id/DEM-1?projectName=", Access.REFUSED),
        ("list", Access.REFUSED),
        ("list?projectName=", Access.REFUSED),
        ("list?konduktorJobPrefix=a", Access.REFUSED),
        ("list?projectName=ours&konduktorJobPrefix=a", Access.REFUSED),
        ("list?projectName=theirs&konduktorJobPrefix=a", Access.REFUSED),
        ("list?projectName=ours&konduktorJobPrefix=", Access.GRANTED),
        ("metrics?runId=1&projectName=", Access.UNKNOWN),
    ],
)
def test_what_names_none(target: str, access: Access) -> None:
    """It is judged by the run where it is about one, and refused where it could be about anything."""
    assert may_ask(OURS, query(target)) is access
    assert may_ask(ANYBODY, query(target)) is Access.GRANTED


def test_what_only_the_upstream_understands() -> None:
    """It might reach beyond a project: limited tokens cannot send it. What is dropped does no harm."""
    target = "metrics?runId=1&projectName=ours&beta=1"
    assert may_ask(OURS, query(target, extra=("beta",))) is Access.REFUSED
    assert may_ask(ANYBODY, query(target, extra=("beta",))) is Access.GRANTED
    assert may_ask(OURS, query(target)) is Access.GRANTED


def test_every_route_is_judged() -> None:
    """A row that says nothing is judged by projectName, and those that can't be say otherwise."""
    for route in ROUTES:
        named = any(parameter.name == "projectName" for parameter in route.parameters)
        # An input names it itself.
        assert named or route.batch is not None or route.subject is not Subject.NAMED
    assert {route.name for route in ROUTES if route.subject is Subject.RUN} == {"details", "status_history"}
    assert {route.name for route in ROUTES if route.subject is Subject.PROJECTS} == {"projects"}


def test_whose_a_run_is() -> None:
    """`details` by its number tells, however it was spelled; its own answer does too."""
    assert run_details(query("status/history?runId=0x10")).target == "/api/runs/details/16"
    assert run_details(query("details/%2016?projectName=theirs")).target == "/api/runs/details/16"
    assert [tells_project(query(target)) for target in ("details/1", "details/by-display-id/A-1", "projects")] == [
        True,
        True,
        False,
    ]


def test_scopes() -> None:
    """One text for the same projects in any order, another for others; none means all."""
    assert ANYBODY.visibility == ""
    assert OURS.visibility == Grant(name="u", projects=frozenset({"also ours", "ours"}), admin=True).visibility != ""
    assert len({OURS.visibility, NOTHING.visibility, Grant(name="v", projects=frozenset({"ours,also ours"})).visibility}) == 3


@pytest.mark.parametrize(
    ("lines", "token"),
    [
        ((), None),
        (("Bearer ppt_abc-_~+/.9==",), "ppt_abc-_~+/.9=="),
        (("bearer   x ",), "x"),
        (("BEARER\tx",), ""),
        (("Bearer",), ""),
        (("Bearer ",), ""),
        (("Bearer a b",), ""),
        (("Bearer a,Bearer b",), ""),
        (("Bearer \u00e9",), ""),
        (("Basic eDp5",), ""),
        (("x",), ""),
        (("Bearer x", "Bearer x"), ""),
        (("Bearer " + "x" * 513,), ""),
    ],
)
def test_authorization(lines: tuple[str, ...], token: str | None) -> None:
    """One Bearer and a token in the alphabet that tokens have, or a sentence that repeats nothing of it."""
    if token == "":
        with pytest.raises(ValueError, match="must be one `Bearer` and a token") as caught:
            read_bearer(lines)
        assert "x" * 10 not in str(caught.value)
    else:
        assert read_bearer(lines) == token


@pytest.mark.parametrize("key", ["mlpi_secret", "mlps_secret"])
def test_a_key_of_the_upstream(key: str) -> None:
    """Whoever sends one is told what it is, without its being repeated or looked up."""
    with pytest.raises(ValueError, match="a key of pluto-api") as caught:
        read_bearer([f"Bearer {key}"])
    assert "secret" not in str(caught.value)


def test_what_is_kept_of_a_token() -> None:
    """Its SHA-256, as anybody would compute it."""
    assert digest_of_token("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_projects_are_filtered() -> None:
    """The very bytes of those that are theirs, in order, and nothing else that the answer holds."""
    body = b'{"total":3,"projects":[{"id":1,"name":"a","x": 1.0},{"name":"b"},{"id":3, "name":"\\u0061\\u00e9"}],"more":[1]}'
    assert only_projects(body, {"a"}) == b'{"projects":[{"id":1,"name":"a","x": 1.0}]}'
    assert only_projects(body, {"b", "a\u00e9"}) == b'{"projects":[{"name":"b"},{"id":3, "name":"\\u0061\\u00e9"}]}'
    assert only_projects(body, set()) == b'{"projects":[]}'
    assert project_of(b'{"id":1,"projectName":"p","logNames":[]}') == "p"
