"""The table of settings that can change: it has all of them, and a switch changes no others."""

import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from proxy.config import Config, load
from proxy.settings.changeable import STAYING, changed, merged
from tests.support.processes import ROOT
from tests.support.reloading import OTHER

ALL = frozenset(f"{section}.{key}" for section, part in Config() for key, _ in part)
# Another value for each setting that stays.
OTHERWISE: dict[str, object] = {
    "server.listen": "127.0.0.1:1",
    "server.socket_mode": "0600",
    "server.tls_cert": "/pair.pem",
    "server.tls_key": "/pair.pem",
    "upstream.url": "http://127.0.0.1:1",
    "upstream.offline": True,
    "upstream.connect_timeout_s": 1,
    "upstream.max_connections": 1,
    "upstream.connection_max_age_s": 1,
    "upstream.proxy": "http://user:word@127.0.0.1:1",
    "upstream.ca_file": "/ca.pem",
    "cache.path": "/cache.sqlite",
    "cache.max_bytes": 2**21,
    "cache.memory_bytes": 1,
    "cache.label": "label",
    "series.memory_bytes": 1,
    "series.overlap_s": 1,
    "log.format": "json",
}


CHANGING = ALL - STAYING.keys()


def configured(names: set[str]) -> Config:
    """Return the configuration with other values than the defaults for the settings that are named."""
    values: dict[str, Any] = {**OTHER, **OTHERWISE, "access.tokens_file": "/tokens.json", "series.enabled": False}
    environ = {f"PLUTO_PROXY_{name.upper().replace('.', '__')}": str(values[name]) for name in names}
    return load(None, environ).config


# Without `access.open`, which excludes others; the two files of TLS belong together.
NAMES = st.sets(st.sampled_from(sorted(ALL - {"access.open", "server.tls_key"}))).map(
    lambda names: names | {"server.tls_key"} if "server.tls_cert" in names else names
)
CONFIGS = NAMES.map(configured)


def test_each_setting_is_tried() -> None:
    """There is another value for it, in the list of those that can change or of those that stay; these have a reason."""
    assert STAYING.keys() <= ALL
    assert all(STAYING.values())
    assert OTHER.keys() == CHANGING
    assert OTHERWISE.keys() == STAYING.keys()


@given(before=CONFIGS, after=CONFIGS)
def test_what_is_switched_to(before: Config, after: Config) -> None:
    """It differs from what holds in what can change alone, and from what was read in what stays alone."""
    switched = merged(before, after)
    assert changed(before, switched) == changed(before, after) & CHANGING
    assert changed(switched, after) == changed(before, after) & STAYING.keys()
    # A configuration as good as any that was read.
    assert Config.model_validate(dict(switched)) == switched


@given(names=NAMES)
def test_what_differs(names: set[str]) -> None:
    """Each setting with another value is named, and no other."""
    assert changed(configured(set()), configured(names)) == names
    assert not changed(configured(names), configured(names))


def test_the_manual_says_the_same() -> None:
    """The two tables in docs/how-to/operations.md are those of the table."""
    text = (ROOT / "docs" / "how-to" / "operations.md").read_text().partition("\n## Reload\n")[2].partition("\n## ")[0]
    changing = set()
    for section, settings in re.findall(r"^\| `\[(\w+)\]` \| (.+) \|$", text, re.MULTILINE):
        keys = [key for key, _ in getattr(Config(), section)] if settings == "all" else re.findall(r"`(\w+)`", settings)
        changing |= {f"{section}.{key}" for key in keys}
    assert changing == CHANGING
    assert dict(re.findall(r"^\| `(\w+\.\w+)` \| (.+) \|$", text, re.MULTILINE)) == STAYING
