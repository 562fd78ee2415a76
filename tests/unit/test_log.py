"""What is logged: one line for each event, in one format, and nobody fails for it."""

import io
import json
import logging
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from proxy import log


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Leave the configuration of both libraries as it was found."""
    structlogs, root = structlog.get_config(), logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.configure(**structlogs)
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(file: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.getvalue().splitlines()]


def fail(secret: str) -> None:
    raise ValueError(len(secret))


def test_events_and_records_look_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are a JSON object a line, with level and time; what is below the level isn't written."""
    file = io.StringIO()
    monkeypatch.setattr("sys.stderr", file)
    log.configure(level="warning", log_format="json")
    structlog.get_logger().info("too.low")
    structlog.get_logger().warning("an.event", path="a\nb", status=200)
    logging.getLogger("some.library").info("too low")
    logging.getLogger("some.library").warning("a %s", "record")
    event, record = lines(file)
    assert {event.pop("timestamp")[:2], record.pop("timestamp")[:2]} == {"20"}
    assert event == {"event": "an.event", "level": "warning", "path": "a\nb", "status": 200}
    assert record == {"event": "a record", "level": "warning"}


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_tracebacks_show_no_values(monkeypatch: pytest.MonkeyPatch, log_format: log.Format) -> None:
    """Neither of events nor of records: a local variable may hold the key."""
    file = io.StringIO()
    monkeypatch.setattr("sys.stderr", file)
    log.configure(level="info", log_format=log_format)
    try:
        fail(str(47**11))
    except ValueError:
        structlog.get_logger().exception("an.event")
        logging.getLogger("some.library").exception("a record")
    told = file.getvalue()
    assert told.count("ValueError: 19") == 2
    assert str(47**11) not in told


class Full(io.StringIO):
    """Standard error on a disk that is full, or in a pipe that nobody reads any more."""

    def write(self, _text: str) -> int:
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("broken", [Full(), io.StringIO()], ids=["full", "closed"])
def test_nobody_fails_for_a_line(monkeypatch: pytest.MonkeyPatch, broken: io.StringIO) -> None:
    """A line that cannot be written is lost, and the next one is tried again."""
    if not isinstance(broken, Full):
        broken.close()
    monkeypatch.setattr("sys.stderr", broken)
    log.configure(level="info", log_format="json")
    structlog.get_logger().info("an.event")
    structlog.get_logger().error("an.event", exc_info=ValueError())


@pytest.mark.parametrize("log_format", ["json", "console", "auto"])
def test_without_standard_error_lines_are_lost(monkeypatch: pytest.MonkeyPatch, log_format: log.Format) -> None:
    """Python has none where its descriptor was closed before the start (`2>&-`)."""
    monkeypatch.setattr("sys.stderr", None)
    log.configure(level="info", log_format=log_format)
    structlog.get_logger().info("an.event")
    logging.getLogger("some.library").warning("a record")


class Slow(io.StringIO):
    """Standard error without a buffer (PYTHONUNBUFFERED), in a pipe that is nearly full: a line goes out in two parts."""

    def write(self, text: str) -> int:
        half = len(text) // 2
        super().write(text[:half])
        time.sleep(0.0005)
        return half + super().write(text[half:])


def test_lines_of_threads_stay_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Events and records alike, one line after the other."""
    file = Slow()
    monkeypatch.setattr("sys.stderr", file)
    log.configure(level="info", log_format="json")

    def tell() -> None:
        for _ in range(20):
            structlog.get_logger().info("an.event")
            logging.getLogger("some.library").info("a record")

    threads = [threading.Thread(target=tell) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(line["event"] for line in lines(file)) == {"an.event": 60, "a record": 60}
