"""How many event streams may be open, and what has gone out by them."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from proxy.service.watching.subscription import Subscription
from proxy.telemetry import Telemetry
from proxy.web.gate.limits import ClientLimits
from proxy.web.intake import Intake

MOST_OF_ONE = 8
MOST = 256
# So many series are watched at most by all streams together: each is read every few seconds as long as its run is running.
MOST_WATCHED = 10_000
_RETRY_S = 10.0
KINDS = ("state", "rows", "trouble", "fine", "ended")


class Streams:
    """The event streams that are open, in all and of each client."""

    def __init__(self, *, limits: ClientLimits, intake: Intake, telemetry: Telemetry) -> None:
        self._limits = limits
        self._intake = intake
        self._of_client: Counter[str] = Counter()
        self._open: dict[Subscription, None] = {}
        self.sent: Counter[str] = Counter()
        """How many events were sent, by their kind."""
        intake.when_draining(self._wake)
        telemetry.add_gauge("event_streams", "Event streams that are open", lambda: len(self._open))
        for kind in KINDS:
            telemetry.add_count("events_sent", "Events sent by event streams", partial(self.sent.__getitem__, kind), kind=kind)

    @property
    def open(self) -> int:
        """How many streams are open."""
        return len(self._open)

    @property
    def draining(self) -> bool:
        """Whether the process is ending."""
        return self._intake.draining

    def check(self, client: str, *, watched: int) -> None:
        """Raise ClientLimited if a client, or all of them together, have as many streams as there may be.

        `watched`: how many series would be watched with one stream more.
        """
        if self._of_client[client] >= MOST_OF_ONE:
            raise self._limits.refusal(
                f"this client has {MOST_OF_ONE} event streams open, the most that one may have; one of them must end first",
                policy="streams",
                retry_after_s=_RETRY_S,
            )
        if len(self._open) >= MOST:
            raise self._limits.refusal(
                f"{MOST} event streams are open, the most that the proxy has", policy="streams", retry_after_s=_RETRY_S
            )
        if watched > MOST_WATCHED:
            raise self._limits.refusal(
                f"all event streams together would watch {watched} series, and {MOST_WATCHED} is the most that the proxy "
                "watches; watch fewer, or come again when others have gone",
                policy="watched",
                retry_after_s=_RETRY_S,
            )

    @contextmanager
    def opened(self, client: str, subscription: Subscription) -> Iterator[None]:
        """Count a stream for as long as the context lasts."""
        self._of_client[client] += 1
        self._open[subscription] = None
        try:
            yield
        finally:
            del self._open[subscription]
            self._of_client[client] -= 1
            if not self._of_client[client]:
                del self._of_client[client]

    def count(self, kind: str) -> None:
        """Count an event that was sent."""
        self.sent[kind] += 1

    def _wake(self) -> None:
        for subscription in self._open:
            subscription.wake()
