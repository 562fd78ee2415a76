"""What a view should be, computed in the plainest way from rows alone. It shares nothing with the proxy."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Point:
    """A row: its value may be NaN or infinite, its time is in seconds, None where it cannot be read."""

    step: int
    value: float
    time_s: float | None = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """A bucket; `None` stands for what there is none of."""

    step: int
    time_s: float | None
    count: int
    least: float | None
    greatest: float | None
    mean: Fraction | None
    first: float | None
    last: float | None
    nan: int
    inf: int
    neg_inf: int


def width_of(points: Sequence[Point], most: int) -> int:
    width = 1
    if len(points) > most:
        while Fraction(points[-1].step - points[0].step, width) >= most:
            width *= 2
    return width


def within(points: Sequence[Point], first: int, last: int | None) -> list[Point]:
    return [point for point in points if first <= point.step and (last is None or point.step <= last)]


def buckets(points: Sequence[Point], width: int) -> list[Bucket]:
    by_place: dict[int, list[Point]] = {}
    for point in points:
        by_place.setdefault(point.step // width, []).append(point)
    return [_bucket(place * width, inside) for place, inside in sorted(by_place.items())]


def smoothed(points: Sequence[Point], at: int, constant: float) -> float | None:
    """Return the mean at a step: each finite value up to there, weighted by how long ago it was."""
    earlier = [point for point in points if point.step <= at and math.isfinite(point.value)]
    if not earlier:
        return None
    # The weights count from the last of them, so that not all of them vanish.
    weights = [math.exp(-((earlier[-1].step - point.step) / constant)) for point in earlier]
    total = math.fsum(weights)
    return math.fsum(point.value * (weight / total) for point, weight in zip(earlier, weights, strict=True))


def ends(points: Sequence[Point], width: int) -> list[int]:
    """Return the step of the last row of each bucket."""
    return [max(p.step for p in points if p.step // width == place) for place in sorted({p.step // width for p in points})]


def _bucket(step: int, inside: Sequence[Point]) -> Bucket:
    finite = [point.value for point in inside if math.isfinite(point.value)]
    return Bucket(
        step=step,
        time_s=inside[0].time_s,
        count=len(inside),
        least=min(finite, default=None),
        greatest=max(finite, default=None),
        mean=sum(map(Fraction, finite), Fraction(0)) / len(finite) if finite else None,
        first=finite[0] if finite else None,
        last=finite[-1] if finite else None,
        nan=sum(math.isnan(point.value) for point in inside),
        inf=sum(point.value == math.inf for point in inside),
        neg_inf=sum(point.value == -math.inf for point in inside),
    )
