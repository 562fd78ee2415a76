"""Every metric, read from the registry of a proxy that is open, so that none can be left out."""

import asyncio
import os
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from proxy.app import open_parts
from proxy.config import Config, KeySource
from proxy.config.model import AccessSettings, CacheSettings, UpstreamSettings
from proxy.core.budget import Priority, State
from proxy.log.lines import Lines
from proxy.service.fetching.need import Reason
from proxy.standin.auth import DEFAULT_KEYS
from proxy.store.token_file import edit_tokens
from proxy.telemetry import Telemetry
from tools.reference.docstrings import of_attributes, of_words
from tools.reference.markdown import code, page, table

OWN = "pluto_proxy_"
# A value of labels whose values depend on what is asked.
_ANY = "any"
_INTRODUCTION = """
`/metrics` has these for Prometheus, and those of the Python process (`process_*`, `python_info`). If the proxy has
[tokens](../how-to/access.md#tokens), it needs one that isn't limited to projects.
[Alerts](../how-to/alerts.md) are made of these metrics.
"""
_LABELS = """
`route` is the name of a [route](routes.md), `admin`, that of a page of the proxy's own, or `none`. `outcome` is one of the
[outcomes](outcomes.md), or the code of an [error](errors.md). `status` is pluto-api's HTTP status, or the code of an error. No
run, project, metric or client is ever a label.
"""


def metrics_page() -> str:
    """Return the page about the metrics."""
    families = families_of_a_proxy()
    rows = [(code(_named(one)), one.type, _meaning(one)) for one in families.values()]
    words = [
        _LABELS,
        _words("`reason` of `pluto_proxy_series_calls_total`", of_words(Reason)),
        _words("`priority`", {word.name.lower(): of_attributes(Priority)[word.name] for word in Priority}),
        _words("`state` of `pluto_proxy_budget_state`", of_words(State)),
    ]
    return page(
        "Metrics",
        "`proxy/telemetry.py` and `proxy/web/pages/metrics.py`",
        _INTRODUCTION,
        table(("metric", "type", "meaning, and labels"), rows),
        "## Labels",
        *words,
    )


def families_of_a_proxy() -> Mapping[str, Metric]:
    """Return each metric of the proxy's own by the name of its family, in the order in which they are told."""
    with tempfile.TemporaryDirectory() as folder, Path(os.devnull).open("wb") as nowhere:
        text = asyncio.run(_exposition(Path(folder), Lines(nowhere.fileno())))
    return {one.name: one for one in text_string_to_metric_families(text) if one.name.startswith(OWN)}


async def _exposition(folder: Path, lines: Lines) -> str:
    """Open a proxy with all that a configuration can add and nobody to ask, and have each of its metrics tell something."""
    edit_tokens(folder / "tokens.json", lambda tokens: tokens, create=True)
    config = Config(
        cache=CacheSettings(path=folder / "cache.sqlite"),
        upstream=UpstreamSettings(url="http://127.0.0.1:1"),
        access=AccessSettings(tokens_file=folder / "tokens.json"),
    )
    telemetry = Telemetry()
    telemetry.count_answer(_ANY, _ANY, 0.0, stale=_ANY, not_modified=True)
    telemetry.count_call(_ANY, 0.0)
    telemetry.observe_wait(_ANY, 0.0)
    telemetry.usage.note(_ANY, _ANY, 0)
    async with open_parts(config, KeySource(value=DEFAULT_KEYS[0].text), lines=lines, telemetry=telemetry):
        return telemetry.exposition()[0].decode()


def _named(family: Metric) -> str:
    return family.name + ("_total" if family.type == "counter" else "")


def _meaning(family: Metric) -> str:
    return f"{family.documentation}. {_labels(family)}".strip()


def _labels(family: Metric) -> str:
    values: dict[str, Counter[str]] = {}
    for sample in family.samples:
        for label, value in sample.labels.items():
            if label != "le":
                values.setdefault(label, Counter())[value] += 1
    return "; ".join(_label(label, found) for label, found in values.items())


def _label(label: str, values: Counter[str]) -> str:
    known = [code(value) for value in values if value != _ANY]
    return code(label) + (f": {', '.join(known)}" if len(known) > 1 else "")


def _words(label: str, meanings: Mapping[str, str]) -> str:
    return f"{label}:\n\n" + table(("word", "meaning"), [(code(word), text) for word, text in meanings.items()])
