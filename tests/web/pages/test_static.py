"""The page's files, as they are served."""

import gzip
import re
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from proxy.web.pages.static import FOLDER, open_page
from tests.support.programs import need_drawing
from tests.support.tokens import guarded
from tests.support.world import World, world

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'"
)


@pytest.fixture(autouse=True)
def _what_it_draws_with_is_there() -> None:
    need_drawing()


async def test_the_page(tmp_path: Path) -> None:
    """It comes as HTML that may take nothing from elsewhere, and so do its files; what they are is said."""
    async with world(tmp_path) as running:
        for path, content_type in (
            ("/", "text/html; charset=utf-8"),
            ("/page/main.js", "text/javascript; charset=utf-8"),
            ("/page/css/base.css", "text/css; charset=utf-8"),
            ("/page/vendor/uPlot.iife.min.js", "text/javascript; charset=utf-8"),
            ("/page/icon.svg", "image/svg+xml"),
        ):
            reply = await running.get(path)
            assert reply.status == 200
            assert reply.headers["Content-Type"] == content_type
            assert reply.headers["Content-Security-Policy"].startswith(POLICY)
            assert "trusted-types 'none'" in reply.headers["Content-Security-Policy"]
            assert reply.headers["X-Content-Type-Options"] == "nosniff"
            assert reply.headers["Referrer-Policy"] == "no-referrer"
            assert reply.headers["Cache-Control"] == "no-cache"


async def test_every_file_that_is_named_is_there(tmp_path: Path) -> None:
    """What one of the files takes from another one is served, whatever it is."""
    async with world(tmp_path) as running:
        missing = [name for name in await named(running, "/", set()) if (await running.get(name)).status != 200]
        assert missing == []


def test_every_module_is_loaded_at_once() -> None:
    """The page names all of them, so that the browser needn't find them one after the other."""
    modules = {f"/page/{path.relative_to(FOLDER).as_posix()}" for path in FOLDER.rglob("*.js") if path.parent.name != "vendor"}
    text = (FOLDER / "index.html").read_text()
    assert set(re.findall(r'modulepreload" href="([^"]+)"', text)) == modules - {"/page/main.js"}


async def named(running: World, path: str, seen: set[str]) -> set[str]:
    """Return the paths that a file names, and those that these name."""
    text = (await running.get(path)).body.decode()
    folder = path.rpartition("/")[0]
    for part in text.split('"')[1::2]:
        if part.startswith("/page/"):
            found = part
        elif part.startswith(("./", "../")) and part.endswith(".js"):
            found = str(Path(f"{folder}/{part}").resolve())
        else:
            continue
        if found not in seen:
            seen.add(found)
            await named(running, found, seen)
    return seen


async def test_a_file_that_the_browser_has(tmp_path: Path) -> None:
    """It is not sent again; HEAD says what GET would; compressed it is the same."""
    async with world(tmp_path) as running:
        plain = await running.get("/page/main.js")
        packed = await running.get("/page/main.js", Accept_Encoding="br, gzip")
        assert gzip.decompress(packed.body) == plain.body
        assert packed.headers["Content-Encoding"] == "gzip"
        for tags in (plain.headers["ETag"], f'"other", {packed.headers["ETag"]}'):
            again = await running.get("/page/main.js", If_None_Match=tags)
            assert (again.status, again.body) == (304, b"")
            assert again.headers["Content-Security-Policy"] == plain.headers["Content-Security-Policy"]
        head = await running.get("/page/main.js", method="HEAD")
        assert (head.status, head.body, head.headers["Content-Length"]) == (200, b"", str(len(plain.body)))


@pytest.mark.parametrize(
    "path",
    [
        "/page/",
        "/page/index.html",
        "/page/types.d.ts",
        "/page/vendor/integrity",
        "/page/../proxy/__init__.py",
        "/page/%2e%2e/__init__.py",
        "/page//main.js",
        "/page/main%2ejs",
        "/index.html",
    ],
)
async def test_nothing_else_is_a_file(tmp_path: Path, path: str) -> None:
    """Only names in the table are; a path is compared as it comes."""
    async with world(tmp_path) as running:
        assert (await running.get(path)).status == 404


async def test_who_may_have_it(tmp_path: Path) -> None:
    """It takes no token, for a browser has none yet; but networks and names of hosts hold, and it is for reading."""
    async with guarded(tmp_path) as running:
        assert (await running.get("/")).status == 200
        assert (await running.get("/", Host="evil.example")).status == 421
        assert (await running.get("/", method="POST")).status == 405
    async with world(tmp_path / "networks", access__networks="203.0.113.0/24") as running:
        assert (await running.get("/")).status == 403


def test_without_what_it_draws_with(tmp_path: Path) -> None:
    """No page is served, and one line says so, and what to do."""
    (tmp_path / "index.html").write_text("<p>")
    with capture_logs() as lines:
        assert open_page(tmp_path) == {}
    [line] = lines
    assert "make page" in line["detail"]
