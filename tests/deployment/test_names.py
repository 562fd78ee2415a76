"""What the deployment files name exists: metrics, settings, alerts; and they name no package registry."""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from proxy import errors
from proxy.config import Config, load
from proxy.standin import Standin, StandinConfig
from tests.deployment import DEPLOY, ROOT
from tests.support.certificates import Authority
from tests.support.processes import proxy_process
from tests.support.tokens import ALL, bearer, token, write
from tests.support.world import KEY

RULES = DEPLOY / "prometheus" / "rules"
FILES = sorted(path for path in DEPLOY.rglob("*") if path.is_file())
PAGES = [*FILES, ROOT / "docs" / "how-to" / "alerts.md"]
# What an address may lead to: the proxy, and what is the reader's own. (The first is the name of a dialect.)
HOSTS = re.compile(r"json-schema\.org|127\.0\.0\.1|HOST|pluto_proxy|pluto-proxy|[a-z.-]+\.(svc|example\.com)")


def named(pattern: str, files: Sequence[Path] = FILES) -> Iterator[tuple[str, str]]:
    """Yield what a pattern finds in the deployment files, with the file's name."""
    for path in files:
        for found in re.finditer(pattern, path.read_text()):
            yield found.group(1), path.name


async def metrics(folder: Path) -> list[Metric]:
    """Return the metrics that a proxy process with tokens and a certificate shows."""
    write(folder / "access" / "tokens.json", token("all"))
    authority = Authority(folder / "authority")
    certificate, key = authority.issue()
    async with (
        Standin(StandinConfig()).serve() as upstream,
        proxy_process(
            PLUTO_API_KEY=KEY,
            PLUTO_PROXY_UPSTREAM=upstream,
            PLUTO_PROXY_CACHE=str(folder / "cache.sqlite"),
            PLUTO_PROXY_ACCESS__TOKENS_FILE=str(folder / "access" / "tokens.json"),
            PLUTO_PROXY_SERVER__TLS_CERT=str(certificate),
            PLUTO_PROXY_SERVER__TLS_KEY=str(key),
        ) as proxy,
        aiohttp.ClientSession(headers=bearer(ALL), connector=aiohttp.TCPConnector(ssl=authority.trusted)) as session,
        session.get(f"{proxy.url}/metrics") as response,
    ):
        assert response.status == 200
        return list(text_string_to_metric_families(await response.text()))


def series_names(families: Iterable[Metric]) -> set[str]:
    """Return the names of all series, each histogram's three among them. (What has no labels' values yet has no samples.)"""
    names = set()
    for family in families:
        ends = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(family.type, ("",))
        names |= {family.name + end for end in ends}
    return names


async def test_metrics(tmp_path: Path) -> None:
    """Every metric in a rule, a board or a page exists, and so do the states and the like that rules ask for."""
    families = await metrics(tmp_path)
    there = series_names(families)
    assert {"pluto_proxy_requests_total", "pluto_proxy_request_duration_seconds_bucket", "process_open_fds"} <= there
    used = {*named(r"\b((?:pluto_proxy|process|python)_[a-z0-9_]+)\b(?!\.\.\.)", PAGES)}
    assert len({name for name, _ in used}) > 40
    assert {(name, file) for name, file in used if name not in there} == set()
    samples = {(sample.name, *pair) for family in families for sample in family.samples for pair in sample.labels.items()}
    asked = re.findall(r'\b(pluto_proxy_\w+)\{(\w+)="([^"]+)"\}', "".join(path.read_text() for path in RULES.glob("*.yml")))
    assert len(asked) > 3
    assert {matcher for matcher in asked if matcher[1] != "outcome"} <= samples


def test_outcomes() -> None:
    """What rules take for an outcome is one; what they count as failed is every code of 500 and more but four.

    A client over its limits has an alert of its own, one that says only-if-cached asked for its 504, as did whoever
    started the proxy offline, and that the proxy is draining is told in streams alone.
    """
    kinds = [part for part in vars(errors).values() if isinstance(part, type) and issubclass(part, errors.ProxyError)]
    codes = {kind.code: kind.status for kind in kinds}
    text = "".join(path.read_text() for path in RULES.glob("*.yml"))
    words = {word for found in re.findall(r'outcome=~?"([^"]+)"', text) for word in found.split("|")}
    known = {"hit", "stale", "series", "collapsed", *codes}
    assert {word for word in words if not any(re.fullmatch(word, outcome) for outcome in known)} == set()
    [failed] = [found for found in re.findall(r'outcome=~"([^"]+)"', text) if "internal" in found]
    failing = {code for code, status in codes.items() if status >= 500} - {
        "client-limited",
        "nothing-stored",
        "offline",
        "draining",
    }
    assert {code for code in codes if re.fullmatch(failed, code)} == failing


