"""Namespaces and digests."""

from itertools import combinations

import pytest

from proxy.core.freshness.entry import OVERHEAD_BYTES, Coding, Entry, digest_of
from proxy.core.freshness.namespace import (
    fingerprint,
    fingerprint_namespace,
    offline_namespace,
    organization_in,
    organization_namespace,
)

URL = "http://a"


def test_namespaces_are_apart() -> None:
    """Another upstream, label, organization or key is another namespace, whatever the texts hold."""
    names = [
        organization_namespace("http://a", "", "x"),
        organization_namespace("http://b", "", "x"),
        organization_namespace("http://a", "l", "x"),
        organization_namespace("http://a", "", "y"),
        organization_namespace("http://a", "", 'x","y'),
        fingerprint_namespace("http://a", "", "x"),
    ]
    assert all(left != right for left, right in combinations(names, 2))


def test_a_fingerprint_does_not_show_the_key() -> None:
    """The same key has the same fingerprint, and the key is not in it."""
    assert fingerprint("mlpi_a") == fingerprint("mlpi_a") != fingerprint("mlpi_b")
    assert "mlpi" not in fingerprint("mlpi_a")


def test_an_entry_knows_its_size() -> None:
    """The bodies and what an entry costs beside them."""
    entry = Entry(body=b"12345", sent_at_s=0, digest=digest_of(b"12345"), encoded={Coding.GZIP: b"123"})
    assert entry.size_bytes == OVERHEAD_BYTES + 8
    assert len(entry.digest) == 32


def test_offline_without_a_key() -> None:
    """The only organization of the upstream and label is served, before what only a key's fingerprint names."""
    ours, key = organization_namespace(URL, "", "org"), fingerprint_namespace(URL, "", "f1")
    others = [organization_namespace(URL, "red", "org"), organization_namespace("http://other", "", "org")]
    damaged = ["", "no JSON", "[1, 2, 3, 4]", '["a"]', "7", "[" * 100_000]
    assert offline_namespace([*others, *damaged, key, ours], URL, "", None) == ours
    assert offline_namespace([*others, key], URL, "", None) == key
    assert (organization_in(ours), organization_in(key)) == ("org", None)
    with pytest.raises(ValueError, match="several organizations"):
        offline_namespace([ours, organization_namespace(URL, "", "another")], URL, "", None)
    with pytest.raises(ValueError, match="several organizations"):
        offline_namespace([key, fingerprint_namespace(URL, "", "f2")], URL, "", None)
    with pytest.raises(ValueError, match=r"nothing of upstream.url http://x and cache.label blue, but of .*red.*, 'http://oth"):
        offline_namespace(others, "http://x", "blue", None)
    with pytest.raises(ValueError, match=r"nothing of upstream.url http://x$"):
        offline_namespace([], "http://x", "", None)


def test_offline_with_a_key() -> None:
    """Only what was stored for that key is served: its holder need not belong to the file's organization."""
    ours, key = organization_namespace(URL, "", "org"), fingerprint_namespace(URL, "", "f1")
    assert offline_namespace([ours, key], URL, "", "f1") == key
    with pytest.raises(ValueError, match="doesn't know whose"):
        offline_namespace([ours, key], URL, "", "f2")
