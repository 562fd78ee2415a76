"""Whose data an entry is: the part of a key that keeps two upstreams, labels and organizations apart."""

import json
from hashlib import sha256


def fingerprint(secret: str) -> str:
    """Return what stands for a key wherever the key itself must not: 32 hex digits, not reversible for a random key."""
    return sha256(b"pluto-proxy fingerprint\0" + secret.encode()).hexdigest()[:32]


def organization_namespace(upstream_url: str, label: str, organization: str) -> str:
    """Name the data of one organization, whichever of its keys fetched it."""
    return json.dumps([upstream_url, label, "organization", organization])


def fingerprint_namespace(upstream_url: str, label: str, key_fingerprint: str) -> str:
    """Name the data fetched with a key whose organization isn't known yet."""
    return json.dumps([upstream_url, label, "key", key_fingerprint])
