"""`python -m proxy`, the same as the command `pluto-proxy`."""

import sys

from proxy.cli import main

sys.exit(main())
