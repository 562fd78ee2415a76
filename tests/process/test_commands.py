"""The commands that ask a running proxy, or work on its cache file: piped, and in a terminal of 80 columns."""

import asyncio
import csv
import io
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from proxy.core.access.grants import BEARER_PREFIX
from proxy.standin import Fault, FaultKind, Row, Standin
from tests.support.certificates import Authority
from tests.support.processes import ROOT, Running, environment, proxy_process, run
from tests.support.raw_upstream import encrypted
from tests.support.terminals import in_terminal, shown_in_terminal, widest
from tests.support.tokens import token, write
from tests.support.world import KEY, METRICS, QUESTION

EVIL = "evil\x1b[2J\x9b31m\u202e"
NOWHERE = "http://127.0.0.1:9"
LOSS_OF_ONE = ["query", "--project", "demo", "--run", "1", "--metric", "loss"]
ASKING = [
    ["status", "--once"],
    LOSS_OF_ONE,
    ["warm", "--project", "demo"],
    ["cache", "stats"],
    ["cache", "purge", "--everything"],
]


@dataclass(slots=True, kw_only=True)
class Place:
    """A running proxy, its stand-in, and the variables that it has."""

    standin: Standin
    running: Running
    variables: dict[str, str]

    @property
    def url(self) -> list[str]:
        return ["--url", self.running.url]


@asynccontextmanager
async def place(folder: Path, **variables: str) -> AsyncIterator[Place]:
    """Run a proxy before a stand-in with two runs of a few metrics; one has names that a terminal would obey."""
    standin = Standin()
    for run_id in (1, 2):
        standin.rows.insert(
            Row(run_id=run_id, log_name=name, step=step, value=step / 7) for name in ("loss", "acc") for step in range(40)
        )
    standin.rows.insert(
        Row(run_id=1, log_name=EVIL, log_group=group, step=step, value=float("nan")) for step, group in enumerate((EVIL, "=b"))
    )
    async with standin.serve() as upstream:
        settings = {"PLUTO_PROXY_UPSTREAM": upstream, "PLUTO_PROXY_CACHE": str(folder / "c" / "c.sqlite"), **variables}
        async with proxy_process(PLUTO_API_KEY=KEY, **settings) as running:
            yield Place(standin=standin, running=running, variables=settings)


def calls(standin: Standin) -> int:
    return sum(standin.counters.by_path.values())


@pytest.mark.parametrize("arguments", ASKING, ids=" ".join)
async def test_no_proxy_is_there(arguments: list[str]) -> None:
    """One line that says so, exit status 1."""
    status, output, errors = await run(*arguments, "--url", NOWHERE)
    assert (status, output) == (1, "")
    assert errors == f"pluto-proxy: no proxy answers at {NOWHERE}: Connection refused; is it running? --url says where\n"


@pytest.mark.parametrize("arguments", ASKING, ids=" ".join)
async def test_without_the_right(tmp_path: Path, arguments: list[str]) -> None:
    """Without a token, and with one that may not: one line each, exit status 1; the token isn't shown."""
    path = tmp_path / "tokens.json"
    write(path, token("other", projects=["other"]))
    secret = f"{BEARER_PREFIX}other"
    async with place(tmp_path, PLUTO_PROXY_ACCESS__TOKENS_FILE=str(path)) as there:
        for variables, told in (({}, "PLUTO_PROXY_TOKEN"), ({"PLUTO_PROXY_TOKEN": secret}, "")):
            status, output, errors = await run(*arguments, *there.url, **variables)
            assert (status, output) == (1, "")
            assert len(errors.splitlines()) == 1
            assert told in errors
            assert secret not in errors


