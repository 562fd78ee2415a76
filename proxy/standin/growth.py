"""Runs that grow with a clock: every row is a function of its run, its series and its number.

Nothing is kept but how many rows of a series are in the table already: `advance(now)` inserts those that are due.
A row's `time` is its sender's clock; it turns up `arrival_delay_s` later.
"""

import math
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime

from proxy.standin.rows import Row, Rows

PLAIN_NAMES = ("loss", "accuracy", "lr", "grad_norm", "tokens_per_s", "perplexity", "entropy", "margin")
_REWRITE_EACH = 10
_REWRITE_BACK = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class GrowthConfig:
    """Which runs there are. Live runs started `history_s` before the stand-in did, or at `start_s` (wall seconds).

    Finished runs lasted `finished_duration_s` and ended a day before that. Only the first live run has the long series,
    which held `long_series_rows` rows at its start already. Without `uncommon` there are plain series only, and perhaps the
    long one; `late_s` after the start of a run the series appears that isn't there from the beginning.
    """

    live_runs: int = 2
    finished_runs: int = 1
    metrics: int = 8
    start_s: float | None = None
    history_s: float = 60.0
    finished_duration_s: float = 1200.0
    long_series_rows: int = 25_000
    uncommon: bool = True
    late_s: float = 300.0
    arrival_delay_s: float = 0.0
    first_live_id: int = 1001
    first_finished_id: int = 2001
    project: str = "demo"
    tenant: str = "org_demo"


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One metric of a run: a row each `every_s` seconds from `starts_s` on, its steps `stride` apart.

    `backlog` rows are there at the start already. With `rewrites` each tenth row writes an earlier step again.
    """

    name: str
    group: str | None = None
    starts_s: float = 0.0
    every_s: float = 1.0
    first_step: int = 0
    stride: int = 1
    backlog: int = 0
    rewrites: bool = False

    def due(self, elapsed_s: float) -> int:
        """The number of rows logged by `elapsed_s` seconds after the run's start."""
        if elapsed_s < self.starts_s:
            return 0
        return self.backlog + 1 + math.floor((elapsed_s - self.starts_s) / self.every_s)

    def logged_at_s(self, index: int) -> float:
        """When row `index` (from 0) is logged, in seconds after the run's start; the backlog lies before it."""
        return self.starts_s + (index - self.backlog) * self.every_s

    def step(self, index: int) -> int:
        """The step of row `index`."""
        if self.rewrites:
            rounds, place = divmod(index, _REWRITE_EACH)
            fresh = index - rounds
            index = fresh - _REWRITE_BACK if place == _REWRITE_EACH - 1 else fresh
        return self.first_step + index * self.stride


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run and its series. `ended_s` is None while it is live; both times are wall seconds."""

    id: int
    started_s: float
    ended_s: float | None
    series: tuple[Series, ...]

    @property
    def status(self) -> str:
        """RUNNING or COMPLETED."""
        return "RUNNING" if self.ended_s is None else "COMPLETED"


def usual_series(config: GrowthConfig) -> tuple[Series, ...]:
    """The series that each run has: plain ones, and one for each way in which a series can be uncommon."""
    names = [*PLAIN_NAMES[: config.metrics], *(f"metric_{number}" for number in range(len(PLAIN_NAMES), config.metrics))]
    plain = tuple(Series(name=f"train/{name}") for name in names)
    if not config.uncommon:
        return plain
    return (
        *plain,
        Series(name="sys/gpu.0.util", every_s=10, stride=10),
        Series(name="val/loss", every_s=500, stride=500),
        Series(name="epoch/accuracy", starts_s=120, every_s=120, first_step=1),
        Series(name="late/reward", starts_s=config.late_s, first_step=300),
        Series(name="both/groups", group="both", every_s=2, stride=2),
        Series(name="both/groups", group="legacy", starts_s=1, every_s=2, first_step=1, stride=2),
        Series(name="eval/rewritten", rewrites=True),
    )


class Growth:
    """The growing runs over one table of rows."""

    def __init__(self, config: GrowthConfig, rows: Rows, now_s: float) -> None:
        self._config = config
        self._rows = rows
        self._inserted: dict[tuple[int, int], int] = {}
        self.project = config.project
        self.tenant = config.tenant
        self.runs = tuple(_runs(config, now_s))

    def advance(self, now_s: float) -> None:
        """Insert what has arrived by `now_s` (wall seconds). A clock that goes back takes nothing away."""
        new: list[Row] = []
        for run in self.runs:
            until_s = now_s if run.ended_s is None else min(now_s, run.ended_s + self._config.arrival_delay_s)
            elapsed_s = until_s - self._config.arrival_delay_s - run.started_s
            for number, series in enumerate(run.series):
                inserted = self._inserted.get((run.id, number), 0)
                due = series.due(elapsed_s)
                if due > inserted:
                    self._inserted[run.id, number] = due
                    new.extend(self.row(run, series, index) for index in range(inserted, due))
        if new:
            self._rows.insert(new)

    def row(self, run: Run, series: Series, index: int) -> Row:
        """Row `index` (from 0) of a series of a run."""
        return Row(
            run_id=run.id,
            project=self._config.project,
            tenant=self._config.tenant,
            log_name=series.name,
            log_group=series.group,
            step=series.step(index),
            value=_value(run.id, series.name, index),
            time=_time_text(run.started_s + series.logged_at_s(index)),
        )


def _runs(config: GrowthConfig, now_s: float) -> list[Run]:
    started_s = now_s - config.history_s if config.start_s is None else config.start_s
    usual = usual_series(config)
    long_series = Series(name="dense/signal", backlog=config.long_series_rows)
    live = [
        Run(
            id=config.first_live_id + number,
            started_s=started_s,
            ended_s=None,
            series=(*usual, long_series) if number == 0 and config.long_series_rows else usual,
        )
        for number in range(config.live_runs)
    ]
    ended_s = started_s - 86_400
    finished = [
        Run(
            id=config.first_finished_id + number,
            started_s=ended_s - config.finished_duration_s,
            ended_s=ended_s,
            series=usual,
        )
        for number in range(config.finished_runs)
    ]
    return live + finished


def _value(run_id: int, name: str, index: int) -> float:
    """A falling curve with noise that is the same every time, in four decimals."""
    noise = zlib.crc32(f"{run_id}/{name}/{index}".encode()) / 2**32
    return round(0.5 + 2 * math.exp(-index / 5000) + 0.1 * noise, 4)


def _time_text(wall_s: float) -> str:
    moment = datetime.fromtimestamp(wall_s, UTC)
    return moment.isoformat(sep=" ", timespec="milliseconds").removesuffix("+00:00")
