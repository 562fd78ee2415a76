"""How often each client may ask: a rate with a burst, kept for a bounded number of clients.

The generic cell rate algorithm: each client has a time up to which its requests are accounted for. One that comes when that
lies further ahead than the burst allows waits for the difference, or is refused where that is more than it has. What is refused
accounts for nothing, so whoever goes on asking too often still gets the rate.
"""

from collections import OrderedDict

MOST_CLIENTS = 10_000


class ClientRates:
    """Times of clients by name; beyond `most` the one that asked least recently is forgotten, and begins anew."""

    def __init__(self, *, rate_per_s: float, burst: int, most: int = MOST_CLIENTS) -> None:
        """`rate_per_s` above 0; `burst` of 1 or more: so many may follow each other after a quiet time."""
        self._interval_s = 1 / rate_per_s
        self._tolerance_s = (burst - 1) * self._interval_s
        self._most = most
        self._due_s: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        """Return of how many clients something is known."""
        return len(self._due_s)

    def wait_s(self, client: str, now_s: float) -> float:
        """Return how long one who came now would wait, in seconds (`now_s`: monotonic clock)."""
        return max(0.0, self._due_s.get(client, now_s) - self._tolerance_s - now_s)

    def take(self, client: str, now_s: float, *, patience_s: float) -> float | None:
        """Account for a request and return for how long it waits; None where that would be longer than `patience_s`."""
        wait_s = self.wait_s(client, now_s)
        if wait_s > patience_s:
            return None
        due_s = max(self._due_s.pop(client, now_s), now_s)
        self._due_s[client] = due_s + self._interval_s
        if len(self._due_s) > self._most:
            self._due_s.popitem(last=False)
        return wait_s
