"""The command as an operator meets it."""

import asyncio
import json
import stat
import sys
from pathlib import Path
from socket import has_dualstack_ipv6

import aiohttp
import pytest

from proxy.standin import Fault, FaultKind, Standin
from tests.support.processes import ROOT, environment, proxy_process, run
from tests.support.world import DATA, KEY, METRICS, QUESTION


async def test_without_a_key_it_says_what_to_set() -> None:
    """One clear line, at once, naming the variables and the demo."""
    status, output, errors = await run("serve")
    assert (status, output) == (2, "")
    assert len(errors.splitlines()) == 1
    assert all(word in errors for word in ("PLUTO_API_KEY", "PLUTO_API_KEY_FILE", "make demo"))


async def test_check_prints_the_configuration(tmp_path: Path) -> None:
    """The effective configuration on standard output, the key as ***."""
    path = tmp_path / "my.toml"
    path.write_text("[freshness]\nrunning_s = 9\n")
    status, output, errors = await run("check", "--config", str(path), PLUTO_API_KEY=KEY)
    assert (status, errors) == (0, "")
    assert f"running_s = 9.0  # {path}" in output
    assert "***" in output
    assert KEY not in output


async def test_check_tells_every_fault(tmp_path: Path) -> None:
    """Exit status 2, a line for each fault."""
    path = tmp_path / "my.toml"
    path.write_text('[freshness]\nrunning_s = "soon"\n[cache]\ncolour = 1\n')
    status, output, errors = await run("check", "--config", str(path), PLUTO_PROXY_LISTEN="0.0.0.0:80")
    assert (status, output) == (2, "")
    assert {line.split(": ")[1] for line in errors.splitlines()} == {"freshness.running_s", "cache.colour", "server.listen"}


async def test_a_key_file_that_cannot_be_read(tmp_path: Path) -> None:
    """Told by its name, for serving and checking alike."""
    for command in ("serve", "check"):
        status, _, errors = await run(command, PLUTO_API_KEY_FILE=str(tmp_path / "none"))
        assert status == 2
        assert str(tmp_path / "none") in errors


@pytest.mark.parametrize("content", [None, "", "no certificate"])
async def test_authorities_that_cannot_be_used(tmp_path: Path, content: str | None) -> None:
    """One line that names the file, exit status 2, for serving and checking alike."""
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    for command in ("serve", "check"):
        cache = str(tmp_path / "a" / "c")
        status, _, errors = await run(
            command, PLUTO_API_KEY=KEY, PLUTO_PROXY_CACHE=cache, PLUTO_PROXY_UPSTREAM__CA_FILE=str(path)
        )
        assert status == 2
        assert [line for line in errors.splitlines() if line.startswith(f"pluto-proxy: upstream.ca_file: {path} ")]
        assert "Traceback" not in errors


QUOTED = {
    "PLUTO_API_KEY": (f'"{KEY}"', "quotation marks"),
    "PLUTO_API_KEY_FILE": ('"/run/secrets/key"', "quotation marks"),
    "PLUTO_PROXY_UPSTREAM": ("'http://127.0.0.1:9'", "quotation marks"),
    "PLUTO_PROXY_CACHE": ('"/data/cache.sqlite"', "quotation marks"),
}


@pytest.mark.parametrize("command", ["serve", "check"])
async def test_quotation_marks_that_docker_kept(command: str) -> None:
    """One line for each variable that has them, before anything is served or asked; never what is in them."""
    status, output, errors = await run(command, **{name: text for name, (text, _) in QUOTED.items() if name != "PLUTO_API_KEY"})
    assert (status, output) == (2, "")
    lines = errors.splitlines()
    assert sorted(line.split(": ")[1] for line in lines) == sorted(QUOTED.keys() - {"PLUTO_API_KEY"})
    assert all("leave them out" in line for line in lines)
    assert "/run/secrets" not in errors
    status, output, errors = await run(command, PLUTO_API_KEY=QUOTED["PLUTO_API_KEY"][0])
    assert (status, output) == (2, "")
    assert errors.startswith("pluto-proxy: PLUTO_API_KEY: the key has quotation marks around it")
    assert len(errors.splitlines()) == 1
    assert KEY not in errors


