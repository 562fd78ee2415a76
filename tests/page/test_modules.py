"""The page's pure modules, tested by Node itself; this runs these tests among the others."""

import asyncio
import sys
from pathlib import Path

from tests.support.programs import left_out

ROOT = Path(__file__).parents[2]
PAGE = (sys.executable, str(ROOT / "tools" / "page.py"))


async def run(*arguments: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *PAGE, *arguments, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


async def test_the_pages_own_modules() -> None:
    """Every file of tests beside this one passes."""
    if (await run("have"))[0]:
        left_out("there is no Node that is new enough; on Debian: apt-get install nodejs npm")
    files = sorted(map(str, Path(__file__).parent.glob("*.test.js")))
    assert files
    status, said = await run("node", "--test", *files)
    assert status == 0, said
