"""structlog, set up once: JSON lines, or a coloured console where a person looks on. Everything goes to standard error.

Nobody waits for standard error, and nobody fails for it (`log.lines`).
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
# The process's end waits so long for lines to be written.
_LAST_LINES_S = 1.0


class _Logger:
    """Takes the lines of structlog."""

    def __init__(self, lines: Lines) -> None:
        self.msg = self.debug = self.info = self.warning = self.error = self.critical = lines.put


class _Handler(logging.Handler):
    """Takes the records of the standard library."""

    def __init__(self, lines: Lines) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        """See logging.Handler."""
        self._lines.put(self.format(record))


def configure(*, level: str, log_format: Format) -> Lines:
    """Send structlog's events, the standard library's records and whatever writes to sys.stderr to standard error.

    Events and records have one format. `log_format` auto means console on a terminal and JSON lines elsewhere. structlog's
    events don't take the way through the standard library's records: that is most of what a line costs (20 us of CPU,
    against 8).
    """
    terminal = log_format != "json" and sys.stderr.isatty()
    console = log_format == "console" or (log_format == "auto" and terminal)
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[Processor] = (
        # Plain tracebacks: the renderer's own show local variables where the package rich is installed, the key among them.
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
    # These two tell of every statement and callback at debug level, keys and bodies among them.
    for name in ("aiosqlite", "asyncio"):
        logging.getLogger(name).setLevel(logging.INFO)
    return lines


def _standard_error(notice: Callable[[int], str]) -> Lines:
    """Put a writer before standard error for the rest of the process's life, and let its end wait for what isn't written yet.

    It stays to the end: a traceback of the interpreter's own, on a standard error that blocks, would otherwise be what keeps
    the process from ending.
    """
    lines = Lines(sys.stderr.fileno(), encoding=sys.stderr.encoding, notice=notice)
    stream = sys.stderr = LineStream(lines, sys.stderr)

    def end() -> None:
        stream.finish()
        lines.settled(_LAST_LINES_S)

    atexit.register(end)
    return lines


def _dropped(processors: Sequence[Processor], count: int) -> str:
    """Return the line that says how many are missing, whatever the level is from which on lines are written."""
    event: EventDict = {"event": "lines.dropped", "lines": count}
    for processor in processors:
        event = processor(None, "warning", event)  # type: ignore[assignment]  # the last one returns the line
    return str(event)


def _without_details(record: logging.LogRecord) -> bool:
    """Keep one line of what the HTTP server logs: a malformed request. Its traceback quotes headers, credentials among them."""
    record.msg, record.args = "request.malformed", ()
    record.exc_info = record.exc_text = None
    return True
