"""Namespaces: the part of an entry's key that keeps two upstreams, labels and organizations apart."""

import json
from hashlib import sha256


def fingerprint(secret: str) -> str:
    """Return the fingerprint of a secret key, which may be stored: 32 hex digits, not reversible for a random key."""
    return sha256(b"pluto-proxy fingerprint\0" + secret.encode()).hexdigest()[:32]


def organization_namespace(upstream_url: str, label: str, organization: str) -> str:
    """Return the namespace of an organization's data, whichever of its keys fetched it."""
    return json.dumps([upstream_url, label, "organization", organization])


def fingerprint_namespace(upstream_url: str, label: str, key_fingerprint: str) -> str:
    """Return the namespace of data that was fetched with a key whose organization isn't known yet."""
    return json.dumps([upstream_url, label, "key", key_fingerprint])
