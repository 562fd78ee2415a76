"""Where a running proxy listens: several addresses, Unix sockets, TLS; and how commands reach it there."""

import asyncio
import json
import shutil
import signal
import socket
import ssl
import stat
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import aiohttp
import pytest

from proxy.standin import Row, Standin
from tests.process.test_supervisor import opened, supervised, told
from tests.support.certificates import Authority
from tests.support.ports import held_port
from tests.support.processes import proxy_process, run
from tests.support.terminals import shown_in_terminal
from tests.support.world import KEY, QUESTION

ASKING = [
    ["status", "--once"],
    ["query", "--project", "demo", "--run", "1", "--metric", "loss"],
    ["warm", "--project", "demo"],
    ["cache", "stats"],
    ["cache", "purge", "--everything"],
]


def filled() -> Standin:
    standin = Standin()
    standin.rows.insert(Row(run_id=1, log_name="loss", step=step, value=step / 7) for step in range(10))
    return standin


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    """What a proxy of this test has; nobody answers as its pluto-api."""
    return {
        "PLUTO_API_KEY": KEY,
        "PLUTO_PROXY_UPSTREAM": "http://127.0.0.1:9",
        "PLUTO_PROXY_CACHE": str(tmp_path / "c" / "c.sqlite"),
    }


@pytest.fixture
def port() -> Iterator[int]:
    with held_port() as port:
        yield port


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "run"
    place.mkdir(mode=0o750)
    return place


async def get(url: str, target: str = "/livez", *, trust: ssl.SSLContext | None = None) -> tuple[int, bytes]:
    """Ask a proxy at an address, a Unix socket's among them."""
    connector: aiohttp.BaseConnector = aiohttp.TCPConnector(ssl=trust or True)
    if url.startswith("unix:"):
        connector, url = aiohttp.UnixConnector(url.removeprefix("unix:")), "http://localhost"
    async with aiohttp.ClientSession(connector=connector) as session, session.get(url + target) as response:
        return response.status, await response.read()


def urls(log: str) -> list[str]:
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    return [line["url"] for line in lines if line["event"] == "server.started"]


async def test_several_addresses(folder: Path, variables: dict[str, str]) -> None:
    """Each answers the same, a Unix socket with the mode that is set; its file is gone at the end."""
    path = folder / "proxy.sock"
    async with filled().serve() as upstream:
        variables |= {
            "PLUTO_PROXY_UPSTREAM": upstream,
            "PLUTO_PROXY_LISTEN": f"127.0.0.1:0, localhost:0,unix:{path}",
            "PLUTO_PROXY_SERVER__SOCKET_MODE": "0600",
        }
        async with proxy_process(**variables) as running:
            await running.logged("unix:")
            found = urls(running.log)
            assert len(found) >= 3
            assert found[-1] == f"unix:{path}"
            answers = [await get(url, QUESTION) for url in found]
            assert answers == [(200, answers[0][1])] * len(found)
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert await running.terminate() == 0
    assert not path.exists()


@pytest.mark.parametrize("others", [["unix:{folder}/a.sock", "127.0.0.1:{busy}"], ["127.0.0.1:{free}", "unix:{folder}/busy"]])
async def test_all_or_none(folder: Path, variables: dict[str, str], port: int, others: list[str]) -> None:
    """If one cannot be opened none is, and which it was is told; nothing is left of the others."""
    with socket.create_server(("127.0.0.1", 0)) as busy, opened(folder / "busy"):
        texts = [text.format(folder=folder, busy=busy.getsockname()[1], free=port) for text in others]
        status, _, errors = await run("serve", **variables, PLUTO_PROXY_LISTEN=",".join(texts), PLUTO_PROXY_LOG__LEVEL="error")
        assert status == 1
        [line] = errors.splitlines()
        assert line.startswith(f"pluto-proxy: cannot listen on {texts[1]}: ")
        assert "listens there already" in line
        assert line.endswith("; set server.listen")
        assert [path.name for path in folder.iterdir()] == ["busy"]


