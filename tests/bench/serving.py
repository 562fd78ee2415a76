"""How the bench's own servers listen: on a free port of loopback, which they tell on standard error."""

import asyncio
import sys

from aiohttp import web


async def listen(app: web.Application) -> None:
    """Serve until the process is ended."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
    sys.stderr.write(f"listening on http://127.0.0.1:{runner.addresses[0][1]}\n")
    sys.stderr.flush()
    await asyncio.Event().wait()
