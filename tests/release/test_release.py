"""`make release`, in a repository of its own."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from proxy import __version__
from tests.release.building import PATIENCE_S, Built, copy

GIT = shutil.which("git")
# Nobody's own settings.
NOBODY = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    **{f"GIT_{who}_{what}": "somebody@localhost" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
}


def call(root: Path, *command: str) -> tuple[int, str]:
    environ = {"PATH": os.environ["PATH"], "HOME": str(root), "PYTHONDONTWRITEBYTECODE": "1", **NOBODY}
    done = subprocess.run(  # noqa: S603 -- it is what is tested
        command, cwd=root, env=environ, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    return done.returncode, done.stdout + done.stderr


def release(root: Path) -> tuple[int, str]:
    return call(root, sys.executable, str(root / "tools" / "release.py"))


def commit(root: Path) -> None:
    for command in (("add", "--all"), ("commit", "--quiet", "--message", "one")):
        status, said = call(root, "git", *command)
        assert status == 0, said


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Return a repository with the checkout, which has notes of this version."""
    if GIT is None:
        pytest.skip("there is no git")
    root = copy(tmp_path / "repository")
    call(root, "git", "init", "--quiet")
    notes = root / "CHANGELOG.md"
    notes.write_text(notes.read_text().replace("## [Unreleased]", f"## [Unreleased]\n\n## [{__version__}] - 2026-12-01", 1))
    commit(root)
    return root


def test_it_is_the_commit(repository: Path, built: Built) -> None:
    """The files have what is committed, whatever lies around; they are those that anybody builds; their digests are told."""
    (repository / ".coverage").write_text("left by tests")
    # The page's files are ignored by git: npm fetches them, or here what hands out what it once fetched.
    programs = repository.parent / "programs"
    programs.mkdir()
    vendor = repository / "proxy" / "page" / "vendor"
    (programs / "node").write_text("#!/bin/sh\necho v22.1.0\n")
    (programs / "npm").write_text(
        "#!/bin/sh\nmkdir -p node_modules/uplot/dist\n"
        f'cp "{vendor}/uPlot.iife.min.js" "{vendor}/uPlot.min.css" node_modules/uplot/dist\n'
        f'cp "{vendor}/uPlot.LICENSE" node_modules/uplot/LICENSE\n'
    )
    for name in ("node", "npm"):
        (programs / name).chmod(0o755)
    environ = f"{programs}{os.pathsep}{os.environ['PATH']}"
    status, said = call(repository, "env", f"PATH={environ}", sys.executable, "tools/release.py")
    assert status == 0, said
    digests = {}
    for line in (repository / "dist" / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split()
        assert hashlib.sha256((repository / "dist" / name).read_bytes()).hexdigest() == digest
        digests[name] = digest
    assert len(digests) == 2
    assert digests[built.wheel.name] == hashlib.sha256(built.wheel.read_bytes()).hexdigest()
    assert f"git tag -a v{__version__}" in said


def test_what_is_not_committed(repository: Path) -> None:
    """Nothing is built of it."""
    (repository / "README.md").write_text("changed")
    status, said = release(repository)
    assert (status, said) == (1, "release: commit what has changed first: README.md\n")
    assert not (repository / "dist").exists()


@pytest.mark.parametrize(
    ("name", "expected"),
    [("CHANGELOG.md", "has no heading"), (f"tests/data/promises/{__version__}.json", "python -m tests.release.promises")],
)
def test_what_a_release_needs(repository: Path, name: str, expected: str) -> None:
    """Notes of this version, and what it promises."""
    path = repository / name
    path.unlink() if path.suffix == ".json" else path.write_text("## [Unreleased]\n")
    commit(repository)
    status, said = release(repository)
    assert status == 1
    assert expected in said


def test_a_version_that_there_was(repository: Path) -> None:
    """A tag stays where it is."""
    call(repository, "git", "tag", f"v{__version__}")
    (repository / "README.md").write_text("another")
    commit(repository)
    status, said = release(repository)
    assert (status, said) == (1, f"release: v{__version__} is another commit: choose the next version\n")


def test_the_version_stands_in_one_place() -> None:
    """Nothing that is built with it has another one."""
    root = Path(__file__).parents[2]
    assert __version__ not in (root / "pyproject.toml").read_text()
    assert "version" not in json.loads((root / "package.json").read_text())
