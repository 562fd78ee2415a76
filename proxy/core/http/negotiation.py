"""Which content coding a client gets (RFC 9110 section 12.5.3)."""

import re

from proxy.core.freshness.entry import Coding

# The order among codings that the client likes equally: zstd is as small as gzip, and quicker to decompress.
PREFERENCE = (Coding.ZSTD, Coding.GZIP, Coding.IDENTITY)
_QUALITY = re.compile(r"(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")


def acceptable(accept_encoding: str | None) -> tuple[Coding, ...]:
    """Return the codings that a client accepts, the best first; only identity where the header is absent (None).

    Quality values are honoured. `*` stands for every coding that isn't named. Identity is acceptable unless it is excluded. A
    malformed quality value excludes its coding. The result is empty where the client accepts none of this proxy's codings.
    """
    if accept_encoding is None:
        return (Coding.IDENTITY,)
    said = _qualities(accept_encoding)
    rest = said.get("*", 0.0)
    # Where neither it nor `*` is named, identity comes last.
    unnamed = {Coding.IDENTITY: rest if "*" in said else 0.0005}
    quality = {coding: said.get(coding, unnamed.get(coding, rest)) for coding in PREFERENCE}
    return tuple(sorted((coding for coding in PREFERENCE if quality[coding] > 0), key=lambda coding: -quality[coding]))


def _qualities(text: str) -> dict[str, float]:
    said: dict[str, float] = {}
    for part in text.split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        if name:
            said["gzip" if name == "x-gzip" else name] = _quality(parameters)
    return said


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            return float(value) if _QUALITY.fullmatch(value.strip()) else 0.0
    return 1.0
