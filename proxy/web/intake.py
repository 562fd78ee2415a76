"""How many requests came in, and whether the process takes more or only finishes."""

from collections.abc import Callable

from proxy.web.shortcut.leases import Leases


class Intake:
    """Says how many requests were received, and whether the process only finishes what is under way (`draining`)."""

    def __init__(self, leases: Leases) -> None:
        self._leases = leases
        self.draining = False
        self._to_end: list[Callable[[], None]] = []

    @property
    def requests(self) -> int:
        """How many requests were received, answered or not: each is either parsed or answered without that."""
        return self._leases.parsed + self._leases.answered

    def drain(self) -> None:
        """Note that the process was told to end and only finishes the requests under way."""
        self.draining = True
        self._leases.stop()
        for end in self._to_end:
            end()

    def when_draining(self, end: Callable[[], None]) -> None:
        """Have `end` called when the process is told to end: by what would go on for as long as its client does."""
        self._to_end.append(end)
