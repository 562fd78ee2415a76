"""What very large answers do to everybody else: warm hits are timed while answers of 20 MB come, are kept and go out."""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from xxhash import xxh3_128, xxh3_128_hexdigest

from tests.bench.contestants import HIT
from tests.bench.exchange import PATIENCE_S, Asking, Connection, UnexpectedError, connected, get
from tests.bench.long_run import FIRST_STEP, ROWS, Panel, answer, target
from tests.bench.processes import Server, serving
from tests.bench.report import Bound, Section, spread
from tests.bench.watched import Gap, gaps
from tests.bench.world import World

_MOST_P99_MS, _MOST_GAP_MS = 25.0, 20.0
# Each connection asks again a moment after its answer: a load that leaves the CPU to nobody would be timed itself.
_PAUSE_S = 0.004
_MOST_KEPT = 8
_STEPS = 75
_HOT = Panel(name=7, limit=100, last=FIRST_STEP + 99)
_COLUMNS = (
    "meanwhile",
    "answers, MB each",
    "s each: median (min..max)",
    "hits",
    "ms a hit: median, p99, max",
    "event loop held up at most, ms",
    "without a CPU at most, ms",
)


class _Large(Connection):
    """Asks for large answers and takes them in without ever holding them, or anybody else, up."""

    def __init__(self) -> None:
        super().__init__()
        self._digest = xxh3_128()
        self._waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def ask(self, request: bytes) -> str:
        """Return the digest of the body of the answer."""
        self._digest = xxh3_128()
        self._waiting = asyncio.get_running_loop().create_future()
        self.send(request)
        async with asyncio.timeout(PATIENCE_S):
            await self._waiting
        return self._digest.hexdigest()

    def took(self, body: bytes) -> None:
        """See Connection."""
        self._digest.update(body)

    def answered(self) -> None:
        """See Connection."""
        if not self._waiting.done():
            self._waiting.set_result(None)

    def failed(self, exc: Exception) -> None:
        """See Connection."""
        if not self._waiting.done():
            self._waiting.set_exception(exc)


@dataclass(slots=True, kw_only=True)
class _Found:
    """What was measured during one kind of work."""

    hits_ms: list[float] = field(default_factory=list)
    each_s: list[float] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    body_bytes: int = 0

    @property
    def p99_ms(self) -> float:
        return statistics.quantiles(self.hits_ms, n=100, method="inclusive")[98]

    @property
    def held_up_ms(self) -> float:
        return 1000 * max((gap.held_up_s for gap in self.gaps), default=0.0)

    @property
    def without_cpu_ms(self) -> float:
        return 1000 * max((gap.without_cpu_s for gap in self.gaps), default=0.0)


def _as_they_came() -> Iterator[tuple[Panel, int]]:
    """Yield questions about all metrics of one run after the other, which are asked and kept as they are, and the runs."""
    run = 100
    while True:
        run += 1
        yield Panel(limit=70), run


def _taken_apart(limit: int) -> Iterator[tuple[Panel, int]]:
    """Yield windows of all metrics of one run, of which all rows come; they don't touch."""
    while True:
        for first in range(FIRST_STEP + 100, FIRST_STEP + ROWS - _STEPS, 100):
            yield Panel(limit=limit, first=first, last=first + _STEPS - 1), 1


