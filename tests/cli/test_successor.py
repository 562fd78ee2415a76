"""SIGUSR2: which process is started, and where none is."""

import os
import sys
from pathlib import Path

from structlog.testing import capture_logs

from proxy.cli.successor import Successor

# It notes its arguments and what it was told of a supervisor, once it is let go.
PROGRAM = """
import os, pathlib, sys, time
folder = pathlib.Path(sys.argv[1])
while not (folder / "go").exists():
    time.sleep(0.01)
(folder / "notes").write_text(f"{sys.argv[2:]} {os.environ.get('LISTEN_FDS')}")
"""


def successor(folder: Path, *, pid: int) -> Successor:
    return Successor([sys.executable, "-c", PROGRAM, str(folder), "serve"], {**os.environ, "LISTEN_FDS": "1"}, pid=pid)


def test_it_has_the_command_of_this_one(tmp_path: Path) -> None:
    """Told to take over, and without what a supervisor said to this process alone. There is one at a time."""
    found = successor(tmp_path, pid=4711)
    with capture_logs() as logs:
        found.start()
        found.start()
    assert [line["event"] for line in logs] == ["restart.started", "restart.under_way"]
    (tmp_path / "go").touch()
    started = found._started  # noqa: SLF001 -- a process's end is its parent's to see
    assert started is not None
    assert started.wait(30) == 0
    assert (tmp_path / "notes").read_text() == "['serve', '--takeover'] None"


def test_the_first_process_of_a_container_stays(tmp_path: Path) -> None:
    """All processes of a container end with its first one: it starts none, and says why."""
    (tmp_path / "go").touch()
    with capture_logs() as logs:
        successor(tmp_path, pid=1).start()
    [line] = logs
    assert line["event"] == "restart.not_started"
    assert "container" in line["reason"]


def test_a_command_that_is_gone(tmp_path: Path) -> None:
    """It is logged, and this process goes on."""
    with capture_logs() as logs:
        Successor([str(tmp_path / "none")], {}, pid=4711).start()
    assert [(line["event"], line["reason"]) for line in logs] == [("restart.not_started", "No such file or directory")]
