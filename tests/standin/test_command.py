"""The stand-in as a process of its own."""

import asyncio
import signal
import sys
from pathlib import Path

import aiohttp
import pytest

from proxy.standin.__main__ import main

CSV = (
    "run_id,project,log_group,log_name,time,step,value,tenant\n"
    '7,demo,g,"a\nb",2026-01-01 00:00:00.000,18446744073709551615,1.0,org_demo\n'
)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_it_serves_until_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    """One line says where; rows, mode and key are as told; it ends with 0."""
    file = tmp_path / "rows.csv"
    file.write_text(CSV)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "proxy.standin", "--rows", str(file), "--mode", "quoted", "--live", "1",
        "--finished", "0", "--latency-ms", "1", "--rate", "2", "--key", "mlpi_mine", stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    async with asyncio.timeout(30):
        url = (await process.stdout.readline()).decode().strip()
        async with aiohttp.ClientSession(headers={"Authorization": "Bearer mlpi_mine"}) as session:
            async with session.get(f"{url}/api/runs/metrics?runId=7&projectName=demo") as answer:
                rows = (await answer.json())["metrics"]
            async with session.get(f"{url}/_standin/counters") as answer:
                counters = await answer.json()
        assert [(row["logName"], row["logGroup"], row["step"]) for row in rows] == [("a\nb", "g", "18446744073709551615")]
        assert counters["by_fault"] == {"hold": 1}
        process.send_signal(number)
        assert await process.wait() == 0
        assert await process.stdout.read() == b""


@pytest.mark.parametrize("arguments", [["--listen", "nowhere"], ["--listen", "a:b"], ["--mode", "other"]])
def test_a_wrong_argument_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """With status 2 and the usage, before anything is served."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage" in capsys.readouterr().err
