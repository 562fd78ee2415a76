"""CPU a request: that threads and workers are counted, and that a load that went wrong counts for nothing."""

import asyncio
import sys

from tests.bench.cpu.usage import run_ns, used_ns

_SPUN_NS = 200_000_000
_SPIN = """
import time
while time.thread_time() < 0.2:
    pass
"""
_THREAD_AND_WORKER = f"""
import subprocess, sys, threading
ended = threading.Event()
def spin():
    exec({_SPIN!r})
    ended.wait()
threading.Thread(target=spin).start()
worker = subprocess.Popen([sys.executable, "-c", {_SPIN + "input()"!r}], stdin=subprocess.PIPE)
print("began", flush=True)
input()
ended.set()
worker.communicate(b"end")
"""


async def test_threads_and_workers_are_counted() -> None:
    """What a server's thread and its worker process have run is known; what they ran before the first look isn't counted."""
    piped = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", _THREAD_AND_WORKER, stdin=piped, stdout=piped)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"began\n"
    async with asyncio.timeout(30):
        while not _spun(process.pid):  # noqa: ASYNC110 -- no event tells it
            await asyncio.sleep(0.01)
    looked = run_ns(process.pid)
    assert used_ns({}, looked) >= 2 * _SPUN_NS
    assert used_ns(looked, run_ns(process.pid)) < _SPUN_NS
    await process.communicate(b"end\n")


def _spun(pid: int) -> bool:
    ran = [ns for (process, thread), ns in run_ns(pid).items() if process != pid or thread != pid]
    return len(ran) == 2 and min(ran) >= _SPUN_NS
