"""What `doctor` makes of pluto-api's answer, and of what a running proxy says."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from pathlib import Path
from time import time
from typing import Any

import pytest
from aiohttp import web

from proxy.cli.arguments import make_parser
from proxy.cli.doctor import run_doctor
from tests.support.raw_upstream import VALID
from tests.support.world import KEY, served

Told = dict[str, tuple[str, str, str]]
Doctor = Callable[..., Awaitable[Told]]


@pytest.fixture
def doctor(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Doctor:
    """Return what runs the command: what it finds, as (state, text, todo) by what was looked at."""
    usual = {
        "PLUTO_API_KEY": KEY,
        "PLUTO_PROXY_UPSTREAM": "http://127.0.0.1:9",
        "PLUTO_PROXY_LISTEN": "127.0.0.1:0",
        "PLUTO_PROXY_CACHE": str(tmp_path / "c" / "c.sqlite"),
    }

    async def run(*arguments: str, **variables: str) -> Told:
        environ = {name: value for name, value in {**usual, **variables}.items() if value}
        status = await asyncio.to_thread(run_doctor, make_parser().parse_args(["doctor", "--json", *arguments]), environ)
        findings = json.loads(capfd.readouterr().out)
        assert status == any(one["state"] == "fault" for one in findings)
        assert KEY not in str(findings)
        return {one["check"]: (one["state"], one["text"], one["todo"]) for one in findings}

    return run


def answering(body: str, *, status: int = 200, **headers: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(_request: web.Request) -> web.Response:
        return web.Response(text=body, status=status, headers=headers, content_type="application/json")

    return handle


@pytest.mark.parametrize(
    ("ahead_s", "state", "text"),
    [
        (0, "ok", "agrees with pluto-api's within 1 s"),
        (3_600, "advice", "this machine's clock is 60 min behind pluto-api's"),
        (-86_400 * 3, "advice", "this machine's clock is 3 d 0 h ahead of pluto-api's"),
    ],
)
async def test_the_clock(doctor: Doctor, ahead_s: float, state: str, text: str) -> None:
    """Compared with the Date of the answer, which says whole seconds."""

    async def handle(_request: web.Request) -> web.Response:
        return web.Response(text=VALID, headers={"Date": formatdate(time() + ahead_s, usegmt=True)})

    async with served(handle) as url:
        told = await doctor(PLUTO_PROXY_UPSTREAM=url)
    assert told["organization"][0] == "ok"
    assert told["clock"][0] == state
    assert told["clock"][1].startswith(text)
    assert bool(told["clock"][2]) == (state == "advice")


@pytest.mark.parametrize("date", ["yesterday", "Thu, 99 Foo 2026"])
async def test_a_date_that_says_nothing(doctor: Doctor, date: str) -> None:
    """Then the clock isn't judged."""
    async with served(answering(VALID, Date=date)) as url:
        assert (await doctor(PLUTO_PROXY_UPSTREAM=url))["clock"] == ("skipped", "pluto-api sends no Date", "")


@pytest.mark.parametrize(
    ("body", "status", "state", "text", "todo"),
    [
        (VALID, 200, "ok", "the key is good, for o", ""),
        ('{"valid":false}', 200, "fault", "does not have the documented shape", "is upstream.url the API's base URL?"),
        ("<html>", 200, "fault", "does not have the documented shape", "is upstream.url the API's base URL?"),
        ('{"error":"no route"}', 404, "fault", "404", "is upstream.url the API's base URL?"),
        ('{"error":"Invalid API key"}', 401, "fault", "it refuses the key (401)", "make a new key in Pluto's settings"),
    ],
)
async def test_what_pluto_api_answers(doctor: Doctor, body: str, status: int, state: str, text: str, todo: str) -> None:
    """Whose the key is; where that isn't told, what may be wrong."""
    async with served(answering(body, status=status)) as url:
        told = (await doctor(PLUTO_PROXY_UPSTREAM=url))["organization"]
    assert (told[0], told[2]) == (state, todo)
    assert text in told[1]


