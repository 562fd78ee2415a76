"""How many connections there may be, and how long an idle one stays open."""

from collections import Counter

from proxy.core.access.networks import client_network
from proxy.settings import Settings


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

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._taken: Counter[str] = Counter()

    @property
    def idle_timeout_s(self) -> float:
        """For how many seconds an idle connection stays open."""
        return self._settings.now.server.idle_timeout_s

    def enter(self, address: str) -> Seat:
        """Count a connection, which has to leave its seat, granted or not."""
        network, server = client_network(address), self._settings.now.server
        self._taken[network] += 1
        few = self._taken[network] <= server.max_connections_per_address
        return Seat(self._taken, network, granted=few and self._taken.total() <= server.max_connections)