@pytest.mark.parametrize("command", ["serve", "check"])
@pytest.mark.parametrize(
    ("content", "told"),
    [
        (f'"{KEY}"\n'.encode(), "quotation marks"),
        (f"PLUTO_API_KEY={KEY}\n".encode(), "NAME="),
        (f"Bearer {KEY}\n".encode(), "Bearer"),
        (b"sk-0123456789\n", "another service's"),
        (KEY.encode("utf-16"), "UTF-8"),
        (b"", "no key"),
        (b"mlpi_" + 20_000 * b"x", "more than a key"),
    ],
)
async def test_a_file_with_something_else_than_a_key(tmp_path: Path, command: str, content: bytes, told: str) -> None:
    """One line that names the file and says what is wrong, not what is in it."""
    path = tmp_path / "key"
    path.write_bytes(content)
    status, output, errors = await run(command, PLUTO_API_KEY_FILE=str(path))
    assert (status, output) == (2, "")
    assert errors.startswith(f"pluto-proxy: PLUTO_API_KEY_FILE: {path}")
    assert told in errors
    assert len(errors.splitlines()) == 1
    assert not any(part in errors for part in (KEY, "0123456789", "xxx"))


@pytest.mark.parametrize("ending", [b"", b"\n", b"\r\n", b"\n\n"])
@pytest.mark.parametrize("beginning", [b"", b"\xef\xbb\xbf"])
async def test_a_key_that_an_editor_wrote(tmp_path: Path, beginning: bytes, ending: bytes) -> None:
    """A byte order mark and line ends are no part of the key: the upstream takes it."""
    standin = Standin()
    path = tmp_path / "key"
    path.write_bytes(beginning + KEY.encode() + ending)
    async with (
        standin.serve() as upstream,
        proxy_process(
            PLUTO_API_KEY_FILE=str(path), PLUTO_PROXY_UPSTREAM=upstream, PLUTO_PROXY_CACHE=str(tmp_path / "c" / "c.sqlite")
        ) as running,
        aiohttp.ClientSession() as session,
        session.get(running.url + QUESTION) as response,
    ):
        assert response.status == 200


async def test_a_user_without_a_home() -> None:
    """A container's arbitrary user, whom no passwd file knows: one line that says what to set."""
    program = "import pwd, sys; pwd.getpwuid = {}.__getitem__; from proxy.cli import main; sys.exit(main())"
    for arguments in (["serve"], ["check"], ["token", "list"]):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            program,
            *arguments,
            env={name: value for name, value in environment(PLUTO_API_KEY=KEY).items() if name != "HOME"},
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, errors = await process.communicate()
        assert (process.returncode, output) == (2, b"")
        assert len(errors.splitlines()) == 1
        assert b"this user has none; set PLUTO_PROXY_CACHE, or HOME" in errors


async def test_a_taken_port(tmp_path: Path) -> None:
    """One line that says so, exit status 1."""
    async with proxy_process(
        PLUTO_API_KEY=KEY, PLUTO_PROXY_UPSTREAM="http://127.0.0.1:9", PLUTO_PROXY_CACHE=str(tmp_path / "a" / "c")
    ) as first:
        listen = first.url.removeprefix("http://")
        status, _, errors = await run(
            "serve",
            PLUTO_API_KEY=KEY,
            PLUTO_PROXY_LISTEN=listen,
            PLUTO_PROXY_UPSTREAM="http://127.0.0.1:9",
            PLUTO_PROXY_CACHE=str(tmp_path / "b" / "c"),
        )
        assert status == 1
        assert f"pluto-proxy: cannot listen on {listen}" in errors
        assert "Traceback" not in errors


async def test_an_address_that_cannot_be_had(tmp_path: Path) -> None:
    """One line says which it is and why, in the spelling of the setting; exit status 1."""
    variables = {
        "PLUTO_API_KEY": KEY,
        "PLUTO_PROXY_UPSTREAM": "http://127.0.0.1:9",
        "PLUTO_PROXY_ACCESS__OPEN": "true",
        "PLUTO_PROXY_CACHE": str(tmp_path / "b" / "c"),
    }
    async with proxy_process(**variables | {"PLUTO_PROXY_CACHE": str(tmp_path / "a" / "c")}) as first:
        taken = first.url.rpartition(":")[2]
        for listen, told in (
            (f"0.0.0.0:{taken}", "something listens there already"),
            (f"[::]:{taken}", "something listens there already" if has_dualstack_ipv6() else "no IPv6"),
            ("192.0.2.1:8787", "this machine has no such address"),
        ):
            status, _, errors = await run("serve", PLUTO_PROXY_LISTEN=listen, **variables)
            assert status == 1
            [line] = [line for line in errors.splitlines() if line.startswith("pluto-proxy: ")]
            assert line.startswith(f"pluto-proxy: cannot listen on {listen}: ")
            assert told in line
            assert line.endswith("; set server.listen")


