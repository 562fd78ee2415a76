"""What a stand-in is made with."""

from dataclasses import dataclass
from enum import StrEnum

from proxy.standin.auth import DEFAULT_KEYS, Key
from proxy.standin.growth import GrowthConfig


class StepMode(StrEnum):
    """How `step` is printed: a number (ClickHouse 25.8 and later), or a quoted string (older servers)."""

    UNQUOTED = "unquoted"
    QUOTED = "quoted"


class KeyOrder(StrEnum):
    """In which order the keys of an answer about several runs and metrics come: as they were asked, or by name and number."""

    ASKED = "asked"
    OWN = "own"


@dataclass(frozen=True, slots=True, kw_only=True)
class StandinConfig:
    """A stand-in's settings. Growth is off by default, and so is the rate limit.

    `rate_per_s` is metrics calls a second, of which up to `burst` may come at once. `web_url` is the web application's
    address, with which the `url`s in answers begin. Without `gzip` every answer goes out as it is, whatever a client takes.
    """

    mode: StepMode = StepMode.UNQUOTED
    key_order: KeyOrder = KeyOrder.ASKED
    keys: tuple[Key, ...] = DEFAULT_KEYS
    growth: GrowthConfig | None = None
    rate_per_s: float | None = None
    burst: float = 10
    gzip: bool = True
    web_url: str = "https://pluto.example"
