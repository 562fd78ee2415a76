"""A running proxy whose configuration is reloaded, and another value for each setting that can change."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

from proxy.app.reloading import Reloader
from proxy.cli.descriptors import fit_connections
from proxy.config import KeySource, LoadedConfig, load
from proxy.config.model import LifetimeSettings
from tests.support.world import KEY, World, variables_of

# None of them is the default, nor what `variables_of` says.
OTHER: dict[str, Any] = {
    "server.allowed_hosts": "proxy.example",
    "server.idle_timeout_s": 11,
    "server.max_connections": 99,
    "server.max_connections_per_address": 9,
    "server.cors_origins": "https://one.example,https://two.example",
    "access.open": True,
    "access.tokens_file": "",
    "access.networks": "127.0.0.0/8,10.0.0.0/8",
    "access.trusted_proxies": "10.1.0.0/16",
    "access.client_rate_per_s": 50,
    "access.client_burst": 7,
    "access.client_concurrency": 3,
    "access.client_limit_status": 429,
    "upstream.deadline_s": 12,
    "upstream.stall_s": 4,
    "upstream.cooldown_max_s": 100,
    "upstream.rate_per_s": 77,
    "upstream.burst": 66,
    "upstream.max_concurrency": 5,
    "upstream.max_body_bytes": 1_000_000,
    "upstream.extra_params": "extra",
    "upstream.ignored_params": "_,nonce",
    "cache.max_object_bytes": 500_000,
    "freshness.running_s": 3,
    "freshness.stale_while_revalidate_s": 6,
    "freshness.stale_if_error_s": 700,
    "freshness.negative_s": 2,
    "freshness.stale_wait_s": 0.5,
    "freshness.client_floor_s": 1,
    "freshness.status_s": 20,
    "freshness.settling_s": 200,
    "freshness.settling_failed_s": 400,
    "freshness.ended_max_s": 900,
    "freshness.stale_if_error_ended_s": 8000,
    **{f"lifetimes.{name}": 17 + number for number, name in enumerate(LifetimeSettings.model_fields)},
    "series.enabled": True,
    "series.max_fetch_rows": 4000,
    "series.max_fetch_bytes": 400_000,
    "series.max_rows": 5000,
    "series.call_cost_rows": 600,
    "series.rewrite_check_s": 120,
    "series.shadow_s": 13,
    "log.level": "warning",
}


def loaded(folder: Path, upstream: str, **settings: Any) -> LoadedConfig:
    """Read a configuration as `world` does, with its key."""
    return load(None, {"PLUTO_API_KEY": KEY, **variables_of(folder, upstream, **settings)})


def reloader(folder: Path, running: World, key: KeySource | None = None, **settings: Any) -> Reloader:
    """Return what reloads the configuration of a running proxy, which holds these settings by then."""

    def read() -> LoadedConfig:
        found = loaded(folder, running.upstream, **settings)
        return found if key is None else LoadedConfig(config=found.config, sources=found.sources, key=key)

    return Reloader(running.parts, read=read, fit=fit_connections, told=nullcontext)


async def reload(folder: Path, running: World, key: KeySource | None = None, **settings: Any) -> None:
    """Reload once."""
    await reloader(folder, running, key, **settings).reload()