async def test_after_it_was_killed(folder: Path, variables: dict[str, str]) -> None:
    """A process that is killed leaves its file, and the next takes it over; while one lives another is refused."""
    path = folder / "proxy.sock"
    variables["PLUTO_PROXY_LISTEN"] = f"unix:{path}"
    async with proxy_process(**variables) as running:
        await running.kill()
    assert path.is_socket()
    async with proxy_process(**variables) as running:
        other = {**variables, "PLUTO_PROXY_CACHE": f"{variables['PLUTO_PROXY_CACHE']}2", "PLUTO_PROXY_LOG__LEVEL": "error"}
        status, _, errors = await run("serve", **other)
        assert (status, errors) == (
            1,
            f"pluto-proxy: cannot listen on unix:{path}: another process listens there already; set server.listen\n",
        )
        assert (await get(f"unix:{path}"))[0] == 200
        path.unlink()
        path.write_text("somebody's")
        assert await running.terminate() == 0
    assert path.read_text() == "somebody's"


async def test_each_address_may_expose(variables: dict[str, str]) -> None:
    """Every one that others can reach is named, wherever it stands in the list; a Unix socket never is."""
    listen = "127.0.0.1:1,0.0.0.0:2,unix:/tmp/s,[::]:3"
    status, _, errors = await run("check", **variables, PLUTO_PROXY_LISTEN=listen)
    assert status == 2
    assert [line.split(" ")[2] for line in errors.splitlines()] == ["0.0.0.0:2", "[::]:3"]


@pytest.mark.parametrize("arguments", ASKING, ids=" ".join)
async def test_commands_by_each_way(tmp_path: Path, folder: Path, port: int, arguments: list[str]) -> None:
    """By a Unix socket, said or from the configuration; by HTTPS, believing whom is said, or this very certificate."""
    authority = Authority(tmp_path / "authority")
    certificate, key = authority.issue(names="DNS:localhost")
    path = folder / "s"
    async with filled().serve() as upstream:
        variables = {
            "PLUTO_PROXY_UPSTREAM": upstream,
            "PLUTO_PROXY_CACHE": str(tmp_path / "c" / "c.sqlite"),
            "PLUTO_PROXY_SERVER__TLS_CERT": str(certificate),
            "PLUTO_PROXY_SERVER__TLS_KEY": str(key),
        }
        async with proxy_process(PLUTO_API_KEY=KEY, PLUTO_PROXY_LISTEN=f"127.0.0.1:{port},unix:{path}", **variables):
            secure = f"https://localhost:{port}"
            ways: list[tuple[list[str], dict[str, str]]] = [
                (["--url", f"unix:{path}"], {}),
                ([], {"PLUTO_PROXY_URL": f"unix:{path}"}),
                ([], {"PLUTO_PROXY_LISTEN": f"127.0.0.1:1,unix:{path}"}),
                (["--url", secure, "--ca-file", str(authority.path)], {}),
                (["--url", secure], {"SSL_CERT_FILE": str(authority.path)}),
                # The certificate isn't for this name: it is the one that the configuration has.
                ([], {"PLUTO_PROXY_LISTEN": f"127.0.0.1:{port}", **variables}),
            ]
            for said, environ in ways:
                status, output, errors = await run(*arguments, *said, **environ)
                assert (status, "no proxy answers" in errors) == (0, False)
                assert output or errors


async def test_what_commands_say_of_tls(tmp_path: Path, variables: dict[str, str]) -> None:
    """One line for each thing that is wrong with a certificate, or with who speaks TLS."""
    authority, other = Authority(tmp_path / "authority"), Authority(tmp_path / "other")
    certificate, key = authority.issue(names="DNS:localhost")
    tls = {"PLUTO_PROXY_SERVER__TLS_CERT": str(certificate), "PLUTO_PROXY_SERVER__TLS_KEY": str(key)}
    async with proxy_process(**variables, **tls) as running, proxy_process(**variables | cache(tmp_path)) as plain:
        port, trusting = running.url.rpartition(":")[2], ["--ca-file", str(authority.path)]
        cases = [
            (["--url", running.url], "its certificate is not accepted: "),
            (["--url", running.url, "--ca-file", str(other.path)], "its certificate is not accepted: "),
            (["--url", running.url, *trusting], "its certificate is not accepted: "),
            (["--url", f"http://127.0.0.1:{port}"], "is its address https://?"),
            (["--url", plain.url.replace("http:", "https:"), *trusting], "is its address http://?"),
        ]
        for arguments, expected in cases:
            status, output, errors = await run("status", "--once", *arguments)
            assert (status, output, errors.count("\n")) == (1, "", 1)
            assert expected in errors
        another, _ = other.issue(names="DNS:localhost")
        settings = {**variables, **tls, "PLUTO_PROXY_LISTEN": f"127.0.0.1:{port}", "PLUTO_PROXY_SERVER__TLS_CERT": str(another)}
        status, _, errors = await run("status", "--once", **settings)
        assert (status, "it has another certificate than server.tls_cert" in errors) == (1, True)
        for path, expected in ((tmp_path / "none", "cannot be read"), (key, "holds no certificates")):
            status, _, errors = await run("status", "--once", "--url", running.url, "--ca-file", str(path))
            assert (status, expected in errors, errors.count("\n")) == (2, True, 1)


