"""The boards of Grafana: what `deploy/check` asks for. Not a test by itself.

`rules FILE` writes every expression of a board about Prometheus as a rule, for promtool to parse. `queries` asks a real proxy,
before a stand-in for pluto-api, every query of a board about Pluto, and has the answer taken apart by the query's own selector.
The latter needs what `make deployment` installs.
"""

import asyncio
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlencode

from jsonata.jsonata import Jsonata

from tests.deployment import DEPLOY
from tests.support.world import world

BOARDS = sorted((DEPLOY / "grafana").glob("*.json"))
PROMETHEUS, INFINITY = "prometheus", "yesoreyeram-infinity-datasource"
# What Grafana puts in the place of its variables; `text` is what a person sees of one.
VALUES: Mapping[str, str] = {
    "__rate_interval": "5m",
    "instance": "proxy:8787",
    "project": "demo",
    "run": "1",
    "other": "1",
    "metric": "loss",
    "run:text": "DEM-1",
    "other:text": "DEM-1",
}
TYPES: Mapping[str, tuple[type, ...]] = {"number": (int, float), "string": (str, int), "timestamp": (str,)}


def filled_in(text: str) -> str:
    """Return a text with values for variables. Raises KeyError if there is none for one."""
    return re.sub(r"\$\{([\w:]+)\}|\$(\w+)", lambda found: VALUES[found[1] or found[2]], text)


def _within(part: Any) -> Iterator[Any]:
    """Yield a part of a board and all that is in it."""
    yield part
    for inner in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from _within(inner)


def queries(source: str) -> list[dict[str, Any]]:
    """Return the queries of all boards that ask a data source of a type: those of panels and of variables."""
    parts = (part for board in BOARDS for part in _within(json.loads(board.read_text())))
    found = [part for part in parts if isinstance(part, dict) and "refId" in part and ("expr" in part or "url" in part)]
    return [part for part in found if part["datasource"]["type"] == source]


def rules() -> str:
    """Return a file of rules (JSON is YAML) with every expression."""
    expressions = [filled_in(query["expr"]) for query in queries(PROMETHEUS)]
    named = [{"record": f"board:{number}", "expr": expression} for number, expression in enumerate(expressions)]
    return json.dumps({"groups": [{"name": "boards", "rules": named}]}, indent=1)


async def ask() -> None:
    """Ask all queries about Pluto. Raises AssertionError with the query that brings no rows, or lacks a column."""
    with TemporaryDirectory() as folder:
        async with world(Path(folder)) as running:
            for query in queries(INFINITY):
                pairs = {pair["key"]: filled_in(pair["value"]) for pair in query["url_options"]["params"]}
                reply = await running.get(f"{query['url']}?{urlencode(pairs)}")
                assert reply.status == 200, (query["url"], reply.body)
                found = Jsonata(query["root_selector"]).evaluate(reply.json)
                rows = found if isinstance(found, list) else [found]
                assert rows, query["root_selector"]
                for column in query["columns"]:
                    values = [row[column["selector"]] for row in rows]
                    assert all(isinstance(value, TYPES[column["type"]]) for value in values), (column, values[:3])


def main(arguments: list[str]) -> int:
    """Do what the first argument says."""
    match arguments:
        case ["rules", path]:
            Path(path).write_text(rules())
        case ["queries"]:
            asyncio.run(ask())
        case _:
            sys.stderr.write(__doc__ or "")
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
