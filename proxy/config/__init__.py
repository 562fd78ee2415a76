"""The configuration, read from a TOML file and the environment.

`load` reads it, reporting every fault at once. `model` has each setting with its type, range and default. `addresses` reads
those that are listened on, `forward` the setting with the forward proxy, and `homes` expands `~` in paths. `render` prints the
configuration for `pluto-proxy check`.
"""

from proxy.config.load import KeySource, LoadedConfig, load
from proxy.config.model import Config

__all__ = ["Config", "KeySource", "LoadedConfig", "load"]
