"""The files that are written from the code."""

from collections.abc import Mapping
from pathlib import Path

from tools.reference.answers import errors_page, outcomes_page
from tools.reference.commands import commands_page
from tools.reference.metrics import metrics_page
from tools.reference.routes import routes_page
from tools.reference.settings import annotated_file, configuration_page

ROOT = Path(__file__).parents[2]


def pages() -> Mapping[str, str]:
    """Return the text of each file by its path in the repository."""
    return {
        "config/pluto-proxy.toml": annotated_file(),
        "docs/reference/configuration.md": configuration_page(),
        "docs/reference/metrics.md": metrics_page(),
        "docs/reference/outcomes.md": outcomes_page(),
        "docs/reference/errors.md": errors_page(),
        "docs/reference/routes.md": routes_page(),
        "docs/reference/commands.md": commands_page(),
    }
