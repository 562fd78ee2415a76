"""The tokens that are good now: read from their file, and read again when it changes.

A revoked token must stop working within a second, on connections that stay open too. So every request is judged by the tokens
held here, and the file is looked at twice a second as long as there are requests. A file that becomes unusable while the proxy
runs changes nothing: the last good tokens stay, since letting everybody in would be worse and shutting everybody out no better.
"""

import os
from collections.abc import Mapping
from pathlib import Path

import structlog

from proxy.clock import Clock
from proxy.core.access.grants import Grant, digest_of_token
from proxy.errors import ConfigError, TokenFileError
from proxy.store.token_file import Token, read_tokens

# How long a change of the file may go unnoticed, seconds.
PERIOD_S = 0.5
_log = structlog.get_logger()


class Tokens:
    """Knows what each token grants.

    The constructor raises ConfigError where the file cannot be used.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._looked_s = clock.monotonic_s()
        # Before reading: a change in between is noticed at the next look.
        self._stamp = self._look()
        self._trouble: str | None = None
        self._generation = 0
        try:
            self._grants = _grants(read_tokens(path))
        except TokenFileError as exc:
            told = "" if path.exists() else "; `pluto-proxy token add NAME` makes one"
            raise ConfigError([f"access.tokens_file: {exc}{told}"]) from exc

    @property
    def trouble(self) -> str | None:
        """Why the file cannot be used now, None where it can."""
        self._keep_up()
        return self._trouble

    @property
    def generation(self) -> int:
        """A number that changes whenever a token may grant something else."""
        self._keep_up()
        return self._generation

    def grant(self, token: str) -> Grant | None:
        """Return what a token grants, None for an unknown token. The caller judges whether it has expired.

        A token is looked up by its hash. The time which that takes could tell how much the hash has in common with one in the
        file. That is worth nothing: the beginning of a hash leads nobody to the 256 random bits of a token. The tokens
        themselves, whose beginnings would be worth something, are compared nowhere.
        """
        self._keep_up()
        return self._grants.get(digest_of_token(token))

    def _keep_up(self) -> None:
        now_s = self._clock.monotonic_s()
        if now_s - self._looked_s < PERIOD_S:
            return
        self._looked_s = now_s
        stamp = self._look()
        # The trouble may have been ended without a change of the file, by other rights of its directory: it is read again.
        if stamp != self._stamp or self._trouble is not None:
            self._stamp = stamp
            self._reread()

    def _reread(self) -> None:
        try:
            grants = _grants(read_tokens(self._path))
        except TokenFileError as exc:
            if self._trouble != str(exc):
                self._trouble = str(exc)
                _log.error("tokens.kept", reason=self._trouble, tokens=len(self._grants))
            return
        if grants != self._grants:
            self._generation += 1
        if grants != self._grants or self._trouble is not None:
            _log.info("tokens.read", tokens=len(grants))
        self._grants, self._trouble = grants, None

    def _look(self) -> tuple[int, ...] | None:
        try:
            found = os.stat(self._path)  # noqa: PTH116 -- as in upstream.credential: without the cost of a Path
        except OSError:
            return None
        return (found.st_mtime_ns, found.st_size, found.st_ino, found.st_ctime_ns)


def _grants(tokens: tuple[Token, ...]) -> Mapping[str, Grant]:
    return {
        token.sha256: Grant(
            name=token.name,
            projects=None if token.projects is None else frozenset(token.projects),
            admin=token.admin,
            **({} if token.expires_at_s is None else {"expires_at_s": float(token.expires_at_s)}),
        )
        for token in tokens
    }
