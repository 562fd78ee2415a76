"""What a chart has to draw, by the definition alone: from all rows, one after the other."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from proxy.standin import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """The rows of an interval of steps."""

    step: int
    count: int
    low: float | None
    high: float | None
    mean: float | None
    nan: int


def rows_of(run: int, name: str, values: Sequence[float], *, project: str = "demo") -> list[Row]:
    """Return rows with these values at the steps 0, 1, 2, ..., a second apart."""
    return [
        Row(
            run_id=run, project=project, log_name=name, step=step, value=value,
            time=f"2026-01-01 {step // 3600 % 24:02}:{step // 60 % 60:02}:{step % 60:02}.000",
        )
        for step, value in enumerate(values)
    ]  # fmt: skip


def buckets(values: Sequence[float], width: int, *, first: int = 0) -> list[Bucket]:
    """Return the buckets of values at the steps `first`, `first + 1`, ..."""
    found: dict[int, list[float]] = {}
    for step, value in enumerate(values, first):
        found.setdefault(step // width, []).append(value)
    return [_bucket(place * width, rows) for place, rows in sorted(found.items())]


def _bucket(step: int, rows: list[float]) -> Bucket:
    finite = [value for value in rows if math.isfinite(value)]
    return Bucket(
        step=step,
        count=len(rows),
        low=min(finite, default=None),
        high=max(finite, default=None),
        mean=math.fsum(finite) / len(finite) if finite else None,
        nan=sum(map(math.isnan, rows)),
    )


def agrees(columns: dict[str, list[float]], wanted: Sequence[Bucket]) -> bool:
    """Tell whether a chart's columns are these buckets; the mean to twelve digits."""
    same = {
        "step": [bucket.step for bucket in wanted],
        "count": [bucket.count for bucket in wanted],
        "min": [bucket.low for bucket in wanted],
        "max": [bucket.high for bucket in wanted],
        "nan": [bucket.nan for bucket in wanted],
    }
    means = zip(columns["mean"], [bucket.mean for bucket in wanted], strict=True)
    return all(columns[name] == values for name, values in same.items()) and all(
        got == mean if mean is None or got is None else math.isclose(got, mean, rel_tol=1e-12) for got, mean in means
    )
