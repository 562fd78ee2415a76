"""Setting up the log: structlog's events as JSON lines, or in colours on a terminal. Everything goes to standard error.

`log.lines` writes the lines. Nothing waits for standard error, and nothing fails if it cannot be written to.
"""

import atexit
import logging
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import structlog
from structlog.typing import EventDict, Processor

from proxy.log.lines import Lines, LineStream

Format = Literal["auto", "json", "console"]
# How long the end of the process waits for the last lines to be written.
_LAST_LINES_S = 1.0


class _Logger:
    """Takes structlog's lines."""

    def __init__(self, lines: Lines) -> None:
        self.msg = self.debug = self.info = self.warning = self.error = self.critical = lines.put


class _Handler(logging.Handler):
    """Takes the standard library's log records."""

    def __init__(self, lines: Lines) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        """See logging.Handler."""
        self._lines.put(self.format(record))


def configure(*, level: str, log_format: Format) -> Lines:
    """Send structlog's events, the standard library's log records and all text for sys.stderr to standard error.

    Events and records have the same format. `log_format` "auto" is console on a terminal, and JSON lines elsewhere. structlog's
    events are not made into records of the standard library first, which would be most of a line's cost (20 us of CPU against
    8). Returns the lines' writer.
    """
    terminal = log_format != "json" and sys.stderr.isatty()
    console = log_format == "console" or (log_format == "auto" and terminal)
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[Processor] = (
        # Plain tracebacks: if the package rich is installed, the renderer's own show local variables, and so the key.
        [structlog.dev.ConsoleRenderer(colors=terminal, exception_formatter=structlog.dev.plain_traceback)]
        if console
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    lines = _standard_error(partial(_dropped, [*shared, *last]))
    logger = _Logger(lines)
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=lambda *_: logger,
        cache_logger_on_first_use=False,
    )
    handler = _Handler(lines)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    logging.getLogger("aiohttp.server").addFilter(_without_details)
    # At debug level these two log every statement and callback, with keys and bodies in them.
    for name in ("aiosqlite", "asyncio"):
        logging.getLogger(name).setLevel(logging.INFO)
    return lines


def set_level(level: str) -> None:
    """Log what is of this level or above from now on."""
    wrapper = structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()])
    structlog.configure(**{**structlog.get_config(), "wrapper_class": wrapper})
    logging.getLogger().setLevel(level.upper())


def _standard_error(notice: Callable[[int], str]) -> Lines:
    """Put a writer before standard error until the process ends. The end waits for what isn't written yet.

    The writer stays in place to the very end. Otherwise a last traceback of the interpreter, written to a standard error that
    blocks, would keep the process from ending.
    """
    lines = Lines(sys.stderr.fileno(), encoding=sys.stderr.encoding, notice=notice)
    stream = sys.stderr = LineStream(lines, sys.stderr)

    def end() -> None:
        stream.finish()
        lines.settled(_LAST_LINES_S)

    atexit.register(end)
    return lines


def _dropped(processors: Sequence[Processor], count: int) -> str:
    """Return the line that says how many lines were dropped. It is written whatever the log level is."""
    event: EventDict = {"event": "lines.dropped", "lines": count}
    for processor in processors:
        event = processor(None, "warning", event)  # type: ignore[assignment]  # the last one returns the line
    return str(event)


def _without_details(record: logging.LogRecord) -> bool:
    """Reduce a record of the HTTP server to one event: its traceback quotes headers, and so credentials. Keeps the record."""
    record.msg, record.args = "request.malformed", ()
    record.exc_info = record.exc_text = None
    return True
