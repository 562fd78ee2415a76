"""The upstream's own Python client reads through the proxy what it reads directly."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

from proxy.standin import Standin, StandinConfig, StepMode
from tests.process.support import PATIENCE_S, environment
from tests.support import DATA, world

CLIENT = Path(sys.prefix) / "client"
SCRIPT = """
import json, sys, warnings
warnings.simplefilter("ignore")
from pluto.query import Client
answers = []
with Client(api_token="mlpi_standin_key", host=sys.argv[1]) as client:
    for question in json.loads(sys.argv[2]):
        answers.append(client.get_metrics("demo", **question))
print(repr(answers))
"""
QUESTIONS: list[dict[str, object]] = [
    {"run_id": 1},
    {"run_id": 1, "metric_names": ["loss", "train/loss"], "limit": 100},
    {"run_id": 2, "metric_names": ["train/loss"]},
    {"run_id": 2, "metric_names": ["train/loss"], "step_min": 4000, "step_max": 4500},
    {"run_id": 3, "limit": 7},
    {"run_id": 999},
]


async def ask(url: str) -> str:
    """Run the client in an interpreter of its own, which alone sees its packages."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        SCRIPT,
        url,
        json.dumps(QUESTIONS),
        env=environment(PYTHONPATH=str(CLIENT)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(PATIENCE_S):
        output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return output.decode()


@pytest.mark.parametrize("mode", ["unquoted", "quoted"])
async def test_the_same_through_the_proxy(tmp_path: Path, mode: str) -> None:
    """Equal results, types included, as a miss and as a hit; the proxy spares the upstream the second round."""
    standin = Standin(StandinConfig(mode=StepMode(mode)))
    standin.rows.load_csv(DATA / "rows.csv.gz")
    async with world(tmp_path, standin=standin) as running:
        directly = await ask(running.upstream)
        calls = running.metrics_calls
        assert len(directly) > 100_000
        assert await ask(running.url) == directly
        assert running.metrics_calls == 2 * calls
        assert await ask(running.url) == directly
        assert running.metrics_calls == 2 * calls
