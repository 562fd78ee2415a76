"""pluto-proxy: a caching proxy for pluto-api that knows what a metric query means."""

__version__ = "0.1.0"
