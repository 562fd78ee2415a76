"""What the server takes in: how many requests came, and whether more are taken."""

from proxy.web.shortcut.seen import SeenRequests


class Intake:
    """Counts the requests received, and says whether the process only finishes what is under way (`draining`)."""

    def __init__(self, seen: SeenRequests) -> None:
        self._seen = seen
        self._parsed = 0
        self.draining = False

    @property
    def requests(self) -> int:
        """How many requests were received, answered or not: those that were parsed, and those that need not be."""
        return self._parsed + self._seen.answered

    def count(self) -> None:
        """Count a request that was parsed."""
        self._parsed += 1

    def drain(self) -> None:
        """Say from now on that the process was told to end, and only finishes what is under way."""
        self.draining = True
