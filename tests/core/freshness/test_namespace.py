"""Namespaces and digests."""

from itertools import combinations

from proxy.core.freshness.entry import OVERHEAD_BYTES, Coding, Entry, digest_of
from proxy.core.freshness.namespace import fingerprint, fingerprint_namespace, organization_namespace


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
