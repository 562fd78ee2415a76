"""File descriptors: one for each connection, and some that must not be lacking when there are as many clients as may be."""

import os
import resource
import sys

import structlog

from proxy.config import Config

# Files, the cache's among them, and what Python itself needs.
_OWN = 64
_log = structlog.get_logger()


def fill_standard() -> None:
    """Put /dev/null where standard input, output or error is closed, before anything else gets its number.

    What is written to them would end up in the cache, and the event loop aborts where it meets itself in their place.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
    # Python has none where the descriptor was closed.
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def make_room(config: Config) -> Config:
    """Raise this process's limit as far as `server.max_connections` needs; where it may not go so far, return fewer of them.

    Without that a crowd of clients would take the descriptors with which the cache is opened and the upstream asked.
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
        # macOS has a lower one beside the one that it tells.
        room = soft
    if room == wanted:
        return config
    most = max(1, room - own)
    _log.warning("server.few_descriptors", limit=room, wanted=wanted, max_connections=most)
    return config.model_copy(update={"server": config.server.model_copy(update={"max_connections": most})})
