"""The recorded answers of the upstream."""

import gzip
import json
from typing import Any

from tests.support.world import DATA, METRICS

# Their queries are malformed percent-encoding or hold NUL: refused here, a deliberate difference.
REFUSED = {91, 93}
# Two groups share steps there, and which of their rows comes first is undefined upstream: the stand-in may choose another than
# the recorded server did, so it is given the recorded body to send.
TIES = {113, 115, 119, 121, 247}


def typed(text: str | bytes) -> str:
    """A JSON text in a form in which 1 and 1.0 differ, and the order of rows counts."""
    return repr(json.loads(text))


def wanted(mode: str) -> list[dict[str, Any]]:
    """Answers to a key that sees the rows: a recording with another organization's key says nothing about this one."""
    return [
        recorded
        for recorded in recordings()
        if recorded["mode"] == mode
        and recorded["method"] == "GET"
        and recorded["status"] == 200
        and recorded["path"] == METRICS
        and "mlpi_other" not in recorded["headers"].get("Authorization", "")
    ]


def recordings() -> list[dict[str, Any]]:
    with gzip.open(DATA / "recorded.jsonl.gz", "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]
