"""The certificate that is in use: read from its files, and read again when one of them changes.

A new certificate comes as two files, one written after the other. In between they don't belong together. Such a pair is logged,
the one before stays, and the files are looked at again until they can be used.
"""

import ssl
from pathlib import Path

import structlog

from proxy.clock import Clock
from proxy.core.access.validity import Validity
from proxy.errors import ConfigError
from proxy.file_watch import FileWatch
from proxy.web.encryption.pair import read_pair

# How long a change of the files may go unnoticed, seconds.
PERIOD_S = 1.0
_log = structlog.get_logger()


class Certificate:
    """Has the pair that clients are shown now.

    The files are looked at when somebody asks, and at most once in PERIOD_S. The constructor raises ConfigError where they
    cannot be used.
    """

    def __init__(self, certificate: Path, key: Path, clock: Clock) -> None:
        self._paths = certificate, key
        self._clock = clock
        self._watch = FileWatch(self._paths, clock, period_s=PERIOD_S)
        self._trouble: str | None = None
        self._pair = read_pair(certificate, key)

    @property
    def context(self) -> ssl.SSLContext:
        """What a handshake that begins now takes."""
        self._keep_up()
        return self._pair.context

    @property
    def validity(self) -> Validity:
        """When the pair in use is good."""
        self._keep_up()
        return self._pair.validity

    @property
    def trouble(self) -> str | None:
        """Why the files cannot be used now, None where they can."""
        self._keep_up()
        return self._trouble

    @property
    def remaining_s(self) -> float:
        """How long the pair in use is still good, seconds; negative where it has expired."""
        return self.validity.end_s - self._clock.now_s()

    def _keep_up(self) -> None:
        if self._watch.says_read(faulty=self._trouble is not None):
            self._reread()

    def _reread(self) -> None:
        try:
            pair = read_pair(*self._paths)
        except ConfigError as exc:
            if self._trouble != exc.faults[0]:
                self._trouble = exc.faults[0]
                _log.error("certificate.kept", reason=self._trouble)
            return
        self._trouble, self._pair = None, pair
        _log.info("certificate.read", days=int(self.remaining_s // 86_400))
