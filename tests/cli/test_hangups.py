"""SIGHUP, and what is reloaded by it in the process that serves."""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs

from proxy.cli.listening import check_exposure, exposed_hosts
from proxy.cli.reloading import Reread, reloading
from proxy.cli.signals import Hangups, outlasting_signals
from proxy.cli.supervisor import NOBODY
from proxy.config import load
from proxy.errors import ConfigError
from proxy.restart.sockets import BY_SUPERVISOR, ListeningSocket
from tests.support.reloading import loaded
from tests.support.world import world


@pytest.fixture(autouse=True)
def _nothing_stays() -> Iterator[None]:
    """The process has its usual signals and its usual log after each test."""
    numbers = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
    before, configured, level = [signal.getsignal(number) for number in numbers], structlog.get_config(), logging.root.level
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)
    structlog.configure(**configured)
    logging.root.setLevel(level)


async def ticked(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 -- no event tells it
            await asyncio.sleep(0)


async def test_kept_taken_and_ignored() -> None:
    """One that comes early is kept, one that comes in time is taken, and one that comes late is only logged."""
    hangups, taken = Hangups(kept=True), list[str]()
    with capture_logs() as logs, outlasting_signals(hangups):
        os.kill(os.getpid(), signal.SIGHUP)
        with hangups.taken(lambda: taken.append("taken")):
            assert taken == ["taken"]
            os.kill(os.getpid(), signal.SIGHUP)
            await ticked(lambda: len(taken) == 2)
        os.kill(os.getpid(), signal.SIGHUP)
        await ticked(lambda: bool(logs))
    assert taken == ["taken"] * 2
    assert [(line["event"], line["signal"]) for line in logs] == [("signal.ignored", "SIGHUP")]
    os.kill(os.getpid(), signal.SIGHUP)


async def test_a_signal_reloads(tmp_path: Path) -> None:
    """The settings hold once it is done."""
    hangups = Hangups(kept=True)
    async with world(tmp_path) as running:
        reread = Reread(
            read=lambda: loaded(tmp_path, running.upstream, freshness__running_s=7, log__level="error"), hangups=hangups
        )
        async with reloading(running.parts, reread, sockets=[], supervisor=NOBODY):
            with outlasting_signals(hangups):
                os.kill(os.getpid(), signal.SIGHUP)
                await ticked(lambda: running.parts.reloads.succeeded == 1)
            now = running.parts.settings.now
            assert (now.freshness.running_s, now.log.level) == (7, "error")
            with capture_logs() as logs:
                structlog.get_logger().info("one")
                structlog.get_logger().error("other")
            assert [line["event"] for line in logs] == ["other"]
            assert logging.root.level == logging.ERROR


EVERYWHERE = "0.0.0.0"  # noqa: S104 -- that is what others can reach


def opened(host: str) -> ListeningSocket:
    family = socket.AF_UNIX if host.startswith("/") else socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family)
    found.bind(host if family == socket.AF_UNIX else (host, 0))
    return ListeningSocket(address=BY_SUPERVISOR, socket=found)


@pytest.mark.parametrize(
    ("hosts", "settings", "good"),
    [
        (["127.0.0.1", "127.0.0.2", "/socket"], {}, True),
        (["127.0.0.1", EVERYWHERE], {}, False),
        ([EVERYWHERE], {"PLUTO_PROXY_ACCESS__NETWORKS": "10.0.0.0/8"}, True),
        ([EVERYWHERE], {"PLUTO_PROXY_ACCESS__OPEN": "true"}, True),
        ([EVERYWHERE], {"PLUTO_PROXY_ACCESS__TOKENS_FILE": "/tokens.json"}, True),
    ],
)
def test_where_others_can_reach_it(tmp_path: Path, hosts: list[str], settings: dict[str, str], good: bool) -> None:
    """The sockets that are open count, whoever opened them, and whatever server.listen says by now."""
    config = load(None, settings).config
    with ExitStack() as stack:
        sockets = [opened(host.replace("/", f"{tmp_path}/")) for host in hosts]
        for one in sockets:
            stack.enter_context(one.socket)
        if good:
            check_exposure(config, exposed_hosts(sockets))
        else:
            with pytest.raises(ConfigError, match=r"listens on 0\.0\.0\.0, which others can reach") as caught:
                check_exposure(config, exposed_hosts(sockets))
            assert "supervisor" not in str(caught.value)