@pytest.mark.parametrize("status", [429, 503])
async def test_pluto_api_is_busy(doctor: Doctor, status: int) -> None:
    """That is nothing to mend."""
    async with served(answering("{}", status=status)) as url:
        state, text, todo = (await doctor(PLUTO_PROXY_UPSTREAM=url))["pluto-api"]
    assert state == "advice"
    assert str(status) in text
    assert todo.startswith("wait")


async def test_the_way_is_not_encrypted(doctor: Doctor) -> None:
    """The key would be read by whoever is on the way; on this machine nobody is."""
    # The name is for the proxy before it to look up, which isn't there.
    told = await doctor(PLUTO_PROXY_UPSTREAM="http://pluto.invalid", PLUTO_PROXY_UPSTREAM__PROXY="http://127.0.0.1:9")
    assert told["encryption"][0] == "advice"
    assert told["pluto-api"][0] == "fault"
    assert "encryption" not in await doctor()


async def test_no_way_to_look_at_the_certificate(doctor: Doctor, tmp_path: Path) -> None:
    """Why is told, also where there is no key to ask with; a file of authorities that can't be read is a fault by itself."""
    async with served(answering(VALID)) as url:
        plain = url.replace("http://", "https://")
        state, text, _ = (await doctor(PLUTO_PROXY_UPSTREAM=plain, PLUTO_API_KEY=""))["certificate"]
        assert (state, text) == ("skipped", "no connection: it doesn't speak TLS at this port (is upstream.url http:// there?)")
        missing = {"PLUTO_PROXY_UPSTREAM__CA_FILE": str(tmp_path / "none")}
        told = await doctor(PLUTO_PROXY_UPSTREAM=plain, **missing)
        assert told["certificate"][0] == told["pluto-api"][0] == "fault"
    state, text, _ = (await doctor(PLUTO_PROXY_UPSTREAM="https://127.0.0.1:9"))["certificate"]
    assert state == "skipped"
    assert text.startswith("no connection: ")


async def test_offline(doctor: Doctor) -> None:
    """Pluto-api is not asked, and no key is missed."""
    told = await doctor(PLUTO_PROXY_UPSTREAM__OFFLINE="true", PLUTO_API_KEY="")
    assert told["pluto-api"] == ("skipped", "never asked: upstream.offline is set", "")
    assert told["key"][0] == "ok"


def saying(state: Any, *, alive: str = "ok", status: int = 200) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Return what answers as a running proxy: that it lives, and what it says of itself."""

    async def handle(request: web.Request) -> web.Response:
        if request.path == "/livez":
            return web.Response(text=alive)
        return web.json_response(state, status=status)

    return handle


SERIES = {"trusted": True, "checks_passed": 7, "checks_failed": 0}


@pytest.mark.parametrize(
    ("handle", "state", "text"),
    [
        (saying({"series": SERIES}), "ok", "(7 checks passed, 0 failed)"),
        (saying({"series": SERIES}, status=503), "ok", "(7 checks passed, 0 failed)"),  # one that is ending
        (saying({"series": {**SERIES, "trusted": False}}), "advice", "samples by another rule"),
        (saying({}), "skipped", "doesn't say"),
        (saying({"detail": "a token is needed"}, status=401), "skipped", "PLUTO_PROXY_TOKEN"),
        (saying({"series": SERIES}, alive="something else"), "skipped", "no running proxy"),
    ],
)
async def test_the_rule(doctor: Doctor, handle: Any, state: str, text: str) -> None:
    """A running proxy can tell whether pluto-api has changed."""
    async with served(handle) as url:
        told = await doctor("--url", url)
    assert told["rule"][0] == state
    assert text in told["rule"][1]
    assert told["port"][0] == "ok"


async def test_a_proxy_that_runs_where_this_one_would(doctor: Doctor) -> None:
    """Its port is taken, and rightly so; by anything else it is a fault."""
    async with served(saying({"series": SERIES})) as url:
        listen = url.removeprefix("http://")
        told = await doctor(PLUTO_PROXY_LISTEN=listen)
        assert told["port"] == ("ok", f"a pluto-proxy answers at {listen}", "")
    async with served(saying({}, alive="no")) as url:
        assert (await doctor(PLUTO_PROXY_LISTEN=url.removeprefix("http://")))["port"][0] == "fault"
