"""Namespaces: the part of an entry's key that keeps two upstreams, labels and organizations apart."""

import json
from collections.abc import Iterable
from hashlib import sha256

_ORGANIZATION, _KEY = "organization", "key"


def fingerprint(secret: str) -> str:
    """Return the fingerprint of a secret key, which may be stored: 32 hex digits, not reversible for a random key."""
    return sha256(b"pluto-proxy fingerprint\0" + secret.encode()).hexdigest()[:32]


def organization_namespace(upstream_url: str, label: str, organization: str) -> str:
    """Return the namespace of an organization's data, whichever of its keys fetched it."""
    return json.dumps([upstream_url, label, _ORGANIZATION, organization])


def organization_in(namespace: str) -> str | None:
    """Return whose data a namespace is for, None where it is a key's whose organization isn't known yet."""
    _, _, kind, name = json.loads(namespace)
    return str(name) if kind == _ORGANIZATION else None


def fingerprint_namespace(upstream_url: str, label: str, key_fingerprint: str) -> str:
    """Return the namespace of data that was fetched with a key whose organization isn't known yet."""
    return json.dumps([upstream_url, label, _KEY, key_fingerprint])


def offline_namespace(names: Iterable[str], upstream_url: str, label: str, key_fingerprint: str | None) -> str:
    """Return which of the namespaces of a file is served where the upstream can't tell whose a key is.

    With a key (its fingerprint) that is the one of that key. Without one it is that of the only organization whose answers the
    file has, or else of the only key. Raises ValueError that says what to do where there is none, or more than one.
    """
    found = sorted(map(json.loads, filter(_is_ours, names)))
    if key_fingerprint is not None:
        wanted = fingerprint_namespace(upstream_url, label, key_fingerprint)
        if json.loads(wanted) in found:
            return wanted
        raise ValueError("the cache file doesn't know whose the shared key is; without a key its only organization is served")
    here = [parts for parts in found if parts[:2] == [upstream_url, label]]
    for kind in (_ORGANIZATION, _KEY):
        match [parts for parts in here if parts[2] == kind]:
            case [parts]:
                return json.dumps(parts)
            case [_, _, *_]:
                raise ValueError(
                    "the cache file has answers of several organizations; set PLUTO_API_KEY to a key of one of them"
                )
            case _:
                pass
    raise ValueError(_nothing_for(upstream_url, label, found))


def _is_ours(name: str) -> bool:
    """Tell whether a name has the form of a namespace: a damaged file may hold anything."""
    try:
        parts = json.loads(name)
    except (ValueError, RecursionError):
        return False
    return isinstance(parts, list) and len(parts) == 4 and all(isinstance(part, str) for part in parts)


def _nothing_for(upstream_url: str, label: str, found: Iterable[list[str]]) -> str:
    named = f"upstream.url {upstream_url}" + (f" and cache.label {label}" if label else "")
    others = sorted({f"{url!a}" + (f" (cache.label {other!a})" if other else "") for url, other, _, _ in found})
    return f"the cache file has nothing of {named}" + (f", but of {', '.join(others)}" if others else "")
