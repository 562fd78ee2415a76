"""What the soak of event streams comes to. Pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench.report import Bound, Section
from tests.soak.events.listeners import Client
from tests.soak.judging import percentile

# Lifetime and stale-while-revalidate: what panels that poll are promised.
BEHIND_S = 10.0
_MORE_CALLS = 1.1
# What the interpreter, its allocator and SQLite may hold beside what is counted.
_BESIDES_BYTES = 32 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What the proxy holds in memory (None where nobody tells), and what of it is kept for series and answers."""

    rss_bytes: int | None
    kept_bytes: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Everything observed.

    `alone_per_s`, `calls_per_s`: the upstream's calls a second for one client that watches everything, and for all clients.
    `behind_s`: how far charts of open streams were behind what was logged, at many moments. `lost`: charts that a client
    knows less of in the end than it should have been told by then. `cpu`: the proxy's share of a CPU.
    """

    title: str
    alone_per_s: float
    calls_per_s: float
    clients: Sequence[Client]
    behind_s: Sequence[float]
    lost: Sequence[str]
    before: Memory
    after: Memory
    cpu: float | None


def judge(run: Run) -> Section:
    """Return the table of a run and its bounds."""
    counts = sum((client.counts for client in run.clients), Counter[str]())
    behind = sorted(run.behind_s)
    bad = sum(count for name, count in counts.items() if name.startswith("status ") and name != "status 200")
    backwards = sum(client.backwards for client in run.clients)
    return Section(
        title=run.title,
        columns=(
            "clients",
            "streams opened",
            "events",
            "calls/s alone",
            "calls/s",
            "behind, s: median, p99, max",
            "proxy's CPU",
        ),
        rows=[
            [
                str(len(run.clients)),
                f"{counts['status 200']:,}",
                f"{counts['rows']:,}",
                f"{run.alone_per_s:.2f}",
                f"{run.calls_per_s:.2f}",
                ", ".join(
                    f"{value:.1f}" for value in (percentile(behind, 0.5), percentile(behind, 0.99), max(behind, default=0))
                ),
                "" if run.cpu is None else f"{run.cpu:.0%}",
            ]
        ],
        notes=["told: " + ", ".join(f"{count:,} {name}" for name, count in counts.most_common())],
        bounds=[
            Bound(
                promise="the upstream is asked as often as for one client",
                measured=f"{run.calls_per_s:.2f} calls/s, {run.alone_per_s:.2f} alone",
                held=0 < run.calls_per_s <= run.alone_per_s * _MORE_CALLS,
            ),
            Bound(
                promise="no event is lost over breaks: in the end each client knows what was logged a while before",
                measured=f"{len(run.lost)} charts not, {counts['broken']} breaks" + "".join(f"; {one}" for one in run.lost[:3]),
                held=not run.lost and bool(counts["rows"]),
            ),
            Bound(promise="no chart goes back", measured=f"{backwards} did", held=not backwards),
            Bound(promise="every stream is granted", measured=f"{bad} not", held=not bad and bool(counts["status 200"])),
            Bound(
                promise=f"p99 of what charts are behind is less than {BEHIND_S:g} s",
                measured=f"{percentile(behind, 0.99):.1f} s",
                held=bool(behind) and percentile(behind, 0.99) < BEHIND_S,
            ),
            *_memory(run.before, run.after),
        ],
    )


def _memory(before: Memory, after: Memory) -> list[Bound]:
    if before.rss_bytes is None or after.rss_bytes is None:
        return []
    grown, kept = after.rss_bytes - before.rss_bytes, after.kept_bytes - before.kept_bytes
    return [
        Bound(
            promise=f"memory is flat: it grows by what is kept for longer series and {_BESIDES_BYTES / 2**20:.0f} MiB",
            measured=f"{grown / 2**20:.0f} MiB, of them {kept / 2**20:.1f} kept; {after.rss_bytes / 2**20:.0f} MiB in the end",
            held=grown <= max(0.0, kept) + _BESIDES_BYTES,
        )
    ]
