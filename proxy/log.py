"""structlog, set up once: JSON lines, or a coloured console where a person looks on. Everything goes to standard error."""

import logging
import sys
from contextlib import suppress
from typing import Literal, TextIO

import structlog
from structlog.typing import Processor

Format = Literal["auto", "json", "console"]


class _Lines:
    """Writes lines where a handler writes its own, one at a time with these.

    What can't be written is lost, as with the standard library: nobody must fail for a line.
    """

    def __init__(self, handler: "logging.StreamHandler[TextIO]") -> None:
        self._handler = handler

    def msg(self, line: str) -> None:
        file = self._handler.stream
        if file is None:
            return
        self._handler.acquire()
        try:
            with suppress(OSError, ValueError):
                file.write(f"{line}\n")
                file.flush()
        finally:
            self._handler.release()

    debug = info = warning = error = critical = msg


def configure(*, level: str, log_format: Format) -> None:
    """Send structlog's events and the standard library's records to standard error, in one format.

    `log_format` auto means console on a terminal and JSON lines elsewhere. structlog's events don't take the way through the
    standard library's records: that is most of what a line costs (20 us of CPU, against 8).
    """
    # There is none where its descriptor was closed before the start.
    terminal = log_format != "json" and sys.stderr is not None and sys.stderr.isatty()
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
    handler = logging.StreamHandler(sys.stderr)
    lines = _Lines(handler)
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=lambda *_: lines,
        cache_logger_on_first_use=False,
    )
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


def _without_details(record: logging.LogRecord) -> bool:
    """Keep one line of what the HTTP server logs: a malformed request. Its traceback quotes headers, credentials among them."""
    record.msg, record.args = "request.malformed", ()
    record.exc_info = record.exc_text = None
    return True
