"""The certificate that is in use, while its files change."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from proxy.web.encryption.certificate import PERIOD_S, Certificate
from proxy.web.encryption.pair import read_chain
from tests.support.certificates import Authority, shown_by
from tests.support.descriptors import no_descriptors
from tests.support.world import ManualClock


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """Some pairs, and where the one is that is used."""

    pairs: Sequence[tuple[Path, Path]]
    certificate: Path
    key: Path

    def put(self, certificate: int, key: int) -> None:
        """Put a certificate and a key there; they needn't belong together."""
        for number, (source, place) in enumerate(((certificate, self.certificate), (key, self.key))):
            new = place.with_suffix(".new")
            shutil.copy(self.pairs[source][number], new)
            new.replace(place)

    def leaf(self, number: int) -> bytes:
        return read_chain(self.pairs[number][0])[0]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("pairs")
    authority = Authority(folder / "authority")
    pairs = [authority.issue(f"pair{number}") for number in range(3)]
    return Files(pairs=pairs, certificate=folder / "tls.crt", key=folder / "tls.key")


def opened(files: Files, clock: ManualClock) -> Certificate:
    files.put(0, 0)
    return Certificate(files.certificate, files.key, clock)


# What is put there: a certificate's and a key's number, nothing, or what is neither.
STATES = st.one_of(st.tuples(st.integers(0, 2), st.integers(0, 2)), st.sampled_from(["gone", "damaged"]))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.lists(st.tuples(STATES, st.sampled_from([0.0, PERIOD_S / 3, PERIOD_S, 10 * PERIOD_S])), max_size=8))
def test_the_last_good_pair_is_shown(files: Files, steps: list[tuple[object, float]]) -> None:
    """Whatever becomes of the files: within PERIOD_S a good pair is in use, until then and with any other the one before."""
    clock = ManualClock()
    certificate = opened(files, clock)
    shown, looked_s = 0, clock.monotonic_s()
    for state, later_s in steps:
        match state:
            case (int(one), int(other)):
                files.put(one, other)
            case "gone":
                files.key.unlink(missing_ok=True)
            case _:
                files.certificate.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        clock.advance(later_s)
        looks = clock.monotonic_s() - looked_s >= PERIOD_S
        good = next((number for number in range(3) if holds(files, number)), None)
        if looks:
            looked_s = clock.monotonic_s()
            shown = shown if good is None else good
            assert (certificate.trouble is None) == (good is not None)
        assert shown_by(certificate.context) == files.leaf(shown)
        assert certificate.remaining_s > 0


def holds(files: Files, number: int) -> bool:
    certificate, key = files.pairs[number]
    return (
        files.key.exists()
        and files.certificate.read_bytes() == certificate.read_bytes()
        and files.key.read_bytes() == key.read_bytes()
    )


def test_what_the_log_says(files: Files) -> None:
    """A pair that can't be used is told once for each reason, and so is a new one. No key is in it."""
    clock = ManualClock()
    certificate = opened(files, clock)
    with capture_logs() as lines:
        for one, other in ((0, 1), (0, 1), (2, 2)):
            files.put(one, other)
            for _ in range(3):
                clock.advance(PERIOD_S)
                assert certificate.context is not None
    assert [line["event"] for line in lines] == ["certificate.kept", "certificate.read"]
    assert lines[0]["reason"].endswith(f"is not the key of the first certificate in {files.certificate}")
    assert lines[1]["days"] > 20_000
    assert not any("PRIVATE" in str(line) for line in lines)


def test_rights_that_come_back(files: Files, tmp_path: Path) -> None:
    """A file that can be read again is read though nothing of it has changed."""
    clock = ManualClock()
    place = tmp_path / "there"
    place.mkdir()
    moved = Files(pairs=files.pairs, certificate=place / "tls.crt", key=place / "tls.key")
    certificate = opened(moved, clock)
    place.rename(tmp_path / "away")
    clock.advance(PERIOD_S)
    assert certificate.trouble is not None
    (tmp_path / "away").rename(place)
    clock.advance(PERIOD_S)
    assert certificate.trouble is None


def test_a_change_while_nothing_can_be_opened(files: Files) -> None:
    """The new pair is shown as soon as it can be read, though it has not changed since."""
    clock = ManualClock()
    certificate = opened(files, clock)
    files.put(1, 1)
    clock.advance(PERIOD_S)
    old = files.leaf(0)
    with no_descriptors():
        assert certificate.trouble is not None
        assert shown_by(certificate.context) == old
    clock.advance(PERIOD_S)
    assert shown_by(certificate.context) == files.leaf(1)
    assert certificate.trouble is None
