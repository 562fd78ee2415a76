"""SIGHUP, and what is reloaded by it in the process that serves."""

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs

from proxy.cli.reloading import Reread, check_covered, reloading
from proxy.cli.signals import Hangups, outlasting_signals
from proxy.cli.supervisor import NOBODY
from proxy.config import load
from proxy.errors import ConfigError
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


@pytest.mark.parametrize(
    ("urls", "settings", "good"),
    [
        (["http://127.0.0.1:1", "https://[::1]:2", "unix:/run/proxy"], {}, True),
        (["http://127.0.0.1:1", "https://[2001:db8::1]:2"], {}, False),
        (["http://0.0.0.0:1"], {"PLUTO_PROXY_ACCESS__NETWORKS": "10.0.0.0/8"}, True),
        (["http://0.0.0.0:1"], {"PLUTO_PROXY_ACCESS__OPEN": "true"}, True),
        (["http://0.0.0.0:1"], {"PLUTO_PROXY_ACCESS__TOKENS_FILE": "/tokens.json"}, True),
    ],
)
def test_where_others_can_reach_it(urls: list[str], settings: dict[str, str], good: bool) -> None:
    """The addresses that are open count, whatever server.listen says by now."""
    config = load(None, settings).config
    if good:
        check_covered(config, urls)
    else:
        with pytest.raises(ConfigError, match="2001:db8::1, which others can reach"):
            check_covered(config, urls)
