"""What is asked with which key: flights and failures are known by that."""

from typing import NamedTuple


class CallKey(NamedTuple):
    """A canonical target, asked with the key of this fingerprint.

    Not the namespace: that changes when the key's organization becomes known, and a flight would be lost sight of.
    """

    fingerprint: str
    target: str
