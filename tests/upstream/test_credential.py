"""The shared key's file, while it is rotated."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from proxy.config import KeySource
from proxy.upstream.credential import Credential, read_source
from tests.support.descriptors import no_descriptors

OLD, NEW = "mlpi_old", "mlpi_new"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "folder" / "key"
    found.parent.mkdir()
    found.write_text(OLD)
    return found


@pytest.fixture
def credential(path: Path) -> Credential:
    return Credential(read_source(KeySource(path=path)))


def test_a_rotation_while_nothing_can_be_opened(path: Path, credential: Credential) -> None:
    """The new key is in use as soon as its file can be read, though it has not changed since."""
    path.write_text(NEW)
    with no_descriptors():
        assert [credential.current().secret for _ in range(3)] == [OLD] * 3
    assert credential.current().secret == NEW


def test_what_is_logged(path: Path, credential: Credential) -> None:
    """Why the old key stays: once for each reason, however often the key is asked for, and again if it comes back."""
    away = path.parent.with_name("away")
    with capture_logs() as lines:
        for _ in range(2):
            path.parent.rename(away)
            for _ in range(3):
                assert credential.current().secret == OLD
            away.rename(path.parent)
            assert credential.current().secret == OLD
        for text in ("", "two words", NEW):
            path.write_text(text)
            for _ in range(3):
                assert credential.current().secret == (NEW if text == NEW else OLD)
    assert [line["event"] for line in lines] == ["key.kept"] * 4 + ["key.rotated"]
    reasons = [line["reason"].removeprefix(f"PLUTO_API_KEY_FILE: {path}") for line in lines[:-1]]
    assert reasons[0] == reasons[1] == " cannot be read: No such file or directory"
    assert len(set(reasons)) == 3
    assert not any(secret in str(lines) for secret in (OLD, NEW))


def test_a_key_that_is_handed_in(path: Path, credential: Credential) -> None:
    """What was wrong before is forgotten."""
    path.write_text("")
    with capture_logs() as lines:
        assert credential.current().secret == OLD
        path.write_text(NEW)
        credential.renew(read_source(KeySource(path=path)))
        path.write_text("")
        assert credential.current().secret == NEW
    assert [line["event"] for line in lines] == ["key.kept", "key.rotated", "key.kept"]
