"""File descriptors: the standard ones must be open, and connections of clients must leave enough for everything else."""

import os
import resource
import sys

import structlog

from proxy.config import Config

# Descriptors for files, such as the cache's, and for what Python itself needs.
_OWN = 64
_log = structlog.get_logger()


def open_standard_streams() -> None:
    """Open /dev/null in place of standard input, output or error if it is closed, before another file gets its number.

    Otherwise what is written to standard error could end up in the cache file, and the event loop would abort if it got one of
    these numbers itself.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
    # Python sets a stream to None if its descriptor was closed.
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def fit_connections(config: Config) -> Config:
    """Raise this process's limit of descriptors to what `server.max_connections` needs. Return the configuration to use.

    If the limit cannot be raised so far, that configuration has fewer connections. Otherwise a crowd of clients would take the
    descriptors that the cache file and the upstream need.
    """
    own = _OWN + config.upstream.max_connections
    wanted = config.server.max_connections + own
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return config
    room = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (room, hard))
    except (ValueError, OSError):
        # macOS has a lower limit beside the one that it reports.
        room = soft
    if room == wanted:
        return config
    most = max(1, room - own)
    _log.warning("server.few_descriptors", limit=room, wanted=wanted, max_connections=most)
    return config.model_copy(update={"server": config.server.model_copy(update={"max_connections": most})})
