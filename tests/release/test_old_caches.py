"""Cache files that earlier versions wrote: they are taken over, with all that they hold. `make_old_cache` made them."""

import gzip
import hashlib
import json
from pathlib import Path

import aiohttp
import pytest

from proxy.core.series.heads import LAYOUT
from proxy.store.sqlite.schema import SCHEMA_VERSION
from tests.support.processes import proxy_process

CACHES = Path(__file__).parents[1] / "data" / "caches"
NAMES = sorted(path.stem for path in CACHES.glob("*.json"))
# Its series weren't proven to be whole: answers are kept, and series are asked for anew.
UNPROVEN = "schema-1-layout-1"


@pytest.mark.parametrize("name", NAMES)
async def test_it_is_taken_over(name: str, tmp_path: Path) -> None:
    """Without the upstream, what was asked then is answered as then; what was known of series answers what was not asked."""
    told = json.loads((CACHES / f"{name}.json").read_text())
    path = tmp_path / "cache" / "cache.sqlite"
    path.parent.mkdir(mode=0o700)
    path.write_bytes(gzip.decompress((CACHES / f"{name}.sqlite.gz").read_bytes()))
    answered: dict[str, str] = {}
    for taken_over in (name.startswith("schema-1-"), False):
        variables = {"PLUTO_PROXY_UPSTREAM": told["upstream"], "PLUTO_PROXY_CACHE": str(path)}
        async with proxy_process("serve", "--offline", **variables) as running, aiohttp.ClientSession() as session:
            for target in told["asked"] | told["computed"]:
                async with session.get(running.url + target) as response:
                    body = await response.read()
                    if response.status == 200:
                        answered[target] = hashlib.sha256(body).hexdigest()
            assert await running.terminate() == 0
        assert ("store.taken_over" in running.log) is taken_over
        assert "set_aside" not in running.log
    right = told["asked"] | told["computed"]
    assert answered.items() <= right.items()
    lacking = {target for target in right if "logName" in target and "limit=5" not in target} if name == UNPROVEN else set()
    assert set(right) - set(answered) == lacking
    assert not [*path.parent.glob("*.set-aside-*")]


def test_there_is_one_of_each_layout() -> None:
    """What is written to the file has changed: the next release needs an old file of this one. See docs/releases.md."""
    assert f"schema-{SCHEMA_VERSION}-layout-{LAYOUT}" in NAMES
