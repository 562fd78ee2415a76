"""What `doctor` says of addresses and of the certificate: in each state the one line, and what to do."""

import socket
from datetime import UTC, datetime
from pathlib import Path

import pytest

from proxy.cli.checkup import Finding, State
from proxy.cli.listening_checkup import check_certificate, check_ports
from proxy.config import load
from proxy.config.model import Config
from tests.support.certificates import Authority


def config(listen: str, **variables: str) -> Config:
    return load(None, {"PLUTO_PROXY_LISTEN": listen, "PLUTO_PROXY_ACCESS__OPEN": "true", **variables}).config


def shown(authority: Authority, *, age: str = "now", mode: int = 0o600) -> list[Finding]:
    certificate, key = authority.issue(age=age)
    key.chmod(mode)
    tls = {"PLUTO_PROXY_SERVER__TLS_CERT": str(certificate), "PLUTO_PROXY_SERVER__TLS_KEY": str(key)}
    return list(check_certificate(config("127.0.0.1:1", **tls)))


def test_addresses(tmp_path: Path) -> None:
    """Each has a line of its own: free, for whom; taken; or one that nobody can listen on."""
    folder = tmp_path / "run"
    folder.mkdir(mode=0o750)
    (folder / "mine").touch()
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        listen = ["127.0.0.1:0", "0.0.0.0:0", f"unix:{folder}/s", f"127.0.0.1:{port}", f"unix:{folder}/mine"]
        listen += [f"unix:{tmp_path}/none/s", "192.0.2.1:1"]
        findings = list(check_ports(config(",".join(listen)), runs=False))
        assert [finding.state for finding in findings] == [State.OK] * 3 + [State.FAULT] * 4
        assert [("this machine only" in finding.text, "other machines" in finding.text) for finding in findings[:3]] == [
            (True, False),
            (False, True),
            (True, False),
        ]
        for finding, told in zip(
            findings[3:],
            [
                "Address already in use",
                "something else than a socket",
                "No such file",
                "Cannot assign",
            ],
            strict=True,
        ):
            assert told in finding.text
            assert "server.listen" in finding.todo
        running = list(check_ports(config(",".join(listen)), runs=True))
        assert [finding.text for finding in running] == [f"a pluto-proxy answers at {address}" for address in listen]
    assert sorted(path.name for path in folder.iterdir()) == ["mine"]


@pytest.mark.parametrize(("listen", "state"), [("127.0.0.1:1,unix:/run/s", State.OK), ("127.0.0.1:1,0.0.0.0:2", State.ADVICE)])
def test_without_a_certificate(listen: str, state: State) -> None:
    """That is fine on this machine, and advised elsewhere."""
    [finding] = check_certificate(config(listen))
    assert (finding.state, bool(finding.todo)) == (state, state is State.ADVICE)


@pytest.mark.parametrize(
    ("age", "state", "told"),
    [
        ("now", State.OK, "good until 2099-01-01, "),
        ("expired", State.FAULT, "has expired on 2020-01-02"),
        ("not yet", State.FAULT, "is not good yet"),
    ],
)
def test_its_dates(tmp_path: Path, age: str, state: State, told: str) -> None:
    """Told in days, with what to do where it isn't good now."""
    date, mode = shown(Authority(tmp_path / "authority"), age=age)
    assert (date.state, mode.state) == (state, State.OK)
    assert told in date.text
    if age == "now":
        left = (datetime(2099, 1, 1, tzinfo=UTC) - datetime.now(UTC)).days
        assert any(f", {days} days more" in date.text for days in (left, left + 1))


def test_one_that_ends_soon(tmp_path: Path) -> None:
    """A self-signed one of two days: it works, and should be renewed."""
    authority = Authority(tmp_path / "authority")
    tls = {"PLUTO_PROXY_SERVER__TLS_CERT": str(authority.path), "PLUTO_PROXY_SERVER__TLS_KEY": str(authority.key)}
    date, _ = check_certificate(config("127.0.0.1:1", **tls))
    assert (date.state, "2 days more" in date.text, "renew" in date.todo) == (State.ADVICE, True, True)


@pytest.mark.parametrize(
    ("mode", "state"),
    [
        (0o600, State.OK),
        (0o640, State.OK),
        (0o644, State.ADVICE),
    ],
)
def test_the_keys_mode(tmp_path: Path, mode: int, state: State) -> None:
    """As that of the shared key's file: others may do nothing with it."""
    _, found = shown(Authority(tmp_path / "authority"), mode=mode)
    assert (found.check, found.state, "chmod o=" in found.todo) == ("tls key", state, state is State.ADVICE)


def test_a_pair_that_cannot_be_used(tmp_path: Path) -> None:
    """It is a fault, with the reason that serving would give."""
    tls = {"PLUTO_PROXY_SERVER__TLS_CERT": str(tmp_path / "a"), "PLUTO_PROXY_SERVER__TLS_KEY": str(tmp_path / "b")}
    [finding] = check_certificate(config("127.0.0.1:1", **tls))
    assert (finding.state, finding.text) == (State.FAULT, f"server.tls_cert: {tmp_path / 'a'} is not there")
