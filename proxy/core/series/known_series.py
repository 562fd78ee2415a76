"""What is known of a question's series at one look: the windows that hold the question, and how it is answered from them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from proxy.core.series.extents import Extents
from proxy.core.series.metrics_query import MetricsQuery
from proxy.core.series.recipes import Recipe, recipe_of


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownSeries:
    """What is known of a question's series at one look.

    `windows`: those that hold the question, the newest first. `recipes`: how the question is answered from them, in the same
    order; there is none for a window that cannot answer it. `changes`: how many changes to what is known there had been.
    """

    question: MetricsQuery
    windows: tuple[Extents, ...]
    recipes: tuple[Recipe, ...]
    changes: int

    @property
    def newest(self) -> Recipe | None:
        """The recipe with the newest tail; of several, that with the newest rest."""
        return max(self.recipes, key=_ages, default=None)

    @property
    def is_empty(self) -> bool:
        """Whether it is known that the question selects no rows."""
        return any(recipe.through is None for recipe in self.recipes)

    @property
    def has_all_names(self) -> bool:
        """Whether a window holds all names of the run."""
        return any(window.question.name is None for window in self.windows)

    def has_come_since(self, at_s: float) -> bool:
        """Tell whether an answer can be computed whose tail was asked for at a wall time or later."""
        return any(recipe.tail_asked_s >= at_s for recipe in self.recipes)

    def since(self, tail_s: float, full_s: float) -> Recipe | None:
        """Return a recipe whose tail was asked for after `tail_s`, and the rest after `full_s` (wall times); else None."""
        found = (recipe for recipe in self.recipes if recipe.tail_asked_s > tail_s and recipe.full_asked_s > full_s)
        return next(found, None)


def known_series(asked: MetricsQuery, windows: Iterable[Extents], *, changes: int) -> KnownSeries:
    """Return what windows tell of a question."""
    holding = [window for window in windows if window.question.holds(asked)]
    holding.sort(key=lambda window: window.tail_asked_s, reverse=True)
    return KnownSeries(question=asked, windows=tuple(holding), recipes=tuple(_recipes(asked, holding)), changes=changes)


def nothing_known(asked: MetricsQuery) -> KnownSeries:
    """Return what is known before anybody has looked."""
    return KnownSeries(question=asked, windows=(), recipes=(), changes=-1)


def _recipes(asked: MetricsQuery, windows: Iterable[Extents]) -> Iterator[Recipe]:
    for window in windows:
        if (recipe := recipe_of(window, asked)) is not None:
            yield recipe


def _ages(recipe: Recipe) -> tuple[float, float]:
    return recipe.tail_asked_s, recipe.full_asked_s
