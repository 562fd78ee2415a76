"""Which smaller limits a question is asked with to prove an answer whole, and what these **probes** prove.

A probe with a limit l below the n rows of a name must be answered with what is computed from these rows. Suppose the n rows
were only every s-th of N rows (s >= 2), so that N <= (n - 1) s + 1. The rows of the probe's answer would then lie ceil(N / l)
apart, and those that are computed lie s ceil(n / l) apart. The two differ where 2 (r + 1) > l, with r = ceil(n / l) l - n: then
s ceil(n / l) l = s (n + r) >= N + s (r + 1) - 1 > N + l - 1. So l must be chosen for n (`probe_limits`).

The probe's answer shows the first row, the last row, some between them, and all names: a cut answer lacks some of these. The
large answer in turn shows that nothing is missing from the probe's, which is small (`sizes`).
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from proxy.core.proof.sizes import FEW_ROWS, Size
from proxy.core.series.extents import Extent, Extents
from proxy.core.series.sampling import sampled, sent

_MOST_PROBES = 2
_MOST_LIMIT = 64


def is_probed_by(rows: int, limit: int) -> bool:
    """Tell whether a probe with this limit proves that `rows` rows of a name are all of them."""
    return rows > limit > 1 and 2 * (-rows % limit + 1) > limit


def probe_limits(lengths: Iterable[int]) -> Sequence[int]:
    """Return the limits of the probes that prove names of these lengths whole: few and small ones. Some may stay unproven."""
    counts = Counter(lengths)
    unproven = {rows for rows in counts if rows > FEW_ROWS}
    usable = [limit for limit in range(2, min(_MOST_LIMIT, max(unproven, default=0) - 1) + 1) if _is_small(counts, limit)]
    limits: list[int] = []
    while unproven and len(limits) < _MOST_PROBES:
        best = max(usable, key=lambda limit: (len(proven_lengths(unproven, limit)), -limit), default=0)
        proven = proven_lengths(unproven, best) if best else set()
        if not proven:
            break
        limits.append(best)
        unproven -= proven
    return limits


def _is_small(counts: Mapping[int, int], limit: int) -> bool:
    """Tell whether a probe's answer is so small that nothing is left out of it either. Rows are taken to be of equal length."""
    probed = {rows: sent(rows, limit) for rows in counts}
    probe, whole = (
        Size(
            names=sum(counts.values()),
            most=max(sizes),
            rows=(total := sum(size * count for size, count in zip(sizes, counts.values(), strict=True))),
            bytes=total,
        )
        for sizes in (list(probed.values()), list(counts))
    )
    return probe.is_whole_beside(whole)


def proven_lengths(lengths: Iterable[int], limit: int) -> set[int]:
    """Return which lengths of names a probe with this limit proves whole.

    Where it proves a name with m rows, the upstream sends m rows of each name. So names with at most half as many rows are
    whole, too.
    """
    lengths = set(lengths)
    probed = {rows for rows in lengths if is_probed_by(rows, limit)}
    return probed | {rows for rows in lengths if 2 * rows <= max(probed, default=0)}


def proven_names(extents: Extents, limit: int, said: Mapping[str, Sequence[bytes]]) -> set[str]:
    """Return the names that a probe's answer, itself whole, proves whole.

    `extents`: the answer to be proven. `limit`: the probe's. `said`: the rows of the probe's answer by name.
    """
    complete = extents.complete
    right = {name for name, extent in complete.items() if _sampled(extent, limit) == list(said.get(name, ()))}
    lengths = proven_lengths((len(complete[name].rows) for name in right), limit)
    return {name for name in right if len(complete[name].rows) in lengths}


def _sampled(extent: Extent, limit: int) -> list[bytes]:
    return [extent.head + extent.rows[place] for place in sampled(len(extent.rows), limit)]
