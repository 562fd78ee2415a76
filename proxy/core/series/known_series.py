"""What is known of a question's series, as of one look: the windows that hold the question, and what can be computed of it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from proxy.core.series.extents import Extents
from proxy.core.series.metrics_query import MetricsQuery
from proxy.core.series.recipes import Recipe, recipe_of


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownSeries:
    """One look at what is known.

    `windows` hold the question, the newest first. `recipes` are how it is answered from those of them that it can be answered
    from, in the same order. `changes` is how often anything that is known had changed by then.
    """

    question: MetricsQuery
    windows: tuple[Extents, ...]
    recipes: tuple[Recipe, ...]
    changes: int

    @property
    def newest(self) -> Recipe | None:
        """The answer with the newest tail, and then the newest rest, that can be computed."""
        return max(self.recipes, key=_ages, default=None)

    @property
    def is_empty(self) -> bool:
        """Whether it was found out that the question selects no rows."""
        return any(recipe.through is None for recipe in self.recipes)

    @property
    def has_all_names(self) -> bool:
        """Whether a window tells of all names."""
        return any(window.question.name is None for window in self.windows)

    def has_come_since(self, at_s: float) -> bool:
        """Tell whether an answer can be computed from what was asked for at a wall time or later."""
        return any(recipe.tail_asked_s >= at_s for recipe in self.recipes)

    def since(self, tail_s: float, full_s: float) -> Recipe | None:
        """Return an answer of which the tail and the rest were asked for after these wall times."""
        found = (recipe for recipe in self.recipes if recipe.tail_asked_s > tail_s and recipe.full_asked_s > full_s)
        return next(found, None)


def known_series(asked: MetricsQuery, windows: Iterable[Extents], *, changes: int) -> KnownSeries:
    """Look through windows for what is known of a question."""
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
