"""CPU a request: that threads and workers are counted, and that a load that went wrong counts for nothing."""

import asyncio
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy.core.freshness.entry import Coding
from tests.bench.bodies import LARGE, SMALL, answer_to, grown
from tests.bench.contestants import Case, Ready
from tests.bench.cpu import rounds
from tests.bench.cpu.files import CADDY, FLOOR, NGINX_FILES, Prepared, files
from tests.bench.cpu.load import Loaded, Reader, leanest, load
from tests.bench.cpu.rounds import Window, window
from tests.bench.cpu.usage import run_ns, used_ns
from tests.bench.exchange import UnexpectedError, get
from tests.bench.load import Expected
from tests.bench.packaged import PATH
from tests.bench.processes import Server, ahead_of_others, serving
from tests.support.processes import ROOT, environment

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


@pytest.fixture
async def floor(tmp_path: Path) -> AsyncIterator[Server]:
    async with serving(tmp_path, "tests.bench.cpu.floor", "asyncio", cpu=None) as server:
        yield server


@pytest.mark.parametrize("reader", Reader)
@pytest.mark.parametrize(("points", "not_modified"), [(SMALL, False), (SMALL, True), (LARGE, False)])
async def test_every_load_counts_answers_and_bytes(floor: Server, reader: Reader, points: int, not_modified: bool) -> None:
    """Each answer comes on some connection, in as many bytes as it has, and the server has run for it."""
    if reader is Reader.WRK and leanest(1) is not Reader.WRK:
        pytest.skip("wrk isn't installed")
    case = Case(points=points, coding=Coding.IDENTITY, not_modified=not_modified)
    ready = await Prepared(server=floor, name=FLOOR).prepare(case)
    found = await window(floor, ready, reader, connections=3, seconds=1 if reader is Reader.WRK else 0.1)
    assert found.loaded.answers >= 3
    assert 0 < found.cpu_us < 1e6
    assert 0 < found.loaded.p50_ms <= found.loaded.p99_ms


@pytest.mark.parametrize("reader", [Reader.KEPT, Reader.NEW])
@pytest.mark.parametrize(("status", "more_bytes"), [(304, 0), (200, -1)], ids=["status", "length"])
async def test_a_wrong_answer_ends_the_load(floor: Server, reader: Reader, status: int, more_bytes: int) -> None:
    """An answer of another status or length fails the run instead of being counted."""
    ready = await Prepared(server=floor, name=FLOOR).prepare(Case(points=SMALL, coding=Coding.IDENTITY))
    expected = Expected(status=status, body_bytes=ready.expected.body_bytes + more_bytes)
    with pytest.raises(UnexpectedError, match="did not finish"):
        await load(floor.port, Ready(request=ready.request, expected=expected), reader, connections=2, seconds=0.1)


async def test_bytes_that_do_not_fit_end_the_run(floor: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """wrk looks at no answer: were they others than the one that was looked at, they would be of other bytes."""
    ready = await Prepared(server=floor, name=FLOOR).prepare(Case(points=SMALL, coding=Coding.IDENTITY))

    async def loaded(*_: object, **__: object) -> Loaded:
        return Loaded(answers=10, elapsed_s=1.0, received_bytes=10_000, p50_ms=1.0, p99_ms=1.0, load_cpu_s=0.0)

    monkeypatch.setattr(rounds, "load", loaded)
    with pytest.raises(UnexpectedError, match="10 answers"):
        await window(floor, ready, Reader.WRK, connections=1, seconds=1)


async def test_wrk_tells_of_wrong_answers(tmp_path: Path) -> None:
    """A status that says of an error, or a connection that breaks, fails the run."""
    if leanest(1) is not Reader.WRK:
        pytest.skip("wrk isn't installed")
    async with serving(tmp_path, "tests.bench.bare", "asyncio", cpu=None) as bare:
        ready = Ready(request=get("/nothing"), expected=Expected(status=200, body_bytes=1))
        with pytest.raises(UnexpectedError, match="wrong answers"):
            await load(bare.port, ready, Reader.WRK, connections=1, seconds=1)


async def test_files_are_the_answers(tmp_path: Path) -> None:
    """nginx and Caddy, where they are installed, have both answers as files."""
    async with files(tmp_path, None, ["nginx"]) as found:
        for server in found:
            for points in (SMALL, LARGE):
                ready = await server.prepare(Case(points=points, coding=Coding.IDENTITY))
                assert ready.expected == Expected(status=200, body_bytes=len(answer_to(points, 0)))
            assert run_ns(server.server.pid)
    assert {server.name for server in found} == {
        name for name, program in ((NGINX_FILES, "nginx"), (CADDY, "caddy")) if shutil.which(program, path=PATH)
    }


def test_what_comes_first_goes_back() -> None:
    """Afterwards this process, and its session, have the place among others that they had before."""
    before = _place()
    if before[0] < 0:
        pytest.skip("it comes first anyway")
    try:
        with ahead_of_others():
            assert os.getpriority(os.PRIO_PROCESS, 0) < 0
    except UnexpectedError:
        pytest.skip("only root may")
    assert _place() == before


def _place() -> tuple[int, str]:
    session = Path("/proc/self/autogroup")
    return os.getpriority(os.PRIO_PROCESS, 0), session.read_text() if session.exists() else ""


def test_what_goes_on_beside_is_told_apart() -> None:
    """10 ms of CPU are 100 µs for each of 100 answers, and 50 µs without 5 polls of 1 ms."""
    loaded = Loaded(answers=100, elapsed_s=1.0, received_bytes=1, p50_ms=1.0, p99_ms=1.0, load_cpu_s=0.0)
    found = Window(loaded=loaded, polls=5, used_ns=10_000_000, elapsed_s=1.0)
    assert (found.cpu_us, found.net_us(1000.0), found.share) == (100.0, 50.0, 0.01)


def test_who_asks() -> None:
    """wrk counts in whole seconds: shorter windows are for the load that needs nothing installed."""
    assert leanest(0.5) is Reader.KEPT


async def test_an_earlier_state_is_run_from_its_own_code(tmp_path: Path) -> None:
    """What is run is the code in the named folder, not what is installed or lies in the folder that it is started in."""
    (tmp_path / "proxy").mkdir()
    (tmp_path / "proxy" / "__init__.py").touch()
    (tmp_path / "proxy" / "__main__.py").write_text("import sys\nprint('earlier', sys.argv[1:])\n")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.cpu.earlier", "serve"),
        env=environment(BENCH_CODE=str(tmp_path)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    assert output == b"earlier ['serve']\n"


def test_a_run_that_grows_has_another_answer_each_time() -> None:
    """Its rows stay JSON of the same shape; what doesn't grow stays as it is."""
    body = answer_to(SMALL, 0)
    first, second = (grown("growing-20-wait-0", body, calls) for calls in (1, 2))
    assert first != second
    assert len(json.loads(first)["metrics"]) == len(json.loads(second)["metrics"]) == SMALL
    assert grown("points-20-wait-0", body, 1) == body
