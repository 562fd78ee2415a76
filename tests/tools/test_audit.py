"""The audit of what is depended on: by a pip-audit and an npm that are made up, and by the real pip-audit."""

import json
import os
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.install.wheels import pins
from tests.release.building import ROOT, TOOLS, bare, run

LOCKS = [path.name for path in ROOT.glob("requirements*.lock") if path.name != "requirements-pip.lock"]
# It answers as is said for a package, "none" for all others, and leaves out what is to be left out.
PIP_AUDIT = """
import json, os, sys
said = json.loads(os.environ["SAID"])
asked = [line.split("==") for line in open(sys.argv[sys.argv.index("--requirement") + 1]).read().split()]
assert len({name for name, _ in asked}) == len(asked), "one of each"
open(os.environ["CALLS"], "a").write(f"{len(asked)}\\n")
if "fails" in said:
    sys.exit(said["fails"])
found = [{"name": n, "version": v, "vulns": []} | said.get(n, {}) for n, v in asked if said.get(n, {}) is not None]
print(json.dumps({"dependencies": found}))
sys.exit(1)
"""
NPM = '#!/bin/sh\ntest "$1" = audit || exit 3\ncat "$REPORT"\nexit 1\n'
REFUSED = {"message": "405 Method Not Allowed", "statusCode": 405}


@dataclass(frozen=True, slots=True, kw_only=True)
class Clone:
    """A clone with programs of its own. `said`: what pip-audit says of packages. `report`: what npm does."""

    root: Path
    said: dict[str, Any] = field(default_factory=dict)
    report: dict[str, Any] = field(default_factory=lambda: {"auditReportVersion": 2, "vulnerabilities": {}})

    async def audit(self, *options: str, **variables: str) -> tuple[int, list[str]]:
        """Run the tool; return its exit status and the lines that it says."""
        (self.root / "report.json").write_text(json.dumps(self.report))
        environ = {
            **bare(self.root / "home"),
            "PATH": f"{self.root / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "SAID": json.dumps(self.said),
            "CALLS": str(self.root / "calls"),
            "REPORT": str(self.root / "report.json"),
            **variables,
        }
        status, said = await run(sys.executable, "tools/audit.py", *options, cwd=self.root, environ=environ)
        return status, said.splitlines()


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    """A clone in which nothing is known against anything."""
    root = tmp_path / "clone"
    for folder in ("tools", "bin", ".venv/release"):
        (root / folder).mkdir(parents=True)
    for name in (*LOCKS, "package-lock.json", "tools/audit.py", "tools/page.py", "tools/sbom.py"):
        shutil.copy(ROOT / name, root / name)
    (root / ".venv" / "release" / "pip_audit.py").write_text(PIP_AUDIT)
    for name, text in (("node", "#!/bin/sh\necho v24.1.0\n"), ("npm", NPM)):
        (root / "bin" / name).write_text(text)
        (root / "bin" / name).chmod(0o755)
    return Clone(root=root)


async def test_nothing_is_known(clone: Clone) -> None:
    """Every package of every lock file is asked about, in each release that is locked."""
    assert await clone.audit() == (0, ["audit: nothing is known against what the lock files name"])
    asked = sum(map(int, (clone.root / "calls").read_text().split()))
    assert asked == len({pin for name in LOCKS for pin in pins((ROOT / name).read_text())})


async def test_something_is_known(clone: Clone) -> None:
    """It is told with the lock files that name the package, and with what mends it; of the page's packages likewise."""
    clone.said["aiohttp"] = {"vulns": [{"id": "CVE-1", "fix_versions": ["9.9"]}, {"id": "CVE-2", "fix_versions": []}]}
    clone.report["vulnerabilities"] = {"uplot": {"severity": "high"}}
    status, lines = await clone.audit()
    assert status == 1
    assert len(lines) == 3
    assert lines[0].startswith("audit: aiohttp ")
    assert "requirements.lock" in lines[0]
    assert lines[0].endswith("CVE-1, fixed in 9.9")
    assert lines[1].endswith("CVE-2, fixed in no release")
    assert lines[2] == "audit: package-lock.json: uplot: high"


@pytest.mark.parametrize("skipped", [{"skip_reason": "not found"}, {"version": "0.0.1"}, None])
async def test_a_package_that_was_skipped(clone: Clone, skipped: dict[str, str] | None) -> None:
    """Whether pip-audit says so, answers for another release, or not at all: that is no audit."""
    clone.said["yarl"] = skipped if skipped is None or "version" in skipped else {"version": None, **skipped}
    status, lines = await clone.audit()
    assert status == 2
    [line] = lines
    assert " 1 of " in f" {line}"
    assert "were not audited" in line


async def test_programs_that_fail(clone: Clone) -> None:
    """Nothing that they say by failing passes for nothing found."""
    clone.said["fails"] = "no such service"
    clone.report.clear()
    clone.report.update(REFUSED)
    status, lines = await clone.audit()
    assert status == 2
    assert lines[-1].startswith("audit: package-lock.json: npm could not audit it")
    assert all("no such service" in line for line in lines[:-1])
    assert len(lines) > 1


async def test_without_npm(clone: Clone) -> None:
    """The page's packages can't be asked about then."""
    (clone.root / "bin" / "node").write_text("#!/bin/sh\necho v12.0.0\n")
    status, lines = await clone.audit(PATH=str(clone.root / "bin"))
    assert status == 2
    assert "there is no Node" in lines[-1]


async def test_the_real_one(clone: Clone) -> None:
    """The real pip-audit, asking a service of our own: it is understood when it finds something, and when it is refused."""
    shutil.rmtree(clone.root / ".venv" / "release")
    (clone.root / ".venv" / "release").symlink_to(TOOLS)
    affected = {"package": {"name": "aiohttp", "ecosystem": "PyPI"}}
    known = {"id": "CVE-3", "summary": "s", "affected": [affected], "modified": "2026-01-01T00:00:00Z"}

    async def answer(request: web.BaseRequest) -> web.Response:
        if request.path == "/refusing":
            return web.Response(status=503)
        asked = await request.json()
        return web.json_response({"vulns": [known]} if asked["package"]["name"] == "aiohttp" else {})

    async with answering(answer) as url:
        for path, expected in (("/answering", 1), ("/refusing", 2)):
            options = ("--vulnerability-service=osv", f"--osv-url={url}{path}")
            status, lines = await clone.audit(*options, NO_PROXY="127.0.0.1", no_proxy="127.0.0.1")
            assert status == expected
            if status == 1:
                [line] = lines
                assert line.startswith("audit: aiohttp ")
                assert line.endswith("CVE-3, fixed in no release")
            else:
                assert all("were not audited" in line for line in lines)


@asynccontextmanager
async def answering(handle: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    """Answer every request on a port of loopback with one handler; give the base URL."""
    runner = web.ServerRunner(web.Server(handle))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
