"""What tests take of the machine, and what becomes of them where it isn't there."""

import os
import shutil
from typing import NoReturn

import pytest

from proxy.web.pages.static import DRAWING, FOLDER


def left_out(lacking: str) -> NoReturn:
    """Leave this test out for want of something; with `make test PROGRAMS=must`, as in CI, it fails instead."""
    if os.environ.get("PROGRAMS") == "must":
        pytest.fail(lacking, pytrace=False)
    pytest.skip(lacking)


def need(*programs: str) -> None:
    """Leave this test out where a program is not on the PATH. By these names Debian's packages are called, too."""
    if missing := [name for name in programs if shutil.which(name) is None]:
        left_out(f"there is no {' and no '.join(missing)}; on Debian: apt-get install {' '.join(missing)}")


def need_drawing() -> None:
    """Leave this test out where what the page draws with was not fetched."""
    if not all((FOLDER / name).is_file() for name in DRAWING):
        left_out("what the page draws with was not fetched; to try again: make page")
