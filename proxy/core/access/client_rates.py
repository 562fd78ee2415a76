"""How often each client may ask: a rate with a burst, kept for a bounded number of clients.

The generic cell rate algorithm: each client has a time up to which its requests are accounted for. If that time lies further
ahead than the burst allows, a request waits for the difference, or is refused where it would wait too long. A refused request
accounts for nothing, so that a client that goes on asking too often still gets its rate.
"""

from collections import OrderedDict

MOST_CLIENTS = 10_000


class ClientRates:
    """The rates of clients, by name. Beyond `most` clients the one that asked least recently is forgotten."""

    def __init__(self, *, rate_per_s: float, burst: int, most: int = MOST_CLIENTS) -> None:
        """`rate_per_s`: above 0. `burst`: how many requests may follow each other after a quiet time, 1 or more."""
        self._interval_s = 1 / rate_per_s
        self._tolerance_s = (burst - 1) * self._interval_s
        self._most = most
        self._due_s: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        """Return the number of clients that are remembered."""
        return len(self._due_s)

    def wait_s(self, client: str, now_s: float) -> float:
        """Return the seconds that a request of a client would wait now (`now_s`: monotonic clock)."""
        return max(0.0, self._due_s.get(client, now_s) - self._tolerance_s - now_s)

    def take(self, client: str, now_s: float, *, patience_s: float) -> float | None:
        """Account for a request and return the seconds that it waits; None where that would be more than `patience_s`."""
        wait_s = self.wait_s(client, now_s)
        if wait_s > patience_s:
            return None
        due_s = max(self._due_s.pop(client, now_s), now_s)
        self._due_s[client] = due_s + self._interval_s
        if len(self._due_s) > self._most:
            self._due_s.popitem(last=False)
        return wait_s
