"""Runs tests against a copy of the program that has one fault."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[2]
# A mutant that never ends was caught, too.
_LONGEST_S = 90.0
_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Mutant:
    """A fault: in a file below `proxy`, the one place with the text `old` says `new` instead. `tests` must catch it."""

    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    @property
    def name(self) -> str:
        """What it is, on one line."""
        old, new = (" ".join(text.split()) for text in (self.old, self.new))
        return f"{self.file}: {old} -> {new or 'nothing'}"

    def write(self, folder: Path) -> None:
        """Put it into a copy of the program. Raises ValueError unless `old` occurs exactly once."""
        path = folder / "proxy" / self.file
        text = path.read_text()
        if text.count(self.old) != 1:
            raise ValueError(f"{self.file} has this {text.count(self.old)} times: {self.old}")
        path.write_text(text.replace(self.old, self.new))


def caught_by(mutant: Mutant | None, *tests: str) -> str | None:
    """Return the first of a mutant's tests that fails, None where all pass. Without one: of the program itself."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("proxy", "tests"):
            shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
        shutil.copy(ROOT / "pyproject.toml", folder)
        if mutant is not None:
            mutant.write(folder)
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-x",
            "-p",
            "no:cacheprovider",
            *(tests or mutant.tests if mutant else tests),
        ]
        try:
            ended = subprocess.run(  # noqa: S603 -- the tests of this very program
                command, cwd=folder, capture_output=True, text=True, timeout=_LONGEST_S, check=False
            )
        except subprocess.TimeoutExpired:
            return "it never ended"
    if ended.returncode == 0:
        return None
    if ended.returncode != 1:
        raise RuntimeError(f"no tests were run: {ended.stdout}{ended.stderr}")
    found = _FAILED.search(ended.stdout)
    return found[1] if found else "an error"


def results(mutants: Sequence[Mutant], *, at_once: int = 2) -> Iterator[tuple[Mutant, str | None]]:
    """Yield each mutant and what has caught it, None where it survived."""
    with ThreadPoolExecutor(at_once) as pool:
        yield from zip(mutants, pool.map(caught_by, mutants), strict=True)
