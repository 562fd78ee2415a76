"""The files in `deploy/`: what they name exists (`test_names`), and what they start starts.

`deploy/check` has the programs that they are for look at them. It asks these, which need what `make deployment` installs:

| module | what it looks at |
|---|---|
| `chart` | the Helm chart, by Helm's own engine |
| `containers` | the proxy with what a container would find |
| `fronts` | nginx and Caddy before a server that tells what it got |
| `boards` | the queries of Grafana's boards |
"""

from pathlib import Path

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
