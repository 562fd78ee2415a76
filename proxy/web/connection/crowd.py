"""How many connections there may be, and how long an idle one stays open."""

from collections import Counter

from proxy.config.model import ServerSettings
from proxy.core.access.networks import client_network


class Crowd:
    """The connections that are open, in all and of each address. Of IPv6 a host has many addresses: they count as one."""

    def __init__(self, settings: ServerSettings) -> None:
        self._most, self._most_of_one = settings.max_connections, settings.max_connections_per_address
        self.idle_timeout_s = settings.idle_timeout_s
        self._by_address: Counter[str] = Counter()

    def enter(self, address: str) -> bool:
        """Count a connection; return whether there may be one more."""
        address = client_network(address)
        self._by_address[address] += 1
        return self._by_address[address] <= self._most_of_one and self._by_address.total() <= self._most

    def leave(self, address: str) -> None:
        """Forget a connection."""
        address = client_network(address)
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]
