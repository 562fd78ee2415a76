"""A release, built once for all tests of it."""

from pathlib import Path

import pytest

from tests.install.wheels import repack
from tests.release.building import ROOT, TOOLS, Built, build, copy, unpack
from tests.support.programs import need_drawing


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the checkout, with what the page draws with."""
    assert TOOLS.is_dir(), "run the tests by `make test`, which installs what they need"
    need_drawing()
    return copy(tmp_path_factory.mktemp("source") / "checkout")


@pytest.fixture(scope="session")
def built(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Return a release. The wheel is made from the source distribution, as an installer would."""
    folder = tmp_path_factory.mktemp("built")
    sdist = build("sdist", source, folder / "sdist")
    unpacked = unpack(sdist, folder / "unpacked")
    return Built(sdist=sdist, unpacked=unpacked, wheel=build("wheel", unpacked, folder / "wheel"))


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a wheel of each package that serving takes, in place of an index."""
    folder = tmp_path_factory.mktemp("wheels")
    repack((ROOT / "requirements.lock").read_text(), folder)
    return folder
