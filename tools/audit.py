"""Asks whether something is known against the packages of the lock files, and fails where that cannot be learned.

    python tools/audit.py [OPTION...]    the options go to pip-audit, such as --vulnerability-service osv

pip-audit asks about the Python packages and npm about those of the page. Both count what they could not ask about as nothing
found: pip-audit skips it, npm says so in its report only. Here every package of a lock file has to have an answer, those that
are for other machines too.

Exit status 0: nothing is known. 1: something is. 2: something could not be asked about.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tools import page, sbom

ROOT = Path(__file__).parent.parent
# Where `make` puts pip-audit.
_TOOLS = ROOT / ".venv" / "release"
# Not the oldest pip that `make` gets along with: it is tried in a test, on wheels of the test's own.
_LOCKS = (
    "requirements.lock",
    "requirements-dev.lock",
    "requirements-client.lock",
    "requirements-deployment.lock",
    "requirements-node.lock",
    "requirements-docs.lock",
    "requirements-release.lock",
)
_PATIENCE_S = 600
Package = tuple[str, str]
"""A package's name, in its one spelling, and its version."""


@dataclass(slots=True, kw_only=True)
class Findings:
    """What is known against packages, and what could not be asked about: a line for each."""

    known: list[str] = field(default_factory=list)
    unasked: list[str] = field(default_factory=list)


def main(options: Sequence[str]) -> int:
    """See the module's docstring. Return the exit status."""
    found = Findings()
    for asked in _rounds(_pins()):
        _ask_pip_audit(asked, options, found)
    _ask_npm(found)
    for line in [*found.known, *found.unasked]:
        sys.stderr.write(f"audit: {line}\n")
    if found.unasked:
        return 2
    if found.known:
        return 1
    sys.stdout.write("audit: nothing is known against what the lock files name\n")
    return 0


def _pins() -> dict[Package, list[str]]:
    """Return all that the lock files name, and which of them name it."""
    pins: dict[Package, list[str]] = {}
    for name in _LOCKS:
        for one in {(_spelled(one.name), one.version) for one in sbom.locked((ROOT / name).read_text(encoding="utf-8"))}:
            pins.setdefault(one, []).append(name)
    return dict(sorted(pins.items()))


def _rounds(pins: dict[Package, list[str]]) -> Iterator[dict[Package, list[str]]]:
    """Share packages out so that none is named twice in a round, since pip-audit takes one release of each."""
    rest = pins
    while rest:
        # Of several releases the last one stays.
        chosen = dict([*rest])
        now = {package: names for package, names in rest.items() if chosen[package[0]] == package[1]}
        yield now
        rest = {package: names for package, names in rest.items() if package not in now}


def _ask_pip_audit(pins: dict[Package, list[str]], options: Sequence[str], found: Findings) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asked = Path(folder, "requirements.txt")
        # Without markers and hashes: pip-audit would leave out what is for other machines.
        asked.write_text("".join(f"{name}=={version}\n" for name, version in pins), encoding="utf-8")
        command = [sys.executable, "-m", "pip_audit", "--requirement", str(asked), "--no-deps", "--disable-pip"]
        environ = {**os.environ, "PYTHONPATH": str(_TOOLS)}
        said = _run([*command, "--progress-spinner=off", "--format=json", *options], environ)
    answered = set[Package]()
    reasons = set[str]()
    for one in _dependencies(said):
        if "skip_reason" in one:
            reasons.add(str(one["skip_reason"]))
            continue
        package = (_spelled(str(one.get("name"))), str(one.get("version")))
        answered.add(package)
        vulns = one.get("vulns")
        for fault in vulns if isinstance(vulns, list) else []:
            fixed = ", ".join(fault.get("fix_versions") or ()) or "no release"
            where = ", ".join(pins.get(package, ()))
            found.known.append(f"{package[0]} {package[1]} ({where}): {fault.get('id')}, fixed in {fixed}")
    if missing := [package for package in pins if package not in answered]:
        why = min(reasons, default=_last_line(said.stderr))
        found.unasked.append(f"{len(missing)} of {len(pins)} Python packages were not audited: {why}")


def _dependencies(said: "subprocess.CompletedProcess[str]") -> Iterator[dict[str, object]]:
    try:
        report = json.loads(said.stdout)
    except ValueError:
        return
    yield from report.get("dependencies", ())


def _ask_npm(found: Findings) -> None:
    if (npm := page.command("npm")) is None:
        found.unasked.append(f"package-lock.json: {page.MISSING}")
        return
    said = _run([*npm, "audit", "--json", "--package-lock-only"], dict(os.environ))
    try:
        report = json.loads(said.stdout)
        vulnerable = report["vulnerabilities"]
    except (ValueError, KeyError, TypeError):
        found.unasked.append(f"package-lock.json: npm could not audit it: {_last_line(said.stderr)}")
        return
    found.known += [f"package-lock.json: {name}: {one.get('severity')}" for name, one in vulnerable.items()]


def _run(command: Sequence[str], environ: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(  # noqa: S603 -- commands of our own
            command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=_PATIENCE_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        return subprocess.CompletedProcess(command, 1, "", f"it did not run to its end ({type(exc).__name__})")


def _last_line(text: str) -> str:
    """Return what a program said last, but for where its log lies."""
    lines = [line for line in text.splitlines() if line.strip() and "complete log" not in line]
    return lines[-1].strip()[:300] if lines else "it said nothing"


def _spelled(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
