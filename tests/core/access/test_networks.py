"""Where a request comes from: networks, and who is believed about it."""

import ipaddress

import pytest

from proxy.core.access.networks import Networks, client_address, client_network, in_plain_form, read_address, read_network

PROXIES = Networks(["10.0.0.0/24", "::1"])


@pytest.mark.parametrize(
    ("network", "address", "within"),
    [
        ("10.0.0.0/8", "10.255.0.1", True),
        ("10.0.0.0/8", "11.0.0.1", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3", "10.1.2.4", False),
        ("10.0.0.0/8", "::ffff:10.1.2.3", True),
        ("::ffff:10.0.0.0/104", "10.1.2.3", True),
        ("::ffff:10.0.0.0/104", "11.1.2.3", False),
        ("::ffff:10.1.2.3", "::ffff:10.1.2.3", True),
        ("::/0", "10.1.2.3", False),
        ("::/0", "::ffff:10.1.2.3", False),
        ("0.0.0.0/0", "::ffff:10.1.2.3", True),
        ("0.0.0.0/0", "fd00::1", False),
        ("fd00::/8", "fd12::1", True),
        ("fe80::/10", "fe80::1%eth0", True),
    ],
)
def test_networks(network: str, address: str, within: bool) -> None:
    """An IPv4 address is one in whatever form it comes; other than that the two kinds don't mix."""
    assert (read_address(address) in Networks([network])) is within
    assert read_address(address) not in Networks()
    assert (bool(Networks([network])), bool(Networks())) == (True, False)


@pytest.mark.parametrize(
    "text", ["", "10.0.0.1/8", "10.0.0.0/33", "10.0.0", "example.org", "010.0.0.1", "::/129", "10.0.0.0/8 "]
)
def test_what_is_no_network(text: str) -> None:
    """Each is told with what is wrong; bits beyond the prefix are likely a slip."""
    with pytest.raises(ValueError, match="must be a network"):
        read_network(text)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        (" 192.0.2.1 ", "192.0.2.1"),
        ("192.0.2.1:80", "192.0.2.1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:80", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("[::ffff:192.0.2.1]:80", "192.0.2.1"),
        ("", None),
        ("[]", None),
        ("unknown", None),
        ("_hidden", None),
        ("192.0.2.1:x", None),
        ("192.0.2.256", None),
        ("192.0.2.1 192.0.2.2", None),
        ("127.1", None),
        ("0x7f000001", None),
    ],
)
def test_addresses(text: str, address: str | None) -> None:
    """With or without a port; what is no address in its usual form is none."""
    assert read_address(text) == (None if address is None else ipaddress.ip_address(address))


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::FFFF:c000:201", "192.0.2.1"),
        ("0:0:0:0:0:ffff:192.0.2.1", "192.0.2.1"),
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("::192.0.2.1", "::192.0.2.1"),
        ("64:ff9b::192.0.2.1", "64:ff9b::192.0.2.1"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("::", "::"),
        ("[::ffff:192.0.2.1]:80", "[::ffff:192.0.2.1]:80"),
        ("localhost", "localhost"),
        ("", ""),
    ],
)
def test_plain_form(text: str, plain: str) -> None:
    """An IPv4 address in IPv6's form is that address (RFC 4291 section 2.5.5.2); all else stays as it is."""
    assert in_plain_form(text) == plain


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        ("192.0.2.1", ["198.51.100.7"], "192.0.2.1"),
        ("192.0.2.1", ["10.0.0.1"], "192.0.2.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("::ffff:10.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("::1", ["198.51.100.7:4711"], "198.51.100.7"),
        ("10.0.0.1", ["198.51.100.7, 10.0.0.2"], "198.51.100.7"),
        ("10.0.0.1", ["198.51.100.7", "10.0.0.2"], "198.51.100.7"),
        ("10.0.0.1", ["10.9.9.9, 198.51.100.7, 10.0.0.2"], "198.51.100.7"),
        ("10.0.0.1", ["127.0.0.1, 198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["198.51.100.7, 203.0.113.1"], "203.0.113.1"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", ["10.0.0.9, unknown"], None),
        ("10.0.0.1", ["unknown, 198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", [", ,198.51.100.7,,"], "198.51.100.7"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("", [], None),
        ("", ["10.0.0.1"], None),
    ],
)
def test_forwarded_for(peer: str, forwarded: list[str], client: str | None) -> None:
    """The first from the right that isn't a trusted proxy is the client; what stands left of it anybody could have written."""
    expected = None if client is None else ipaddress.ip_address(client)
    assert client_address(peer, forwarded, PROXIES) == expected
    if peer:
        assert client_address(peer, forwarded, Networks()) == read_address(peer)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("", "192.0.2.1", False),
    ],
)
def test_clients_are_told_apart(one: str, other: str, same: bool) -> None:
    """By their address, and where they choose most of it themselves by the rest."""
    assert (client_network(one) == client_network(other)) is same
