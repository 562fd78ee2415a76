"""Tell which of the pages that were built load something from another host: `python -m tools.built_pages FOLDER`.

The documentation is read behind firewalls, too. Links that a reader may follow lead anywhere.
"""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path

_OUTSIDE = re.compile(r"\s*(?:https?:)?//\S", re.IGNORECASE)
_LOADING = re.compile(r"""(?:url\(|@import)\s*["']?((?:https?:)?//[^"')\s]+)""", re.IGNORECASE)
# `rel` of links that a browser follows by itself.
_FOLLOWED = {"stylesheet", "icon", "shortcut icon", "preload", "modulepreload", "preconnect", "dns-prefetch", "manifest"}
_READ = {".css", ".html", ".svg"}


class _Reader(HTMLParser):
    """Collects what a page loads from other hosts."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._in_style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """See HTMLParser."""
        values = {name: value or "" for name, value in attrs}
        loads = [values.get(name, "") for name in ("src", "srcset", "poster", "data")]
        if tag == "link" and values.get("rel", "").lower() in _FOLLOWED:
            loads.append(values.get("href", ""))
        if tag in {"image", "use"}:
            loads += [values.get("href", ""), values.get("xlink:href", "")]
        self.found += [address for address in loads if _OUTSIDE.match(address)]
        self.found += _LOADING.findall(values.get("style", ""))
        self._in_style = tag == "style"

    def handle_data(self, data: str) -> None:
        """See HTMLParser."""
        if self._in_style:
            self.found += _LOADING.findall(data)

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002 -- as its base
        """See HTMLParser."""
        self._in_style = False


def loaded_from_outside(path: Path) -> list[str]:
    """Return the addresses on other hosts that a page, a picture or a style sheet loads by itself."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".css":
        return _LOADING.findall(text)
    reader = _Reader()
    reader.feed(text)
    return reader.found


def main(folder: Path) -> int:
    """Look at everything in a folder; return the exit status."""
    faulty, looked_at = False, 0
    for path in sorted(folder.rglob("*")):
        if path.suffix in _READ:
            looked_at += 1
            for address in loaded_from_outside(path):
                faulty = True
                sys.stderr.write(f"{path}: {address} would be loaded from another host\n")
    if not looked_at:
        sys.stderr.write(f"{folder}: there are no pages\n")
    return 1 if faulty or not looked_at else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
