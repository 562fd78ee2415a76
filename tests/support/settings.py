"""Settings for parts that are made by themselves."""

from proxy.config import load
from proxy.settings import Settings


def settings(**variables: object) -> Settings:
    """Return settings: `freshness__negative_s=60` is a variable PLUTO_PROXY_FRESHNESS__NEGATIVE_S."""
    return Settings(load(None, {f"PLUTO_PROXY_{name.upper()}": str(value) for name, value in variables.items()}).config)
