"""`pluto-proxy cache`: what is cached, purging, and carrying the cache file to another machine."""

import argparse
import asyncio
import re
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from itertools import islice

from proxy.cli.output import Table, note, size, span, write, write_json, write_table
from proxy.cli.place import Place, place_of
from proxy.cli.running import reaching, told
from proxy.config import Config
from proxy.errors import CommandError, ConfigError
from proxy.store.sqlite.carrying import Listed, Progress, export_file, import_file, list_entries

# Nobody reads all of it.
_DIGEST = re.compile(r"\b([0-9a-f]{8})[0-9a-f]{24}\b")
_NAMES = ("project", "run", "metric")


def run_cache(arguments: argparse.Namespace, environ: Mapping[str, str], config: Config) -> int:
    """Run the action and return the exit status. Raises CommandError, ConfigError, StoreError, OSError."""
    match arguments.action:
        case "list":
            _list(arguments, config)
        case "export":
            _export(arguments, config)
        case "import":
            _import(arguments, config)
        case action:
            place = place_of(arguments.url, arguments.token_file, environ, config, ca_file=arguments.ca_file)
            asyncio.run(_stats(place, arguments) if action == "stats" else _purge(place, arguments))
    return 0


async def _stats(place: Place, arguments: argparse.Namespace) -> None:
    async with reaching(place) as proxy:
        state = (await proxy.ask("/admin/state")).document()
        usage = (await proxy.ask("/admin/usage")).document()
    if arguments.json:
        write_json({"state": state, **usage})
        return
    store = state.get("store")
    held = store if isinstance(store, dict) else {}
    rows = [
        ["answers in memory", f"{held.get('memory_entries')}", size(_number(held, "memory_bytes"))],
        ["entries on disk", f"{held.get('disk_entries')}", size(_number(held, "disk_bytes"))],
        ["series in memory", "", size(_number(state, "series_bytes"))],
    ]
    write_table(Table(headings=["held", "number", "size"], rows=rows, numbers=frozenset({1, 2})))
    write("")
    tokens = usage.get("tokens")
    used = [one for one in tokens if isinstance(one, dict)] if isinstance(tokens, list) else []
    write_table(
        Table(
            headings=["token", "requests", "calls", "sent"],
            rows=[
                [
                    str(one.get("token") or "(none)"),
                    f"{one.get('requests')}",
                    f"{one.get('upstream_calls')}",
                    size(_number(one, "body_bytes")),
                ]
                for one in used
            ],
            numbers=frozenset({1, 2, 3}),
        )
    )


def _number(document: Mapping[str, object], name: str) -> float:
    value = document.get(name)
    return float(value) if isinstance(value, int | float) else 0.0


async def _purge(place: Place, arguments: argparse.Namespace) -> None:
    named = {name: value for name in _NAMES if (value := getattr(arguments, name)) is not None}
    if bool(named) == arguments.everything:
        raise ConfigError(["name what to purge with --project, --run or --metric, or say --everything, not both"])
    what: Mapping[str, object] = named or {"everything": True}
    async with reaching(place) as proxy:
        reply = await proxy.post("/admin/purge", {**what, "mode": "soft" if arguments.soft else "hard"})
    if reply.status != 200:
        raise CommandError(told(reply))
    purged = reply.document()
    if arguments.json:
        write_json(purged)
        return
    counts = ", ".join(f"{name} {value}" for name, value in purged.items() if name not in {"purged", "mode", "on_disk"})
    later = "" if purged.get("on_disk") else "; the cache file is purged once it can be written"
    note(f"purged ({purged.get('mode')}): {counts}{later}")


def _list(arguments: argparse.Namespace, config: Config) -> None:
    chosen = {name: getattr(arguments, name) for name in _NAMES}
    if chosen["run"] is not None and not chosen["run"].isdecimal():
        raise ConfigError([f"--run must be a run's number, not {chosen['run']!a}"])
    found = [*islice(list_entries(config.cache.path, **chosen), arguments.limit + 1)]
    shown = found[: arguments.limit]
    if arguments.json:
        write_json({"entries": [asdict(one) for one in shown], "more": len(found) > len(shown)})
        return
    now_s = time.time()
    table = Table(
        headings=["age", "size", "stored", "what"], rows=[_row(one, now_s) for one in shown], numbers=frozenset({0, 1, 2})
    )
    write_table(table)
    if len(found) > len(shown):
        note(f"there are more than these {len(shown)}: --limit shows more")


def _row(one: Listed, now_s: float) -> list[str]:
    return [span(max(0.0, now_s - one.sent_at_s)), size(one.body_bytes), size(one.blob_bytes), _DIGEST.sub(r"\1...", one.key)]


def _export(arguments: argparse.Namespace, config: Config) -> None:
    export_file(config.cache.path, arguments.file)
    written = arguments.file.stat().st_size
    if arguments.json:
        write_json({"file": str(arguments.file), "bytes": written})
    else:
        note(f"{arguments.file} is written, {size(written)}; `pluto-proxy cache import` takes it in elsewhere")


def _import(arguments: argparse.Namespace, config: Config) -> None:
    cache = config.cache
    with _progress() as progress:
        imported = import_file(
            arguments.file,
            cache.path,
            now_s=time.time(),
            max_bytes=int(cache.max_bytes),
            replace=arguments.replace,
            progress=progress,
        )
    taken = cache.path.stat().st_size
    if arguments.json:
        write_json({"file": str(cache.path), "bytes": taken, **asdict(imported)})
        return
    note(
        f"{cache.path} has {imported.entries} entries, {size(taken)}; `pluto-proxy serve --offline` serves it without pluto-api"
    )
    if imported.purged:
        note(f"{imported.purged} entries were left out, since they were purged after {arguments.file} was written")
    if not imported.knows_purges:
        note(f"what was purged after {arguments.file} was written isn't known here: purge it again")
    if taken > cache.max_bytes:
        note(f"that is more than cache.max_bytes ({size(cache.max_bytes)}): what wasn't used for long will be evicted")


@contextmanager
def _progress() -> Iterator[Progress]:
    """Show how far it is on standard error, where that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    from rich.console import Console  # noqa: PLC0415 -- takes longer to load than most commands run
    from rich.progress import Progress as Bar  # noqa: PLC0415 -- as above

    with Bar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("verifying")
        yield lambda done, total: bar.update(task, completed=done, total=total)
