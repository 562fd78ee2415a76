"""What a run was made on: figures of different machines are not comparable, ratios roughly are."""

import os
import platform
import re
from pathlib import Path

import aiohttp

from tests.bench.processes import Placement
from tests.bench.world import Plan


def describe(plan: Plan, placement: Placement, event_loop: str) -> str:
    """Return the lines that a report begins with."""
    cpus = os.cpu_count() or 1
    averages = ", ".join(f"{average:.1f}" for average in os.getloadavg())
    system = f"{cpus} CPU{'s' if cpus > 1 else ''}, {platform.system()} {platform.machine()}"
    python = f"{platform.python_implementation()} {platform.python_version()}"
    rounds = f"{plan.rounds} rounds of {plan.seconds:g} s for each server, in turns, after {plan.warm_up_s:g} s to warm up"
    return f"""\
- machine: {_cpu()}, {system}; load average before the run {averages}
- {python}, aiohttp {aiohttp.__version__}; event loop of the proxy and the bare handler: {event_loop}
- {_where(placement)}
- hits: {rounds}; ratios are of neighbouring rounds
"""


def _where(placement: Placement) -> str:
    if placement.server is None:
        return "nothing is pinned to a CPU: servers, load and upstream share what there is"
    return f"servers pinned to CPU {placement.server}, load and upstream to CPU {placement.load}"


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*: (.+)$", info.read_text(), re.MULTILINE) if info.exists() else None
    return found[1] if found else platform.processor() or platform.machine()