@pytest.mark.skipif(not has_dualstack_ipv6(), reason="this machine has no IPv6")
async def test_every_address_of_both_kinds(tmp_path: Path) -> None:
    """`[::]` is answered by IPv4 too, and who comes by that is judged by their IPv4 address."""
    standin = Standin()
    async with (
        standin.serve() as upstream,
        proxy_process(
            PLUTO_API_KEY=KEY,
            PLUTO_PROXY_LISTEN="[::]:0",
            PLUTO_PROXY_ACCESS__NETWORKS="127.0.0.1",
            PLUTO_PROXY_UPSTREAM=upstream,
            PLUTO_PROXY_CACHE=str(tmp_path / "c" / "c"),
        ) as running,
        aiohttp.ClientSession() as session,
    ):
        assert running.url.startswith("http://[::]:")
        port = running.url.rpartition(":")[2]
        for address, status in (("127.0.0.1", 200), ("[::1]", 403)):
            async with session.get(f"http://{address}:{port}{QUESTION}") as response:
                assert response.status == status


async def test_sigterm_finishes_what_is_under_way(tmp_path: Path) -> None:
    """A request that waits for the upstream gets its answer, then the process ends with 0; the files are private."""
    standin = Standin()
    standin.rows.load_csv(DATA / "rows.csv.gz")
    gate = asyncio.Event()
    path = tmp_path / "cache" / "c.sqlite"
    async with (
        standin.serve() as upstream,
        proxy_process(PLUTO_API_KEY=KEY, PLUTO_PROXY_UPSTREAM=upstream, PLUTO_PROXY_CACHE=str(path)) as running,
        aiohttp.ClientSession() as session,
    ):
        standin.faults.add(Fault(kind=FaultKind.HOLD, gate=gate))
        asking = asyncio.create_task(session.get(running.url + QUESTION))
        await standin.counters.reached(lambda seen: seen.by_path[METRICS] == 1)
        ending = asyncio.create_task(running.terminate())
        await running.logged("server.draining")
        gate.set()
        async with await asking as response:
            assert response.status == 200
            assert len((await response.json())["metrics"]) == 3
        assert await ending == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    events = [json.loads(line)["event"] for line in running.lines]
    assert events[-1] == "server.stopped"


async def test_the_demo_runs(tmp_path: Path) -> None:
    """It listens, answers from growing runs, and ends cleanly."""
    async with (
        proxy_process("demo", "--listen", "127.0.0.1:0", TMPDIR=str(tmp_path)) as running,
        aiohttp.ClientSession() as session,
    ):
        question = f"{running.url}{METRICS}?runId=1001&projectName=demo&logName=train/loss&limit=5"
        async with session.get(question) as first, session.get(question) as second:
            assert len((await first.json())["metrics"]) >= 5
            assert second.headers["Cache-Status"].startswith("pluto-proxy; hit")
        assert await running.terminate() == 0
    assert not any(tmp_path.iterdir())


async def test_serving_offline(tmp_path: Path) -> None:
    """Without a key, from the file that a proxy with one has filled; a file with nothing of the upstream is told at once."""
    standin = Standin()
    cache = str(tmp_path / "c" / "c.sqlite")
    async with standin.serve() as upstream, aiohttp.ClientSession() as session:
        settings = {"PLUTO_PROXY_UPSTREAM": upstream, "PLUTO_PROXY_CACHE": cache}
        async with proxy_process(PLUTO_API_KEY=KEY, **settings) as running:
            async with session.get(running.url + QUESTION) as response:
                stored = await response.read()
            assert await running.terminate() == 0
        calls = sum(standin.counters.by_path.values())
        async with proxy_process("serve", "--offline", **settings) as running:
            async with session.get(running.url + QUESTION) as response:
                assert (response.status, await response.read()) == (200, stored)
            async with session.get(running.url + QUESTION + "1") as response:
                assert (response.status, (await response.json(content_type=None))["code"]) == (504, "offline")
        assert sum(standin.counters.by_path.values()) == calls
    status, output, errors = await run("serve", "--offline", PLUTO_PROXY_CACHE=cache, PLUTO_PROXY_LISTEN="127.0.0.1:0")
    assert (status, output) == (2, "")
    assert errors.splitlines()[-1].startswith(f"pluto-proxy: upstream.offline: {cache}: the cache file has nothing of")
