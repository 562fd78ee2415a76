"""One interval of the history. Nothing in it names a run, a project or a metric."""

import msgspec


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """What was done in an interval, and how things stood at its end.

    Whatever isn't there was written by another version of the proxy: it is 0, empty or None.

    In the interval:

    - `at_s`: its end (wall time). `span_s`: how long it was, about `recorder.EVERY_S`.
    - `hits`, `computed`, `stale`, `collapsed`, `misses`: answers to queries by how they came about, as the metrics count them
      (`computed` is their `series`). `errors`: requests that got an error.
    - `calls`: calls upstream. `calls_by_result`: the same by status, or by the error's code where there was none.
      `calls_by_reason`: calls about metrics by what they were made for, `status` for those about how runs are, and `other`.
    - `calls_saved`: how many more answers than calls there were.
    - `p50_ms`, `p99_ms`: how long answers took; `call_p50_ms`, `call_p99_ms`: how long calls took. None where there were none.
    - `body_bytes`: bytes of the bodies sent.

    At its end:

    - `condition`: whether the upstream can be asked (`open`, `resting`, `key-refused`). `rate_per_s`: calls a second that are
      kept to; `budget`: calls that may go at once; `in_flight`: calls under way. `waiting`: calls in the line, by priority;
      `wait_s`: what a client who came then would wait for its turn.
    - `memory_bytes`, `memory_entries`: the answers in memory; `series_bytes`: the series there. `disk_bytes`, `disk_log_bytes`,
      `disk_entries`: the cache file. `disk_ok`: whether it can be used.
    - `rule_holds`: whether the upstream samples by the rule that is computed with.
    - `streams`: event streams that are open. `watched`: series that they watch.
    """

    at_s: float
    span_s: float = 0.0
    hits: int = 0
    computed: int = 0
    stale: int = 0
    collapsed: int = 0
    misses: int = 0
    errors: int = 0
    calls: int = 0
    calls_by_result: dict[str, int] = {}
    calls_by_reason: dict[str, int] = {}
    calls_saved: int = 0
    p50_ms: float | None = None
    p99_ms: float | None = None
    call_p50_ms: float | None = None
    call_p99_ms: float | None = None
    body_bytes: int = 0
    condition: str = ""
    rate_per_s: float = 0.0
    budget: float = 0.0
    in_flight: int = 0
    waiting: dict[str, int] = {}
    wait_s: float = 0.0
    memory_bytes: int = 0
    memory_entries: int = 0
    series_bytes: int = 0
    disk_bytes: int = 0
    disk_log_bytes: int = 0
    disk_entries: int = 0
    disk_ok: bool = False
    rule_holds: bool = False
    streams: int = 0
    watched: int = 0
