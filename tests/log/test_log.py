"""What is logged: one line for each event, in one format, and nobody fails for it."""

import json
import logging
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import structlog

from proxy import log
from proxy.log.lines import Lines

PATIENCE_S = 30.0
Configure = Callable[..., Lines]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """What stands for standard error."""
    return tmp_path / "errors"


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch, path: Path) -> Iterator[Configure]:
    """Configure logging to that file, or another; leave the configuration of both libraries as it was found."""
    structlogs, root = structlog.get_config(), logging.getLogger()
    handlers, level = root.handlers[:], root.level
    with ExitStack() as stack:

        def configure(*, level: str, log_format: log.Format, instead: Path = path) -> Lines:
            # Not before the test has begun: pytest sets it itself.
            monkeypatch.setattr("sys.stderr", stack.enter_context(instead.open("w")))
            return log.configure(level=level, log_format=log_format)

        yield configure
        monkeypatch.undo()
    structlog.configure(**structlogs)
    root.handlers[:] = handlers
    root.setLevel(level)


def written(lines: Lines, path: Path) -> list[dict[str, Any]]:
    assert lines.settled(PATIENCE_S)
    return [json.loads(line) for line in path.read_text().splitlines()]


def fail(secret: str) -> None:
    raise ValueError(len(secret))


def test_events_and_records_look_alike(configure: Configure, path: Path) -> None:
    """Both are a JSON object a line, with level and time; what is below the level isn't written."""
    lines = configure(level="warning", log_format="json")
    structlog.get_logger().info("too.low")
    structlog.get_logger().warning("an.event", path="a\nb", status=200)
    logging.getLogger("some.library").info("too low")
    logging.getLogger("some.library").warning("a %s", "record")
    event, record = written(lines, path)
    assert {event.pop("timestamp")[:2], record.pop("timestamp")[:2]} == {"20"}
    assert event == {"event": "an.event", "level": "warning", "path": "a\nb", "status": 200}
    assert record == {"event": "a record", "level": "warning"}


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_tracebacks_show_no_values(configure: Configure, path: Path, log_format: log.Format) -> None:
    """Neither of events nor of records: a local variable may hold the key."""
    lines = configure(level="info", log_format=log_format)
    try:
        fail(str(47**11))
    except ValueError:
        structlog.get_logger().exception("an.event")
        logging.getLogger("some.library").exception("a record")
    assert lines.settled(PATIENCE_S)
    told = path.read_text()
    assert told.count("ValueError: 19") == 2
    assert str(47**11) not in told


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_nobody_fails_for_a_line(configure: Configure) -> None:
    """A line that cannot be written is lost and counted, and the next one is tried again."""
    lines = configure(level="info", log_format="json", instead=Path("/dev/full"))
    for lost in range(1, 4):
        structlog.get_logger().error("an.event", exc_info=ValueError())
        assert lines.settled(PATIENCE_S)
        assert (lines.dropped, lines.losing) == (lost, True)


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_what_is_missing_is_told_at_any_level(configure: Configure, path: Path, log_format: log.Format) -> None:
    """In the format of the other lines, as a warning."""
    lines = configure(level="error", log_format=log_format)
    lines.put("x" * 2**23)
    assert lines.settled(PATIENCE_S)
    told = path.read_text()
    if log_format == "json":
        line = json.loads(told)
        assert line.pop("timestamp")[:2] == "20"
        assert line == {"event": "lines.dropped", "level": "warning", "lines": 1}
    else:
        assert "lines.dropped" in told
        assert "lines=1" in told


def test_lines_of_threads_stay_whole(configure: Configure, path: Path) -> None:
    """Events and records alike, one line after the other."""
    lines = configure(level="info", log_format="json")

    def tell() -> None:
        for _ in range(200):
            structlog.get_logger().info("an.event")
            logging.getLogger("some.library").info("a record")

    threads = [threading.Thread(target=tell) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(line["event"] for line in written(lines, path)) == {"an.event": 600, "a record": 600}


_CRASH = """
import asyncio, sys, threading, warnings
from proxy import log
log.configure(level="info", log_format="json")
import structlog
structlog.get_logger().info("the first")
print("the second", file=sys.stderr)
warnings.warn("the third")
def fail(): raise ValueError("the fourth")
thread = threading.Thread(target=fail)
thread.start()
thread.join()
asyncio.new_event_loop().call_exception_handler(dict(message="the fifth"))
sys.stderr.write({last})
raise RuntimeError("the last")
"""


def test_whatever_writes_to_standard_error_goes_the_same_way() -> None:
    """`print`, warnings, tracebacks, that of a crash at last: in order, and all of it gets out."""
    command = [sys.executable, "-W", "always", "-c", _CRASH.format(last="'no end of a line'")]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=PATIENCE_S)  # noqa: S603 -- ours
    assert ended.returncode == 1
    places = [ended.stderr.index(f"the {word}") for word in ("first", "second", "third", "fourth", "fifth", "last")]
    assert places == sorted(places)
    assert "\nno end of a lineTraceback" in ended.stderr
    # What measures the tests may leave warnings of its own behind it.
    assert "\nRuntimeError: the last\n" in ended.stderr


def test_a_crash_ends_though_standard_error_blocks() -> None:
    """A process that hung at its end would never be started again."""
    command = [sys.executable, "-c", _CRASH.format(last="'x' * 2**20")]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:  # noqa: S603 -- ours
        assert process.wait(timeout=PATIENCE_S) == 1