def cache(folder: Path) -> dict[str, str]:
    return {"PLUTO_PROXY_CACHE": str(folder / "other" / "c.sqlite")}


async def test_a_certificate_that_is_replaced(tmp_path: Path, variables: dict[str, str]) -> None:
    """By the loop that serves, in time: within a moment clients are shown the new one, and none is turned away meanwhile."""
    authority = Authority(tmp_path / "authority")
    certificate, key = authority.issue()
    tls = {"PLUTO_PROXY_SERVER__TLS_CERT": str(certificate), "PLUTO_PROXY_SERVER__TLS_KEY": str(key)}
    async with proxy_process(**variables, **tls) as running:
        assert (await get(running.url, trust=authority.trusted))[0] == 200
        for new, place in zip(authority.issue("next"), (certificate, key), strict=True):
            shutil.copy(new, place)
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        while "certificate.read" not in running.log:
            assert (await get(running.url, trust=authority.trusted))[0] == 200
            assert loop.time() - began_s < 30
        assert await running.terminate() == 0


async def test_a_socket_that_is_handed_over(tmp_path: Path) -> None:
    """What a supervisor hands over speaks TLS as well, unless it is a Unix socket."""
    authority = Authority(tmp_path / "authority")
    certificate, key = authority.issue()
    tls = {"PLUTO_PROXY_SERVER__TLS_CERT": str(certificate), "PLUTO_PROXY_SERVER__TLS_KEY": str(key)}
    with ExitStack() as stack:
        inet, unix = (stack.enter_context(opened(place)) for place in ("127.0.0.1", tmp_path / "s"))
        async with supervised(tmp_path, [inet, unix], **tls) as (process, telling):
            assert await told(telling) == "READY=1"
            assert (await get(f"https://127.0.0.1:{inet.getsockname()[1]}", trust=authority.trusted))[0] == 200
            assert (await get(f"unix:{tmp_path / 's'}"))[0] == 200
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
    # Its file is the supervisor's.
    assert (tmp_path / "s").is_socket()


@pytest.mark.parametrize("fault", ["mismatch", "passphrase"])
async def test_serving_begins_with_a_good_pair(tmp_path: Path, variables: dict[str, str], fault: str) -> None:
    """`serve`, `check` and `doctor` say what is wrong, and nobody is asked for a passphrase, also on a terminal."""
    authority = Authority(tmp_path / "authority")
    certificate, key = authority.issue()
    if fault == "mismatch":
        _, key = authority.issue("other")
        expected = "is not the key of the first certificate"
    else:
        key, expected = authority.locked(key), "is protected by a passphrase"
    tls = {"PLUTO_PROXY_SERVER__TLS_CERT": str(certificate), "PLUTO_PROXY_SERVER__TLS_KEY": str(key)}
    for command in ("serve", "check"):
        status, _, errors = await run(command, **variables, **tls)
        assert (status, expected in errors, errors.count("\n")) == (2, True, 1)
    status, shown, _ = await run("doctor", **variables, **tls)
    assert status == 1
    assert f"fault    tls           server.tls_key: {key} {expected}" in shown
    status, terminal = await shown_in_terminal("check", **variables, **tls)
    assert (status, "pass phrase" in terminal.text) == (2, False)
