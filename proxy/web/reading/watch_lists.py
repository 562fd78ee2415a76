"""Which series a query names: every metric of every run."""

from collections import Counter
from collections.abc import Sequence
from itertools import product

from proxy.core.question.form import shown, split_query
from proxy.core.question.routes import METRICS
from proxy.errors import BadQuery, Fault
from proxy.service.watching.values import Series

MOST_OF_ONE = 200
MOST_SERIES = 400
_RUN = METRICS.parameters[0].kind
_KNOWN = frozenset({"project", "run", "metric"})


def read_watch_list(raw: str) -> tuple[Series, ...]:
    """Return the series that a raw query names, run by run, each once. Raises BadQuery."""
    pairs = split_query(raw)
    counts = Counter(name for name, _ in pairs)
    faults = [Fault(parameter=shown(name), message="not known here") for name in counts if name not in _KNOWN]
    if counts["project"] != 1:
        faults.append(Fault(parameter="project", message="must be given once"))
    runs = _runs([value for name, value in pairs if name == "run"], faults)
    metrics = list(dict.fromkeys(value for name, value in pairs if name == "metric"))
    for name, values in (("run", runs), ("metric", metrics)):
        if not counts[name] or len(values) > MOST_OF_ONE:
            faults.append(Fault(parameter=name, message=f"must be given once at least, and {MOST_OF_ONE} times at most"))
    if "" in metrics:
        faults.append(Fault(parameter="metric", message="must not be empty"))
    if len(runs) * len(metrics) > MOST_SERIES:
        faults.append(Fault(parameter="", message=f"names more than {MOST_SERIES} series (runs times metrics)"))
    if faults:
        raise BadQuery(tuple(faults))
    project = dict(pairs)["project"]
    return tuple(Series(project=project, run=run, metric=metric) for run, metric in product(runs, metrics))


def _runs(values: Sequence[str], faults: list[Fault]) -> list[str]:
    """Return the canonical texts of run numbers, each once; append what is wrong to `faults`."""
    runs: dict[str, None] = {}
    for value in values:
        try:
            runs[_RUN.canonical(value) or ""] = None
        except ValueError as exc:
            faults.append(Fault(parameter="run", message=str(exc)))
    return list(runs)
