"""Which settings stay as long as the process runs: a table of them. All others can change.

The list in docs/how-to/operations.md is this table.
"""

from proxy.config import Config

# Each with the reason.
STAYING = {
    "server.listen": "the sockets are open",
    "server.socket_mode": "the sockets are open",
    # The files themselves are read again when they change.
    "server.tls_cert": "the sockets are open with it",
    "server.tls_key": "the sockets are open with it",
    "upstream.url": "what is stored belongs to it",
    "upstream.offline": "what may be served, and whether there is a key, follows from it",
    "upstream.connect_timeout_s": "the connections are made with it",
    "upstream.max_connections": "the connections are made with it",
    "upstream.connection_max_age_s": "the connections are made with it",
    "upstream.proxy": "the connections are made by it",
    "upstream.ca_file": "the connections are made with it",
    "cache.path": "the file is open",
    "cache.max_bytes": "the file is open with it",
    "cache.memory_bytes": "the memory is divided by it",
    "cache.label": "what is stored belongs to it",
    "series.memory_bytes": "the memory is divided by it",
    "series.overlap_s": "what is known of series was made with it",
    "log.format": "the log's writer was set up with it",
}


def changed(before: Config, after: Config) -> frozenset[str]:
    """Return the settings in which two configurations differ, as `section.key`."""
    return frozenset(
        f"{section}.{key}"
        for section in Config.model_fields
        for key, value in getattr(before, section)
        if value != getattr(getattr(after, section), key)
    )


def merged(before: Config, after: Config) -> Config:
    """Return the configuration to switch to: `after` in what can change, `before` in everything else."""
    sections = {}
    for section in Config.model_fields:
        old, new = getattr(before, section), getattr(after, section)
        staying = {key: value for key, value in old if f"{section}.{key}" in STAYING}
        sections[section] = new.model_copy(update=staying)
    return after.model_copy(update=sections)