async def measure(world: World) -> Section:
    """Measure with nothing else to do, and during each kind of work."""
    told = world.folder / "gaps"
    settings = {"PLUTO_PROXY_SERIES__ENABLED": "true", "PLUTO_PROXY_SERIES__SHADOW_S": "0", "BENCH_GAPS": str(told)}
    kept = min(world.plan.large, _MOST_KEPT)
    works = {
        "20 MB asked, checked and kept as they came": (_as_they_came(), world.plan.large),
        "20 MB asked, taken apart, kept and computed": (_taken_apart(10_000), kept),
        "20 MB computed from what was taken apart": (_taken_apart(9_999), kept),
    }
    found: dict[str, _Found] = {}
    async with (
        serving(world.folder, "tests.bench.sampling_origin", cpu=world.placement.load) as origin,
        world.another_proxy(origin, module="tests.bench.watched", **settings) as proxy,
    ):

        async def while_(what: str, work: Callable[[_Found], Awaitable[None]]) -> None:
            since_s, found[what] = time.monotonic(), _Found()
            async with _hits(world, proxy, found[what]):
                await work(found[what])
                # What is done after the answer has gone out, compressing and writing, counts as well.
                await asyncio.sleep(world.plan.seconds)
            found[what].gaps = gaps(told, since_s)

        await while_("nothing", _nothing)
        for what, (panels, number) in works.items():
            await while_(what, _asking(proxy, [next(panels) for _ in range(number)]))
    return Section(
        title=f"Large answers, while {world.plan.connections} connections poll 100 points",
        columns=_COLUMNS,
        rows=[_row(what, one) for what, one in found.items()],
        bounds=[bound for what in works for bound in _bounds(what, found[what])],
        notes=["held up: longer than that nothing had its turn though there was a CPU for it"],
    )


async def _nothing(_: _Found) -> None:
    await asyncio.sleep(0)


def _asking(proxy: Server, panels: list[tuple[Panel, int]]) -> Callable[[_Found], Awaitable[None]]:
    """Return the work of asking for large answers one after the other; what they must be is made before."""
    bodies = {panel: answer(panel) for panel, _ in panels}
    expected = {panel: xxh3_128_hexdigest(body) for panel, body in bodies.items()}
    size_bytes = max(map(len, bodies.values()))

    async def work(found: _Found) -> None:
        found.body_bytes = size_bytes
        async with connected(proxy.port, _Large()) as (large,):
            for panel, run in panels:
                began_s = time.perf_counter()
                digest = await large.ask(get(target(panel, run), Accept="application/json"))
                found.each_s.append(time.perf_counter() - began_s)
                if not large.head.startswith(b"HTTP/1.1 200 ") or digest != expected[panel]:
                    raise UnexpectedError(f"not the answer to {panel}: {large.head!r} and {large.body_bytes} bytes")

    return work


@asynccontextmanager
async def _hits(world: World, proxy: Server, found: _Found) -> AsyncIterator[None]:
    """Time warm hits for as long as the body takes."""
    request, body = get(target(_HOT, 1), Accept="application/json"), answer(_HOT)
    ended = asyncio.Event()

    async def poll(connection: Asking) -> None:
        while not ended.is_set():
            reply = await connection.ask(request)
            if HIT not in reply.head or reply.body != body:
                raise UnexpectedError(f"not a hit: {reply.head!r}")
            found.hits_ms.append(reply.elapsed_s * 1000)
            await asyncio.sleep(_PAUSE_S)

    async with connected(proxy.port, *(Asking() for _ in range(world.plan.connections))) as polling:
        for _ in range(2):
            await polling[0].ask(request)
        async with asyncio.TaskGroup() as tasks:
            for connection in polling:
                tasks.create_task(poll(connection))
            try:
                yield
            finally:
                ended.set()


def _row(what: str, found: _Found) -> list[str]:
    hits = f"{statistics.median(found.hits_ms):.1f}, {found.p99_ms:.1f}, {max(found.hits_ms):.1f}"
    return [
        what,
        f"{len(found.each_s)}, {found.body_bytes / 1e6:.1f}" if found.each_s else "",
        spread(found.each_s, 2) if found.each_s else "",
        f"{len(found.hits_ms):,}",
        hits,
        f"{found.held_up_ms:.1f}",
        f"{found.without_cpu_ms:.1f}",
    ]


def _bounds(what: str, found: _Found) -> list[Bound]:
    return [
        Bound(
            promise=f"{what}: hits at most {_MOST_P99_MS:g} ms at p99",
            measured=f"{found.p99_ms:.1f} ms",
            held=found.p99_ms <= _MOST_P99_MS,
        ),
        Bound(
            promise=f"{what}: nothing holds up the event loop for more than {_MOST_GAP_MS:g} ms",
            measured=f"{found.held_up_ms:.1f} ms",
            held=found.held_up_ms <= _MOST_GAP_MS,
        ),
    ]
