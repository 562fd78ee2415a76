"""The files in `deploy/`: what they name exists (`test_names`), and what they start starts (`containers`).

`deploy/check` has the programs that they are for look at them. It asks `chart` and `containers`, which need what
`make deployment` installs.
"""

from pathlib import Path

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
