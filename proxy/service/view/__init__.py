"""Views of series: what charts draw, made of the rows that are known here, or of pluto-api's sample until they are.

- `viewing` answers for several runs and metrics at once.
- `painting` makes the view of one series, reading no more rows than that takes. `pyramids` has what was made of the others.
"""

from dataclasses import dataclass

from proxy.clock import Clock
from proxy.core.freshness.purge import Purges
from proxy.service.access.scopes import Scopes
from proxy.service.knowledge.shelves import Shelves
from proxy.service.obtaining import Obtainer
from proxy.service.series.loading import Loader
from proxy.service.tenancy import Tenancy
from proxy.service.view.painting import SeriesPainter
from proxy.service.view.pyramids import Pyramids
from proxy.service.view.viewing import Viewer
from proxy.settings import Settings

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
    settings: Settings,
    scopes: Scopes,
    obtainer: Obtainer,
    loader: Loader,
    shelves: Shelves,
    tenancy: Tenancy,
    purges: Purges,
) -> ViewRoom:
    """Put the room together."""
    pyramids = Pyramids(max_bytes=settings.now.series.memory_bytes // _SHARE)
    viewer = Viewer(
        obtainer=obtainer,
        loader=loader,
        painter=SeriesPainter(shelves=shelves, pyramids=pyramids),
        scopes=scopes,
        purges=purges,
        tenancy=tenancy,
        clock=clock,
        settings=settings,
    )
    return ViewRoom(viewer=viewer, pyramids=pyramids)
