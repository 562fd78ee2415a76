"""API keys: which organization a key belongs to, and the upstream's words for refusing one."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

PREFIXES = ("mlpi_", "mlps_")


class KeyStatus(StrEnum):
    """Whether a key opens the door."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Organization:
    """A tenant: rows carry its id."""

    id: str
    slug: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """An API key and whose it is."""

    text: str
    organization: Organization
    user_id: str = "user_standin"
    status: KeyStatus = KeyStatus.ACTIVE


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A 401; `message` is empty where the upstream gives none."""

    message: str = ""


DEMO = Organization(id="org_demo", slug="demo")
OTHER = Organization(id="org_other", slug="other")
DEFAULT_KEYS = (
    Key(text="mlpi_standin_key", organization=DEMO),
    Key(text="mlps_standin_rotated", organization=DEMO),
    Key(text="mlpi_standin_other", organization=OTHER, user_id="user_other"),
    Key(text="mlpi_standin_expired", organization=DEMO, status=KeyStatus.EXPIRED),
    Key(text="mlpi_standin_revoked", organization=DEMO, status=KeyStatus.REVOKED),
)


class Keys:
    """The keys there are; they can be added, revoked and forgotten at any time."""

    def __init__(self, keys: Iterable[Key] = DEFAULT_KEYS) -> None:
        self._keys = {key.text: key for key in keys}

    def add(self, key: Key) -> None:
        """Add a key, or replace the one of the same text."""
        self._keys[key.text] = key

    def set_status(self, text: str, status: KeyStatus) -> None:
        """Change a known key; KeyError for another."""
        self._keys[text] = replace(self._keys[text], status=status)

    def revoke(self, text: str) -> None:
        """Let a known key meet `API key has been revoked` from now on."""
        self.set_status(text, KeyStatus.REVOKED)

    def remove(self, text: str) -> None:
        """Let a known key meet `Key not found` from now on."""
        del self._keys[text]

    def check(self, authorization: str | None) -> Key | Refusal:
        """The key behind an `Authorization` header.

        The upstream's rule: the second of the words between single spaces is the key. The first one doesn't matter.
        """
        words = (authorization or "").split(" ")
        text = words[1] if len(words) > 1 else ""
        if not text:
            return Refusal()
        if not text.startswith(PREFIXES):
            return Refusal(message="Invalid API key")
        key = self._keys.get(text)
        if key is None:
            return Refusal(message="Key not found")
        match key.status:
            case KeyStatus.REVOKED:
                return Refusal(message="API key has been revoked")
            case KeyStatus.EXPIRED:
                return Refusal(message="API key has expired")
            case KeyStatus.ACTIVE:
                return key
