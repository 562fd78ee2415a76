"""`python -m proxy`, and the command `pluto-proxy`."""

import gc
import signal
import sys

# What would end the process before it can say what it does about it (`proxy.cli.signals`).
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2})

# What is imported stays: looking through it again and again for garbage would take a tenth of the start. `proxy.cli.serve`
# turns it on again.
gc.disable()

# structlog would load rich for tracebacks that the log doesn't want (`proxy.log`): that is 20 ms of the start, and some memory.
# The commands that draw load it themselves.
sys.modules["rich"] = None  # type: ignore[assignment]  # so that importing it fails
import structlog  # noqa: E402, F401 -- see above

del sys.modules["rich"]

from proxy.cli import main  # noqa: E402 -- see above

if __name__ == "__main__":
    sys.exit(main())
