"""The tokens that are good now: read from their file, and read again when it changes.

A revoked token must stop working within a second, on connections that stay open too. So every request is judged by the tokens
held here, and the file is looked at twice a second as long as there are requests. A file that becomes unusable while the proxy
runs changes nothing: the last good tokens stay, since letting everybody in would be worse and shutting everybody out no better.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import structlog

from proxy.clock import Clock
from proxy.core.access.grants import Grant, digest_of_token
from proxy.errors import ConfigError, TokenFileError
from proxy.file_watch import FileStamp, FileWatch, stamp_of
from proxy.generation import Generation
from proxy.store.token_file import Token, read_tokens

# How long a change of the file may go unnoticed, seconds.
PERIOD_S = 0.5
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenFile:
    """A token file as it was read: what each token grants, and the file's stamp before. `path` is None where there is none."""

    path: Path | None
    stamp: FileStamp = None
    grants: Mapping[str, Grant] = field(default_factory=dict, repr=False)


def read_token_file(path: Path | None) -> TokenFile:
    """Read a token file; None where no tokens are needed. Raises ConfigError where it cannot be used."""
    if path is None:
        return TokenFile(path=None)
    stamp = stamp_of(path)
    try:
        return TokenFile(path=path, stamp=stamp, grants=_grants(read_tokens(path)))
    except TokenFileError as exc:
        told = "" if path.exists() else "; `pluto-proxy token add NAME` makes one"
        raise ConfigError([f"access.tokens_file: {exc}{told}"]) from exc


class Tokens:
    """Knows what each token grants."""

    def __init__(self, file: TokenFile, clock: Clock, ending: Generation | None = None) -> None:
        """`ending` ends whenever a token may grant something else."""
        self._file = file
        self._ending = ending or Generation()
        self._watch = FileWatch((), clock, period_s=PERIOD_S)
        self._expect()
        self._trouble: str | None = None
        self._generation = 0

    @property
    def needed(self) -> bool:
        """Whether a request needs a token."""
        return self._file.path is not None

    def renew(self, file: TokenFile) -> None:
        """Go by another file, or by the same one as it was read a moment ago.

        The next request looks at it once more: it may have changed since.
        """
        self._file, self._trouble = file, None
        self._note_change()
        self._expect()

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
        return self._file.grants.get(digest_of_token(token))

    def _note_change(self) -> None:
        self._generation += 1
        self._ending.end()

    def _keep_up(self) -> None:
        path = self._file.path
        if path is not None and self._watch.says_read(faulty=self._trouble is not None):
            self._reread(path)

    def _expect(self) -> None:
        file = self._file
        self._watch.expect(() if file.path is None else (file.path,), () if file.path is None else (file.stamp,))

    def _reread(self, path: Path) -> None:
        before = self._file.grants
        try:
            grants = _grants(read_tokens(path))
        except TokenFileError as exc:
            if self._trouble != str(exc):
                self._trouble = str(exc)
                _log.error("tokens.kept", reason=self._trouble, tokens=len(before))
            return
        if grants != before:
            self._note_change()
        if grants != before or self._trouble is not None:
            _log.info("tokens.read", tokens=len(grants))
        self._file, self._trouble = replace(self._file, grants=grants), None


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
