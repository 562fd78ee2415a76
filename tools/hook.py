"""What hatchling calls while it builds: it puts the page's files and the bill of materials into what is built.

The source distribution has the page's files as well, so that building the wheel from it takes neither Node nor a network.
"""

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

sys.path.insert(0, str(Path(__file__).parent.parent))

from tools import page, sbom


class BuildHook(BuildHookInterface):  # type: ignore[type-arg]  # its config is hatchling's own affair
    """Fetches the page's files, so that users need no Node, and writes the bill. Nothing is built without them."""

    def dependencies(self) -> list[str]:
        """Return what brings npm where there is none and the page's files aren't there."""
        return page.needs(Path(self.root))

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Fetch and write, but for an editable installation: there `make` fetches, and gets along without."""
        if version == "editable":
            return
        root = Path(self.root)
        page.fetch(root)
        if self.target_name == "wheel":
            self._folder = Path(tempfile.mkdtemp())
            bill = self._folder / sbom.FILE
            bill.write_text(sbom.text_of(self.metadata.version, root), encoding="utf-8", newline="\n")
            build_data["sbom_files"].append(str(bill))

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002 -- as its base
        """Remove what was written."""
        if self.target_name == "wheel" and version != "editable":
            shutil.rmtree(self._folder)
