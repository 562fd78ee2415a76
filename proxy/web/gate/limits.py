"""How often one client may ask (`core.access.client_rates`), and how much at once. What is beyond waits, or is refused."""

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from proxy.clock import Clock
from proxy.core.access.client_rates import ClientRates
from proxy.core.access.networks import client_network
from proxy.errors import ClientLimited, TooManyRequests
from proxy.settings import Settings
from proxy.web.gate.guard import Visit

# Each request that waits holds a connection. So many requests of one client wait at most.
_MOST_WAITING = 1_000


def client_of(request: web.BaseRequest, visit: Visit) -> str:
    """Return the client that a request counts for: its token's name, or the address that it comes from if there are no tokens.

    Requests are limited by client, and clients wait for the upstream in turns.
    """
    return f"token {visit.grant.name}" if visit.grant.name else client_network(visit.address or request.remote or "")


class ClientLimits:
    """The limits of all clients."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._under_way: dict[str, int] = {}
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self.delayed = self.refused = 0
        self._rate: tuple[float | None, int] = (None, 0)
        self._rates: ClientRates | None = None
        settings.follow(self._renew)

    def _renew(self) -> None:
        access = self._settings.now.access
        rate = access.client_rate_per_s, access.client_burst
        # What clients asked for is remembered at the pace that it was asked for at: at another one all begin anew.
        if rate != self._rate:
            self._rate = rate
            self._rates = None if rate[0] is None else ClientRates(rate_per_s=rate[0], burst=rate[1])
        for client in list(self._waiting):
            self._let_in(client)

    @property
    def enabled(self) -> bool:
        """Whether there are any limits."""
        return self._rates is not None or self._concurrency is not None

    @property
    def has_rate(self) -> bool:
        """Whether it matters how often a client asks."""
        return self._rates is not None

    @property
    def _concurrency(self) -> int | None:
        return self._settings.now.access.client_concurrency

    def take_at_once(self, client: str, now_s: float) -> bool:
        """Count a request that is answered at once (`now_s`: monotonic clock). Return False if it has to wait."""
        return self._rates is None or self._rates.take(client, now_s, patience_s=0.0) is not None

    @asynccontextmanager
    async def admitted(self, client: str, *, deadline_s: float) -> AsyncIterator[None]:
        """Wait for a client's turn, and hold it for as long as the context lasts.

        A request that came while there was no limit of concurrency doesn't count for one that is set later.
        Raises ClientLimited, saying when to come again, where that would take until after `deadline_s` (monotonic clock).
        """
        await self._keep_to_rate(client, deadline_s)
        if self._concurrency is None:
            yield
            return
        await self._enter(client, self._concurrency, deadline_s)
        try:
            yield
        finally:
            self._leave(client)

    async def _keep_to_rate(self, client: str, deadline_s: float) -> None:
        if self._rates is None:
            return
        now_s = self._clock.monotonic_s()
        wait_s = self._rates.take(client, now_s, patience_s=deadline_s - now_s)
        if wait_s is None:
            raise self._refuse("rate", max(0.0, self._rates.wait_s(client, now_s) - (deadline_s - now_s)))
        if wait_s > 0:
            self.delayed += 1
            await asyncio.sleep(wait_s)

    async def _enter(self, client: str, most: int, deadline_s: float) -> None:
        under_way = self._under_way.get(client, 0)
        if under_way < most:
            self._under_way[client] = under_way + 1
            return
        line = self._waiting.setdefault(client, deque())
        if len(line) >= _MOST_WAITING:
            raise self._refuse("concurrency", 1.0)
        self.delayed += 1
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        line.append(turn)
        try:
            async with asyncio.timeout(max(0.0, deadline_s - self._clock.monotonic_s())):
                await turn
        except BaseException as exc:
            if turn.done() and not turn.cancelled():
                self._leave(client)  # its turn had come, but it has gone
            elif turn in line:
                line.remove(turn)
            self._tidy(client)
            if isinstance(exc, TimeoutError):
                raise self._refuse("concurrency", 1.0) from None
            raise

    def _leave(self, client: str) -> None:
        """Give a turn back."""
        self._under_way[client] -= 1
        self._let_in(client)

    def _let_in(self, client: str) -> None:
        """Give the turns that are free to the requests that wait."""
        line = self._waiting.get(client)
        while line and self._under_way.get(client, 0) < (math.inf if self._concurrency is None else self._concurrency):
            turn = line.popleft()
            if not turn.done():
                turn.set_result(None)
                self._under_way[client] = self._under_way.get(client, 0) + 1
        self._tidy(client)

    def _tidy(self, client: str) -> None:
        if not self._waiting.get(client, True):
            del self._waiting[client]
        if not self._under_way.get(client, True):
            del self._under_way[client]

    def refusal(self, detail: str, *, policy: str, retry_after_s: float) -> ClientLimited:
        """Return the error for a client over a limit, with the status that is configured, and count it."""
        self.refused += 1
        error = ClientLimited if self._settings.now.access.client_limit_status == ClientLimited.status else TooManyRequests
        return error(detail, policy=policy, retry_after_s=retry_after_s)

    def _refuse(self, policy: str, retry_after_s: float) -> ClientLimited:
        return self.refusal(
            f"this client asks for more than the proxy's operator allows it ({policy}); it would have waited too long",
            policy=policy,
            retry_after_s=retry_after_s,
        )
