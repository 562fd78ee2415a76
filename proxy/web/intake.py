"""How many requests came in, and whether the process takes more or only finishes."""

from proxy.web.shortcut.seen import SeenRequests


class Intake:
    """Says how many requests were received, and whether the process only finishes what is under way (`draining`)."""

    def __init__(self, seen: SeenRequests) -> None:
        self._seen = seen
        self.draining = False

    @property
    def requests(self) -> int:
        """How many requests were received, answered or not: each is either parsed or answered without that."""
        return self._seen.parsed + self._seen.answered

    def drain(self) -> None:
        """Note that the process was told to end and only finishes the requests under way."""
        self.draining = True
