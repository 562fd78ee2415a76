"""A cache file of a newer release, as who goes back to an older one meets it."""

import sqlite3
from pathlib import Path

from proxy.store.sqlite.schema import APPLICATION_ID, SCHEMA_VERSION
from tests.support.processes import run
from tests.support.world import KEY


async def test_it_is_left_whole(tmp_path: Path) -> None:
    """Serving refuses in one line that says what to do, so does exporting, and the doctor tells it; nobody touches the file."""
    path = tmp_path / "c" / "c.sqlite"
    path.parent.mkdir(mode=0o700)
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in (
        f"PRAGMA application_id = {APPLICATION_ID}",
        f"PRAGMA user_version = {SCHEMA_VERSION + 1}",
        "CREATE TABLE unheard_of (a)",
    ):
        connection.execute(statement)
    connection.close()
    path.chmod(0o600)
    before = path.read_bytes()
    variables = {"PLUTO_API_KEY": KEY, "PLUTO_PROXY_CACHE": str(path), "PLUTO_PROXY_UPSTREAM": "http://127.0.0.1:9"}
    status, output, errors = await run("serve", PLUTO_PROXY_LISTEN="127.0.0.1:0", **variables)
    assert (status, output) == (1, "")
    told = [line for line in errors.splitlines() if line.startswith("pluto-proxy: ")]
    assert len(told) == 1
    assert "left as it is" in told[0]
    assert f"schema {SCHEMA_VERSION + 1}" in told[0]
    assert "run that version, or set cache.path to another file" in told[0]
    status, _, errors = await run("cache", "export", str(tmp_path / "copy"), **variables)
    assert status == 1
    assert "newer version" in errors
    status, output, _ = await run("doctor", PLUTO_PROXY_LISTEN="127.0.0.1:0", **variables)
    assert status == 1
    lines = output.splitlines()
    place = next(number for number, line in enumerate(lines) if line.split()[:2] == ["fault", "store"])
    said = " ".join(" ".join(lines[place : place + 3]).split())
    assert "newer version" in said
    assert "serving refuses it" in said
    assert path.read_bytes() == before
    assert {other.name for other in path.parent.iterdir()} <= {path.name, f"{path.name}.lock"}
