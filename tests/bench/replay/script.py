"""The requests of a replay: who asks what at which moment, the same for everyone who is put in front of the upstream."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote

from proxy.standin import GrowthConfig
from proxy.standin.growth import Growth, Run, Series
from proxy.standin.rows import Rows, log_group_of
from tests.bench.bodies import METRICS_PATH

PANELS = 12
POLL_S = 5.0
LIMITS = (None, 500, 1000, 2000)
# Beside the polls each viewer looks closer at something now and then: in all 172 times for 20 viewers and 60 s.
_LOOKS_PER_S = 172 / (20 * 60)
# With it every run has a panel, the one very long series has several.
_SEED = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked of a run; None is left out."""

    run: int
    name: str | None = None
    group: str | None = None
    limit: int | None = None
    first: int | None = None
    last: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request: `at_s` seconds after the beginning. `target` is its path and query, the parameters in any order."""

    at_s: float
    viewer: int
    question: Question
    target: str


def make_script(growth: GrowthConfig, *, viewers: int, seconds: float) -> list[Ask]:
    """Return the requests in the order of their moments. Nothing in it depends on when the replay is played."""
    dice = random.Random(_SEED)  # noqa: S311 -- the same script every time
    panels = _Panels(growth, dice)
    script: list[Ask] = []
    for viewer in range(viewers):
        phase_s = dice.uniform(0, min(POLL_S, seconds))
        wall = [panels.any() for _ in range(PANELS)]
        polls = range(max(1, int(seconds / POLL_S)))
        script += [_ask(dice, growth, viewer, phase_s + POLL_S * poll, question) for poll in polls for question in wall]
    for look in range(round(_LOOKS_PER_S * viewers * seconds)):
        script.append(_ask(dice, growth, look % viewers, dice.uniform(0, seconds), panels.closer()))
    return sorted(script, key=lambda ask: ask.at_s)


def _ask(dice: random.Random, growth: GrowthConfig, viewer: int, at_s: float, question: Question) -> Ask:
    asked = {
        "runId": question.run,
        "projectName": growth.project,
        "logName": question.name,
        "logGroup": question.group,
        "limit": question.limit,
        "stepMin": question.first,
        "stepMax": question.last,
    }
    pairs = [f"{key}={quote(str(value), safe='')}" for key, value in asked.items() if value is not None]
    dice.shuffle(pairs)
    return Ask(at_s=at_s, viewer=viewer, question=question, target=f"{METRICS_PATH}?{'&'.join(pairs)}")


class _Panels:
    """Draws panels."""

    def __init__(self, growth: GrowthConfig, dice: random.Random) -> None:
        self._dice = dice
        runs = Growth(growth, Rows(), growth.history_s).runs
        self._live = [run for run in runs if run.ended_s is None]
        self._finished = [run for run in runs if run.ended_s is not None] or self._live
        self._history_s = growth.history_s
        self._kinds: dict[Callable[[], Question], float] = {
            self._metric: 61,
            self._window: 6,
            self._since: 6,
            self._group: 4,
            self._ended: 23,
        }

    def any(self) -> Question:
        """Return what a panel of a dashboard shows."""
        (kind,) = self._dice.choices(list(self._kinds), list(self._kinds.values()))
        return replace(kind(), limit=self._dice.choice(LIMITS))

    def closer(self) -> Question:
        """Return a window that nobody else looks at, of any length."""
        run, series = self._series(self._live)
        reach = self._reach(series)
        first, last = sorted(self._dice.sample(range(reach + 2), 2))
        return Question(run=run.id, name=series.name, first=first, last=last, limit=self._dice.choice(LIMITS))

    def _metric(self) -> Question:
        run, series = self._series(self._live)
        return Question(run=run.id, name=series.name)

    def _window(self) -> Question:
        run, series = self._series(self._live)
        tenth = self._reach(series) // 10
        first = tenth * self._dice.randrange(7)
        return Question(run=run.id, name=series.name, first=first, last=first + 3 * tenth)

    def _since(self) -> Question:
        run, series = self._series(self._live)
        return Question(run=run.id, name=series.name, first=self._reach(series) * self._dice.randrange(10, 20) // 20)

    def _group(self) -> Question:
        run = self._dice.choice(self._live)
        groups = {log_group_of(one.name) if one.group is None else one.group for one in run.series}
        return Question(run=run.id, group=self._dice.choice(sorted(groups)))

    def _ended(self) -> Question:
        run, series = self._series(self._finished)
        return Question(run=run.id, name=series.name)

    def _series(self, runs: Sequence[Run]) -> tuple[Run, Series]:
        run = self._dice.choice(runs)
        # A name whose rows are of two groups is one metric all the same.
        return run, self._dice.choice(list({series.name: series for series in run.series}.values()))

    def _reach(self, series: Series) -> int:
        """Return the last step that a live run has at the beginning, or will have before long."""
        return series.step(max(series.due(self._history_s), 2) - 1)
