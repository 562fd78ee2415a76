"""How many connections there may be, and how long an idle one stays open."""

from collections import Counter

from proxy.config.model import ServerSettings
from proxy.core.access.networks import client_network


class Seat:
    """A connection's place among the others, from when it is accepted until it ends."""

    def __init__(self, taken: Counter[str], network: str, *, granted: bool) -> None:
        self._taken = taken
        self._network = network
        self._left = False
        self.granted = granted
        """Whether the connection may stay."""

    def leave(self) -> None:
        """Give the place back. Once it is, nothing more happens."""
        if self._left:
            return
        self._left = True
        self._taken[self._network] -= 1
        if not self._taken[self._network]:
            del self._taken[self._network]


class Crowd:
    """The connections that are open, in all and of each address. Of IPv6 a host has many addresses: they count as one.

    All connections of Unix sockets count as one address's.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self._most, self._most_of_one = settings.max_connections, settings.max_connections_per_address
        self.idle_timeout_s = settings.idle_timeout_s
        self._taken: Counter[str] = Counter()

    def enter(self, address: str) -> Seat:
        """Count a connection, which has to leave its seat, granted or not."""
        network = client_network(address)
        self._taken[network] += 1
        granted = self._taken[network] <= self._most_of_one and self._taken.total() <= self._most
        return Seat(self._taken, network, granted=granted)
