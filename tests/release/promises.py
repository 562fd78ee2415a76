"""What a release promises to the next ones, as it is now: its settings, and what `/admin/` says.

python -m tests.release.promises    writes tests/data/promises/VERSION.*; see docs/releases.md
"""

import asyncio
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from proxy import __version__
from proxy.config import load
from tests.support.world import QUESTION, world

ROOT = Path(__file__).parents[2]
KEPT = Path(__file__).parents[1] / "data" / "promises"
EXAMPLE = ROOT / "config" / "pluto-proxy.toml"


async def promised() -> dict[str, Any]:
    """Return the names of the settings, and the form of every document of `/admin/`, of a proxy that has served a little."""
    with tempfile.TemporaryDirectory() as folder:
        async with world(Path(folder) / "cache") as running:
            for _ in range(2):
                assert (await running.get(QUESTION)).status == 200
            running.advance(10)
            running.parts.history.record()
            admin = {path: _form((await running.get(path)).json) for path in ("/admin/state", "/admin/usage", "/admin/history")}
            async with running.session.post(f"{running.url}/admin/purge", json={"run": 1}) as purged:
                admin["/admin/purge"] = _form(json.loads(await purged.read()))
    settings = load(None, {}).config.model_dump(mode="json")
    return {"settings": sorted(name for name, _ in _leaves(settings)), "admin": admin}


def _form(document: Any) -> dict[str, str]:
    return dict(sorted(_leaves(document)))


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield the names of a document's fields, joined by dots, and their JSON types. A list is told by its first element."""
    match value:
        case dict() if value:
            for key, inner in value.items():
                yield from _leaves(inner, f"{name}.{key}".lstrip("."))
        case [first, *_]:
            yield from _leaves(first, f"{name}[]")
        case bool():
            yield name, "boolean"
        case int() | float():
            yield name, "number"
        case str():
            yield name, "string"
        case None:
            yield name, "null"
        case _:
            yield name, "empty"


def main() -> None:
    """Write what is promised now."""
    KEPT.mkdir(exist_ok=True)
    now = asyncio.run(promised())
    (KEPT / f"{__version__}.json").write_text(json.dumps(now, indent=2) + "\n")
    shutil.copyfile(EXAMPLE, KEPT / f"{__version__}.toml")


if __name__ == "__main__":
    main()
