"""Two projects with a run each, tokens that see both or one of them, and a proxy that knows these tokens."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from proxy.core.access.grants import BEARER_PREFIX, digest_of_token
from proxy.standin import Row, Standin, StandinConfig
from proxy.store.token_file import Token, edit_tokens
from tests.support.charts import chart
from tests.support.wire import Wire
from tests.support.world import Reply, World, world

OURS, THEIRS, UNKNOWN = 1, 2, 77
TEAM, ALL, ROOT = (f"{BEARER_PREFIX}{name}" for name in ("team", "all", "root"))
RUNS = "/api/runs/"
# Routes with a run and a project to fill in.
NAMING = [
    "metrics?runId={run}&projectName={project}&logName=loss",
    "metrics/raw?runId={run}&projectName={project}&logName=loss",
    "list?projectName={project}",
    "details/by-display-id/{display}-1?projectName={project}",
    "statistics?runId={run}&projectName={project}",
    "compare?runIds={run}&projectName={project}&logName=loss",
    "leaderboard?projectName={project}&logName=loss",
    "metric-names?projectName={project}",
    "logs?runId={run}&projectName={project}",
    "files?runId={run}&projectName={project}",
]
BY_RUN = ["details/{run}", "details/{run}?projectName=ours", "status/history?runId={run}"]

JSON = {"Content-Type": "application/json"}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def token(name: str, *, projects: list[str] | None = None, expires_at_s: int | None = None, admin: bool = False) -> Token:
    return Token(
        name=name,
        sha256=digest_of_token(BEARER_PREFIX + name),
        projects=projects,
        admin=admin,
        created_at_s=1,
        expires_at_s=expires_at_s,
    )


def write(path: Path, *tokens: Token) -> None:
    edit_tokens(path, lambda _: tokens, create=True)


def filled() -> Standin:
    """Two projects with a run each, and the same series in both."""
    standin = Standin(StandinConfig())
    for run, project in ((OURS, "ours"), (THEIRS, "theirs")):
        standin.rows.insert(Row(run_id=run, project=project, log_name="loss", step=step, value=run) for step in range(5))
    return standin


@asynccontextmanager
async def guarded(folder: Path, **settings: Any) -> AsyncIterator[World]:
    path = folder / "access" / "tokens.json"
    if not path.exists():
        write(path, token("team", projects=["ours", "empty"]), token("all"), token("root", admin=True))
    async with world(folder, **{"standin": filled(), "access__tokens_file": path, **settings}) as running:
        await running.parts.tenancy.settled()
        yield running


def tokens_file(running: World) -> Path:
    path = running.parts.settings.now.access.tokens_file
    assert path is not None
    return path


def targets(run: int, project: str) -> list[str]:
    display = "OUR" if project == "ours" else "THE"
    named = [RUNS + target.format(run=run, project=project, display=display) for target in NAMING]
    return [*named, chart([run], ["loss"], project)]


def by_run(run: int) -> list[str]:
    return [RUNS + target.format(run=run) for target in BY_RUN]


def told(reply: Reply) -> tuple[object, ...]:
    """Everything about an answer but what is of this request alone."""
    body = reply.body
    if reply.headers["Content-Type"] == "application/problem+json":
        body = body.replace(reply.headers["X-Request-ID"].encode(), b"")
    kept = {name: value for name, value in reply.headers.items() if name not in {"Date", "X-Request-ID", "Content-Length"}}
    return reply.status, tuple(sorted(kept.items())), body


async def ask(wire: Wire, target: str, name: str) -> int:
    """Ask on one connection; return the status."""
    lines = (f"GET {target} HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Bearer {name}", "", "")
    return (await wire.ask("\r\n".join(lines).encode())).status


async def purge(running: World, what: dict[str, object], *, status: int = 200, **headers: Any) -> Reply:
    sent = JSON | {name.replace("_", "-"): value for name, value in headers.items()}
    url = f"{running.url}/admin/purge"
    async with running.session.post(url, data=json.dumps(what), headers=sent) as response:
        reply = Reply(status=response.status, headers=response.headers, body=await response.read())
    assert reply.status == status, reply.body
    return reply
