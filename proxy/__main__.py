"""`python -m proxy`, and the command `pluto-proxy`."""

import gc
import sys

# What is imported stays: looking through it again and again for garbage would take a tenth of the start. `proxy.cli.serve`
# turns it on again.
gc.disable()

from proxy.cli import main  # noqa: E402 -- see above

if __name__ == "__main__":
    sys.exit(main())
