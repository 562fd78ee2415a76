"""What identifies a call: flights and remembered failures are found by it."""

from typing import NamedTuple


class CallKey(NamedTuple):
    """A canonical target, asked for with the key of this fingerprint.

    The namespace would not do: it changes when the key's organization becomes known, and calls under way would not be found
    any more.
    """

    fingerprint: str
    target: str
