"""The id by which a request is known to its client and in the log."""

import re
from itertools import count
from secrets import token_hex

from aiohttp import web

# So many ids begin alike; how they end.
BATCH = 4_096
ENDS = tuple(f"{number:03x}".encode("ascii") for number in range(BATCH))
_SANE = re.compile(r"[A-Za-z0-9._-]{1,64}")


class RequestIds:
    """Takes the id that a client or a balancer gave a request, if it is sane, or makes one.

    The ids that it makes are unique within a process and among processes, cost less than a random one each, and are of one
    length.
    """

    def __init__(self) -> None:
        self._prefix = token_hex(4)
        self._batches = count()
        self._beginning, self._used = self.new_batch(), 0

    def of(self, request: web.BaseRequest) -> str:
        """Return a request's id."""
        return self.given(request) or self.new()

    def given(self, request: web.BaseRequest) -> str | None:
        """Return the id that a request brings, None where there is none that is sane."""
        given = request.headers.get("X-Request-ID")
        return given if given is not None and _SANE.fullmatch(given) else None

    def new(self) -> str:
        """Return an id that no other request has."""
        if self._used == BATCH:
            self._beginning, self._used = self.new_batch(), 0
        self._used += 1
        return (self._beginning + ENDS[self._used - 1]).decode("ascii")

    def new_batch(self) -> bytes:
        """Return the beginning of BATCH ids that are the caller's alone; ENDS has the rest of each."""
        return f"{self._prefix}-{next(self._batches):09x}".encode("ascii")