@pytest.mark.parametrize(
    "arguments",
    [
        ["status", "--url", "nowhere"],
        ["status", "--every", "0"],
        ["status", "--every", "soon"],
        ["status", "--token-file", "/nowhere"],
        ["status", "--config", "/nowhere"],
        ["query", "--project", "demo"],
        ["query", "--project", "p", "--run", "1", "--metric", "m", "--csv", "--plot"],
        ["warm"],
        ["warm", "--project", "p", "--concurrency", "99"],
        ["cache"],
        ["cache", "purge"],
        ["cache", "purge", "--everything", "--run", "1"],
        ["cache", "list", "--limit", "0"],
        ["completion", "fish"],
        ["status"],
    ],
    ids=" ".join,
)
async def test_a_bad_argument(arguments: list[str]) -> None:
    """Exit status 2, told in the last line, and no traceback."""
    status, output, errors = await run(*arguments, PLUTO_PROXY_LISTEN="127.0.0.1:0")
    assert (status, output) == (2, "")
    assert "Traceback" not in errors
    assert errors.splitlines()[-1].startswith("pluto-proxy")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["status", "--every", "soon"], "--every: must be a number of seconds, not 'soon'"),
        (["warm", "--project", "p", "--concurrency", "two"], "--concurrency: must be a whole number, not 'two'"),
        (["cache", "list", "--limit", "all"], "--limit: must be a whole number, not 'all'"),
        (["cache", "list", "--run", "first"], "--run must be a run's number, not 'first'"),
        ([*LOSS_OF_ONE, "--step-min", "9", "--step-max", "3"], "--step-min 9 is beyond --step-max 3"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
async def test_a_bad_argument_is_told_in_words(arguments: list[str], told: str) -> None:
    """Which one it is, and what it must be; nothing of our own names."""
    status, output, errors = await run(*arguments)
    assert (status, output) == (2, "")
    assert errors.splitlines()[-1].endswith(told)


@pytest.mark.parametrize(
    "arguments",
    [
        ["cache", "purge"],
        [*LOSS_OF_ONE, "--url", NOWHERE],
        ["token", "list"],
        ["check", "--config", "/nowhere"],
        ["serve"],
    ],
    ids=" ".join,
)
async def test_what_failed_is_told_in_whole_words(arguments: list[str]) -> None:
    """A terminal would break them wherever its line ends. What is told is the same as in a pipe."""
    status, terminal = await shown_in_terminal(*arguments)
    assert status > 0
    assert widest(terminal) <= 80
    _, _, errors = await run(*arguments)
    assert " ".join(terminal.text.split()) == " ".join(errors.split())


async def test_why_there_is_no_proxy(tmp_path: Path) -> None:
    """TLS where there is none is told as that, and so is a certificate that nobody vouches for."""
    async with place(tmp_path) as there:
        encrypted_url = there.running.url.replace("http://", "https://")
        _, _, errors = await run("status", "--url", encrypted_url)
        assert "the TLS handshake failed: is its address http://?" in errors
    async with encrypted(Authority(tmp_path / "authority").server()) as port:
        _, _, errors = await run("status", "--url", f"https://localhost:{port}")
        assert "its certificate is not accepted" in errors
        assert len(errors.splitlines()) == 1


async def test_every_command_has_help_with_an_example() -> None:
    """At 80 columns; the commands of `token` and `cache`, too."""
    commands = ["serve", "check", "status", "doctor", "query", "warm", "demo", "completion"]
    nested = [f"token {name}" for name in ("add", "list", "revoke")]
    nested += [f"cache {name}" for name in ("stats", "list", "purge", "export", "import")]
    shown = await asyncio.gather(*(run(*name.split(), "--help", COLUMNS="80") for name in (*commands, *nested)))
    for name, (status, output, _) in zip((*commands, *nested), shown, strict=True):
        assert status == 0
        assert f"example: pluto-proxy {name}" in output
        assert max(map(len, output.splitlines())) <= 80, name


async def test_status(tmp_path: Path) -> None:
    """Piped: once, in lines or as JSON. In a terminal: renewed until Ctrl-C, also while the proxy is gone for a while."""
    async with place(tmp_path) as there, aiohttp.ClientSession() as session:
        for _ in range(4):
            async with session.get(there.running.url + QUESTION) as response:
                assert response.status == 200
        status, output, errors = await run("status", *there.url)
        assert (status, errors) == (0, "")
        assert "4 since the start" in output
        assert "75% hits since the start" in output
        assert max(map(len, output.splitlines())) <= 80
        status, output, _ = await run("status", "--json", *there.url)
        document = json.loads(output)
        assert (document["requests"], document["hit_share"], document["upstream"]["condition"]) == (4, 0.75, "open")
        terminal = await in_terminal("status", "--every", "0.2", *there.url)
        try:
            await terminal.shows("a second now")
            there.running.process.send_signal(signal.SIGKILL)
            await terminal.shows("! no proxy answers")
            terminal.press(b"\x03")
            assert await terminal.ended() == 0
            assert widest(terminal) <= 80
        finally:
            terminal.close()


async def test_query(tmp_path: Path) -> None:
    """As a table, CSV, JSON and a plot; what was asked is told on standard error."""
    asked = ["query", "--project", "demo", "--run", "1", "--metric", "loss"]
    async with place(tmp_path) as there:
        status, output, errors = await run(*asked, "--limit", "5", "--step-min", "3", "--step-max", "6", *there.url)
        assert status == 0
        assert [line.split()[0] for line in output.splitlines()] == ["step", "3", "4", "5", "6"]
        assert "4 rows, 0 s old" in errors
        assert "pluto-proxy" not in output
        _, output, _ = await run(*asked, "--csv", *there.url)
        rows = [*csv.reader(io.StringIO(output))]
        assert rows[0] == ["step", "time", "value"]
        assert rows[2] == ["1", "2026-01-01 00:00:00.000", "0.1429"] or float(rows[2][2]) == pytest.approx(1 / 7)
        _, output, errors = await run(*asked, "--json", *there.url)
        document = json.loads(output)
        assert (len(document["rows"]), document["metric"], errors) == (40, "loss", "")
        _, output, _ = await run(*asked, "--plot", *there.url, PYTHONUTF8="1")
        assert any(0x2800 < ord(character) < 0x2900 for character in output)
        assert max(map(len, output.splitlines())) <= 80
        _, output, _ = await run(*asked, "--plot", *there.url, PYTHONIOENCODING="ascii")
        assert "*" in output
        status, terminal = await shown_in_terminal(*asked, "--limit", "5", *there.url)
        assert status == 0
        assert widest(terminal) <= 80
        status, output, errors = await run("query", "--project", "demo", "--run", "x", "--metric", "m", *there.url)
        assert (status, output) == (1, "")
        assert errors.startswith("pluto-proxy: the proxy answers 400: runId")
        status, _, errors = await run("query", "--project", "demo", "--run", "9", "--metric", "m", "--plot", *there.url)
        assert (status, errors) == (1, "pluto-proxy: there is nothing to draw: the answer has no rows with a number\n")


async def test_names_that_a_terminal_would_obey(tmp_path: Path) -> None:
    """They are written out, in a table, in CSV on a terminal and in JSON; a spreadsheet takes none for a formula."""
    asked = ["query", "--project", "demo", "--run", "1", "--metric", EVIL]
    async with place(tmp_path) as there:
        for form in ([], ["--csv"], ["--json"]):
            _, terminal = await shown_in_terminal(*asked, *form, *there.url)
            assert not {"\x9b", "\u202e"} & set(terminal.raw)
            assert "\x1b[2J" not in terminal.raw
            assert "NaN" in terminal.text
        _, output, _ = await run(*asked, *there.url)
        assert "\x1b" not in output
        assert "evil\\x1b[2J" in output
        _, output, _ = await run(*asked, "--csv", *there.url)
        assert "'=b" in output


async def test_warm(tmp_path: Path) -> None:
    """All metrics of all runs; then a dashboard's queries cost nothing, and neither does a second run of the command."""
    async with place(tmp_path, PLUTO_PROXY_FRESHNESS__RUNNING_S="60") as there, aiohttp.ClientSession() as session:
        status, output, errors = await run("warm", "--project", "demo", *there.url)
        assert (status, output) == (0, "")
        assert errors.startswith("pluto-proxy: 5 of 5 metrics")
        made = there.standin.counters.by_path[METRICS]
        for query in ("runId=1&logName=loss&limit=7", "runId=2&logName=acc&stepMin=3", "runId=2&logName=loss"):
            async with session.get(f"{there.running.url}{METRICS}?projectName=demo&{query}") as response:
                assert "; hit" in response.headers["Cache-Status"]
        status, output, _ = await run("warm", "--project", "demo", "--json", *there.url)
        assert json.loads(output) == {"planned": 5, "fresh": 5, "stopped": False, "faults": []}
        assert there.standin.counters.by_path[METRICS] == made
        status, terminal = await shown_in_terminal("warm", "--project", "demo", "--run", "1", "--metric", "loss", *there.url)
        assert status == 0
        assert "1 of 1 metric: 1 there already" in terminal.text
        status, _, errors = await run("warm", "--project", "demo", "--status", "FAILED", *there.url)
        assert (status, errors) == (1, "pluto-proxy: the project has no such run, or the token sees none of it\n")


async def test_warm_while_pluto_api_is_busy_or_fails(tmp_path: Path) -> None:
    """It waits as long as it is told to, and goes on; what fails is told, and the rest is done."""
    async with place(tmp_path, PLUTO_PROXY_FRESHNESS__RUNNING_S="60") as there:
        there.standin.faults.add(Fault(kind=FaultKind.STATUS, status=429, retry_after_s=1, path=METRICS))
        status, _, errors = await run("warm", "--project", "demo", "--run", "1", "--metric", "loss", *there.url)
        assert (status, errors) == (0, "pluto-proxy: 1 of 1 metric: 0 there already, 1 fetched, 0 failed\n")
        there.standin.faults.add(Fault(kind=FaultKind.STATUS, status=400, body="{}", query_contains="logName=acc", times=None))
        status, _, errors = await run("warm", "--project", "demo", "--run", "2", "--run", "77", *there.url)
        assert status == 1
        assert "run 77: the proxy answers 404" in errors


async def test_warm_is_stopped(tmp_path: Path) -> None:
    """Ctrl-C ends it with a line, and no traceback; what was fetched stays."""
    gate = asyncio.Event()
    async with place(tmp_path) as there:
        there.standin.faults.add(Fault(kind=FaultKind.HOLD, gate=gate, path=METRICS, times=None))
        terminal = await in_terminal("warm", "--project", "demo", *there.url)
        try:
            await there.standin.counters.reached(lambda counted: counted.by_path[METRICS] >= 1)
            await terminal.shows("warming")
            terminal.press(b"\x03")
            assert await terminal.ended() == 1
            assert "stopped at 0 of" in terminal.text
            assert "Traceback" not in terminal.text
        finally:
            terminal.close()
            gate.set()


async def test_an_offline_proxy_is_not_warmed(tmp_path: Path) -> None:
    """It would fetch nothing."""
    async with place(tmp_path) as there:
        await run("warm", "--project", "demo", *there.url)
        assert await there.running.terminate() == 0
        async with proxy_process("serve", "--offline", **there.variables) as running:
            status, _, errors = await run("warm", "--project", "demo", "--run", "5", "--metric", "m", "--url", running.url)
            assert (status, errors) == (1, "pluto-proxy: the proxy is offline: it fetches nothing (upstream.offline)\n")


async def test_cache(tmp_path: Path) -> None:
    """Looked at, purged, carried to another machine and served there without pluto-api."""
    async with place(tmp_path) as there, aiohttp.ClientSession() as session:
        await run("warm", "--project", "demo", *there.url)
        status, output, _ = await run("cache", "stats", *there.url)
        assert status == 0
        assert "entries on disk" in output
        _, output, _ = await run("cache", "stats", "--json", *there.url)
        assert json.loads(output)["state"]["store"]["disk"] == "ok"
        status, terminal = await shown_in_terminal("cache", "list", "--limit", "2", **there.variables)
        assert status == 0
        assert widest(terminal) <= 80
        assert "there are more than these 2" in terminal.text
        _, output, _ = await run("cache", "list", "--run", "1", "--json", **there.variables)
        assert any("runId=1" in entry["key"] for entry in json.loads(output)["entries"])
        assert not any("runId=2" in entry["key"] for entry in json.loads(output)["entries"])
        copy = tmp_path / "stick" / "copy"
        copy.parent.mkdir()
        status, _, errors = await run("cache", "export", str(copy), **there.variables)
        assert status == 0
        assert errors.startswith(f"pluto-proxy: {copy} is written")
        assert KEY.encode() not in copy.read_bytes()
        status, _, errors = await run("cache", "import", str(copy), "--replace", **there.variables)
        assert status == 1
        assert "is in use: end the pluto-proxy" in errors
        status, _, errors = await run("cache", "purge", "--run", "1", "--soft", *there.url)
        assert status == 0
        assert errors.startswith("pluto-proxy: purged (soft): ")
        _, output, _ = await run("cache", "purge", "--everything", "--json", *there.url)
        assert json.loads(output)["mode"] == "hard"
        elsewhere = {**there.variables, "PLUTO_PROXY_CACHE": str(tmp_path / "elsewhere" / "c.sqlite")}
        status, terminal = await shown_in_terminal("cache", "import", str(copy), **elsewhere)
        assert status == 0
        assert "serve --offline" in terminal.text.replace("\r\n", "\n")
        _, output, _ = await run("cache", "import", str(copy), "--replace", "--json", **elsewhere)
        assert json.loads(output)["entries"] > 0
        made = calls(there.standin)
        async with proxy_process("serve", "--offline", **elsewhere) as running:
            async with session.get(f"{running.url}{METRICS}?runId=2&projectName=demo&logName=acc&limit=9") as response:
                assert response.status == 200
            status, output, _ = await run("status", "--url", running.url)
            assert "! offline: pluto-api is never asked" in output
        assert calls(there.standin) == made


async def test_doctor(tmp_path: Path) -> None:
    """All is well: a line for each check, exit status 0, no secret. In a terminal of 80 columns, too."""
    async with place(tmp_path) as there:
        variables = {**there.variables, "PLUTO_API_KEY": KEY, "PLUTO_PROXY_LISTEN": "127.0.0.1:0"}
        status, output, errors = await run("doctor", *there.url, **variables)
        assert (status, errors) == (0, "")
        assert KEY not in output
        states = dict(line.split(maxsplit=2)[1::-1] for line in output.splitlines() if not line.startswith(" "))
        assert {"key", "organization", "clock", "store", "rule", "port"} <= states.keys()
        assert set(states.values()) <= {"ok", "advice"}
        assert "org_demo" in output
        _, output, _ = await run("doctor", "--json", *there.url, **variables)
        assert {finding["check"] for finding in json.loads(output)} >= {"versions", "space"}
        _, terminal = await shown_in_terminal("doctor", *there.url, **variables)
        assert widest(terminal) <= 80
        there.standin.faults.add(Fault(kind=FaultKind.STATUS, status=429, times=None, path="/api/runs/auth/validate"))
        status, output, _ = await run("doctor", *there.url, **variables)
        assert status == 0
        assert "429" in output


FAULTY = [
    ({}, "key", "PLUTO_API_KEY"),
    ({"PLUTO_API_KEY_FILE": "{folder}/none"}, "key", "cannot be read"),
    ({"PLUTO_API_KEY": "mlpi_nobody_knows"}, "organization", "refuses the key"),
    ({"PLUTO_API_KEY": KEY, "PLUTO_PROXY_UPSTREAM": NOWHERE}, "pluto-api", "refused"),
    ({"PLUTO_API_KEY": KEY, "PLUTO_PROXY_UPSTREAM__CA_FILE": "{folder}/none"}, "pluto-api", "ca_file"),
    ({"PLUTO_API_KEY": KEY, "PLUTO_PROXY_CACHE": "/proc/none/c.sqlite"}, "store", "cannot be written"),
    ({"PLUTO_API_KEY": KEY, "PLUTO_PROXY_ACCESS__TOKENS_FILE": "{folder}/none"}, "access", "token add"),
    ({"PLUTO_API_KEY": KEY, "PLUTO_PROXY_LISTEN": "{taken}"}, "port", "server.listen"),
]


@pytest.mark.parametrize(("variables", "check", "told"), FAULTY, ids=[f"{check} {told}" for _, check, told in FAULTY])
async def test_doctor_finds_faults(tmp_path: Path, variables: dict[str, str], check: str, told: str) -> None:
    """Exit status 1, the line of the check says what is wrong and what to do, and the others are still looked at."""
    standin = Standin()
    async with standin.serve() as upstream:
        usual = {
            "PLUTO_PROXY_UPSTREAM": upstream,
            "PLUTO_PROXY_CACHE": str(tmp_path / "c" / "c.sqlite"),
            "PLUTO_PROXY_LISTEN": "127.0.0.1:0",
        }
        taken = upstream.removeprefix("http://")
        given = {name: text.format(folder=tmp_path, taken=taken) for name, text in variables.items()}
        status, output, errors = await run("doctor", **{**usual, **given})
    assert (status, errors) == (1, "")
    lines = output.splitlines()
    place = next(number for number, line in enumerate(lines) if line.startswith("fault") and line.split()[1] == check)
    assert told in " ".join(lines[place : place + 2])
    assert any(line.split()[1] == "files" for line in lines if not line.startswith(" "))


async def test_doctor_gives_advice(tmp_path: Path) -> None:
    """About modes, variables that aren't used, an open proxy, a file of another program, and a certificate."""
    key, folder = tmp_path / "key", tmp_path / "c"
    key.write_text(KEY)
    key.chmod(0o644)
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    (folder / "c.sqlite").write_text("something else")
    authority = Authority(tmp_path / "authority")
    authority.server()
    variables = {
        "PLUTO_API_KEY_FILE": str(key),
        "PLUTO_PROXY_CACHE": str(folder / "c.sqlite"),
        "PLUTO_PROXY_LISTEN": "127.0.0.1:0",
        "PLUTO_PROXY_UPSTREAM__OFFLINE": "true",
        "PLUTO_PROXY_ACCESS__OPEN": "true",
        "PLUTO_PROXY_CACHE__MAX_BYTES": "900TiB",
        "PLUTO_PROXY_SERVER__MAX_CONNECTIONS": "1000000",
        "HTTPS_PROXY": "http://user:secret@proxy:1",
    }
    status, output, _ = await run("doctor", **variables)
    assert status == 0
    advice = {line.split()[1] for line in output.splitlines() if line.startswith("advice")}
    assert advice >= {"key", "http", "store", "space", "access"}
    assert "secret" not in output
    assert "chmod" in output


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
async def test_completion(shell: str) -> None:
    """A script that names the commands and their options."""
    status, output, errors = await run("completion", shell)
    assert (status, errors) == (0, "")
    assert all(word in output for word in ("doctor", "offline", "export"))


async def test_completion_in_bash() -> None:
    """The shell itself completes with it."""
    _, script, _ = await run("completion", "bash")
    asks = '\nCOMP_WORDS=(pluto-proxy cache ex); COMP_CWORD=2; _shtab_pluto_proxy; echo "${COMPREPLY[@]}"\n'
    process = await asyncio.create_subprocess_exec(
        "bash", "--norc", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate((script + asks).encode())
    assert output.decode().split() == ["export"]


async def test_whoever_reads_may_stop() -> None:
    """`| head` ends a command without a traceback."""
    command = f"{sys.executable} -m proxy check | head -n 1; {sys.executable} -m proxy completion bash | head -n 1"
    process = await asyncio.create_subprocess_shell(
        command, env=environment(), cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, errors = await process.communicate()
    assert len(output.splitlines()) == 2
    assert b"Traceback" not in errors


async def test_check_for_programs(tmp_path: Path) -> None:
    """The settings as JSON, with where they were set, and no secret."""
    variables = {"PLUTO_API_KEY": KEY, "PLUTO_PROXY_UPSTREAM__PROXY": "http://u:secret@proxy:1"}
    status, output, _ = await run("check", "--json", **variables, PLUTO_PROXY_CACHE=str(tmp_path / "c"))
    document = json.loads(output)
    assert (status, document["key"], document["settings"]["server"]["listen"]) == (0, "***", ["127.0.0.1:8787"])
    assert document["sources"]["cache.path"] == "PLUTO_PROXY_CACHE"
    assert KEY not in output
    assert "secret" not in output


async def test_tokens_for_programs(tmp_path: Path) -> None:
    """The token once, and never its hash."""
    variables = {"PLUTO_PROXY_ACCESS__TOKENS_FILE": str(tmp_path / "t" / "tokens.json")}
    _, output, _ = await run("token", "add", "a", "--project", "p", "--json", **variables)
    added = json.loads(output)
    assert added["token"].startswith(BEARER_PREFIX)
    _, output, _ = await run("token", "list", "--json", **variables)
    assert [(one["name"], one["projects"]) for one in json.loads(output)["tokens"]] == [("a", ["p"])]
    assert "sha256" not in output
    _, output, _ = await run("token", "revoke", "a", "--json", **variables)
    assert json.loads(output) == {"revoked": "a"}


@pytest.mark.parametrize("age", ["now", "soon over", "expired"])
async def test_doctor_looks_at_the_certificate(tmp_path: Path, age: str) -> None:
    """Until when it is good; one that isn't is told by the call."""
    authority = Authority(tmp_path / "authority")
    async with encrypted(authority.server(age=age)) as port:
        variables = {
            "PLUTO_API_KEY": KEY,
            "PLUTO_PROXY_UPSTREAM": f"https://localhost:{port}",
            "PLUTO_PROXY_UPSTREAM__CA_FILE": str(authority.path),
            "PLUTO_PROXY_CACHE": str(tmp_path / "c" / "c.sqlite"),
            "PLUTO_PROXY_LISTEN": "127.0.0.1:0",
        }
        status, output, _ = await run("doctor", **variables)
    lines = {line.split()[1]: line for line in output.splitlines() if not line.startswith(" ")}
    if age == "now":
        assert "good until 2099-01-01" in lines["certificate"]
    elif age == "soon over":
        assert status == 0
        assert lines["certificate"].startswith("advice")
    else:
        assert status == 1
        assert "has expired" in lines["pluto-api"]


async def test_serving_loads_nothing_that_draws() -> None:
    """What draws takes time and memory: the commands that need it load it."""
    program = "import sys, proxy.__main__, proxy.cli.serve; sys.exit(not {'rich', 'shtab'}.isdisjoint(sys.modules))"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, cwd=ROOT)
    assert await process.wait() == 0
