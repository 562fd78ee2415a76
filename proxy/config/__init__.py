"""The configuration: a typed model, and how a TOML file and the environment become one."""

from proxy.config.load import KeySource, Loaded, load
from proxy.config.model import Config

__all__ = ["Config", "KeySource", "Loaded", "load"]
