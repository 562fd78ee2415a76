"""Views of series: what charts draw, made of the rows that are known here, or of pluto-api's sample until they are.

- `viewing` answers for several runs and metrics at once.
- `obtaining` sees to it that what is known of one series is as new as any answer about it would be.
- `painting` makes the view of one series, reading no more rows than that takes. `pyramids` has what was made of the others.
"""

from dataclasses import dataclass

from proxy.clock import Clock
from proxy.core.freshness.purge import Purges
from proxy.service.access.scopes import Scopes
from proxy.service.knowledge.shelves import Shelves
from proxy.service.lifetimes.run_lifetimes import RunLifetimes
from proxy.service.reader import Reader
from proxy.service.series.computer import Computer
from proxy.service.series.loading import Loader
from proxy.service.tenancy import Tenancy
from proxy.service.view.obtaining import Obtainer
from proxy.service.view.painting import SeriesPainter
from proxy.service.view.pyramids import Pyramids
from proxy.service.view.viewing import Viewer

# Pyramids may take this share of what complete series may, beside these.
_SHARE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewRoom:
    """The room's parts that others use, or look at."""

    viewer: Viewer
    pyramids: Pyramids


def open_view(
    clock: Clock,
    *,
    series_bytes: int,
    scopes: Scopes,
    reader: Reader,
    computer: Computer,
    loader: Loader,
    shelves: Shelves,
    lifetimes: RunLifetimes,
    tenancy: Tenancy,
    purges: Purges,
) -> ViewRoom:
    """Put the room together. `series_bytes`: what complete series may take in memory."""
    pyramids = Pyramids(max_bytes=series_bytes // _SHARE)
    viewer = Viewer(
        obtainer=Obtainer(
            scopes=scopes,
            reader=reader,
            computer=computer,
            loader=loader,
            shelves=shelves,
            lifetimes=lifetimes,
            tenancy=tenancy,
            clock=clock,
        ),
        painter=SeriesPainter(shelves=shelves, pyramids=pyramids),
        scopes=scopes,
        purges=purges,
        tenancy=tenancy,
    )
    return ViewRoom(viewer=viewer, pyramids=pyramids)