def test_recorded_names() -> None:
    """Every recorded series that is used is recorded, and every one that is recorded is used."""
    recorded = {name for name, _ in named(r"(?m)^ +- record: (\S+)$")}
    used = {name for name, _ in named(r"(?<!record: )\b(pluto_proxy:[a-z0-9_:]+)")}
    assert used == recorded


def test_settings() -> None:
    """Every setting exists, in the environment's form and in the configuration's. (The log's events look like the latter.)"""
    short = {"PLUTO_PROXY_LISTEN", "PLUTO_PROXY_UPSTREAM", "PLUTO_PROXY_CACHE"}
    sections = {name: set(type(section).model_fields) for name, section in Config()}
    keys = {f"{name}.{key}" for name, keys in sections.items() for key in keys}
    variables = short | {f"PLUTO_PROXY_{key.replace('.', '__')}".upper() for key in keys}
    source = "".join(path.read_text() for path in sorted((ROOT / "proxy").rglob("*.py")))
    assert {(name, file) for name, file in named(r"\b(PLUTO_PROXY_[A-Z0-9_]+)\b") if name not in variables} == set()
    dotted = {*named(rf"(?<![\w./-])((?:{'|'.join(sections)})\.(?!md\b)[a-z][a-z0-9_]*)\b(?![.\w/-])", PAGES)}
    assert dotted
    assert {(name, file) for name, file in dotted if name not in keys and f'"{name}"' not in source} == set()


@pytest.mark.parametrize("path", [path for path in FILES if "```toml" in path.read_text()], ids=lambda path: path.parent.name)
def test_configurations(path: Path, tmp_path: Path) -> None:
    """Every configuration that a page shows is one."""
    for number, block in enumerate(re.findall(r"(?ms)^```toml\n(.*?)^```", path.read_text())):
        (tmp_path / f"{number}.toml").write_text(block)
        load(tmp_path / f"{number}.toml", {"HOME": "/nowhere"})


def test_alerts() -> None:
    """Every alert is told of in docs/how-to/alerts.md, has its annotations, and is seen firing and not firing in a test."""
    rules = "".join(path.read_text() for path in sorted(RULES.glob("*.yml")))
    alerts = re.findall(r"(?m)^ +- alert: (\S+)$", rules)
    page = (ROOT / "docs" / "how-to" / "alerts.md").read_text()
    tests = (DEPLOY / "prometheus" / "tests" / "alerts.yml").read_text()
    assert len(set(alerts)) == len(alerts) > 10
    assert re.findall(r"(?m)^## (\S+)$", page) == alerts
    assert re.findall(r"runbook: docs/how-to/alerts\.md#(\S+)", rules) == [name.lower() for name in alerts]
    assert re.findall(r"(?m)^  - name: (PlutoProxy\w+)$", tests) == alerts
    assert {*re.findall(r"alertname: (\w+), eval_time: 2h, exp_alerts: \[\]", tests)} == {*alerts}
    severities = re.findall(r"severity: (\S+)", rules)
    told = re.findall(r"(?m)^\*(critical|warning|info)[,.*]", page)
    assert told == severities


def test_links() -> None:
    """Every link of a deployment page, and of docs/how-to/alerts.md, leads to a file, and to a heading that it has."""
    for path in PAGES:
        if path.suffix != ".md":
            continue
        for target in re.findall(r"\]\(([^)]+)\)", path.read_text()):
            file, _, anchor = target.partition("#")
            there = (path.parent / file) if file else path
            assert there.exists(), f"{path}: {target}"
            if anchor:
                headings = re.findall(r"(?m)^#+ (.+)$", there.read_text())
                anchors = {re.sub(r"[^a-z0-9 _-]", "", heading.lower()).replace(" ", "-") for heading in headings}
                assert anchor in anchors, f"{path}: {target}"


def test_no_registry() -> None:
    """No address leads to where packages or images come from, and no lock file says where it was resolved."""
    for host, file in named(r"\w://([\w.-]+)"):
        assert HOSTS.fullmatch(host), file
    # Without a host, each machine takes the image from where it takes its images.
    assert re.findall(r"(?m)^ARG PYTHON=(.*)$", (DEPLOY / "container" / "Containerfile").read_text()) == [
        "python:3.11-slim-bookworm"
    ]
    locks = sorted(ROOT.glob("requirements*.lock"))
    assert len(locks) > 4
    for path in locks:
        assert not re.search(r"://|--(index|extra|find)", path.read_text()), path
