"""Commands run in a terminal of 80 columns."""

import asyncio
import fcntl
import os
import pty
import re
import struct
import sys
import termios

from tests.support.processes import PATIENCE_S, ROOT, environment

COLUMNS, LINES = 80, 30
# As a session of its own, whose terminal this is: Ctrl-C reaches it.
_PROGRAM = """
import fcntl, os, runpy, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
runpy.run_module("proxy", run_name="__main__")
"""
# What rich writes: colours, and moving about for what is renewed.
_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """A command whose standard streams are a terminal."""

    def __init__(self, process: asyncio.subprocess.Process, master: int) -> None:
        self._process = process
        self._master = master
        self.raw = ""
        """What it has written so far."""

    @property
    def text(self) -> str:
        """The same without what only a terminal obeys."""
        return _SEQUENCE.sub("", self.raw)

    async def shows(self, text: str) -> None:
        """Wait until it has written something."""
        async with asyncio.timeout(PATIENCE_S):
            while text not in self.text and await self._read():
                pass
        assert text in self.text

    def press(self, keys: bytes) -> None:
        """Type."""
        os.write(self._master, keys)

    async def ended(self) -> int:
        """Wait for its end and return the exit status."""
        async with asyncio.timeout(PATIENCE_S):
            while await self._read():
                pass
            return await self._process.wait()

    def close(self) -> None:
        """End it, if it hasn't ended."""
        if self._process.returncode is None:
            self._process.kill()
        os.close(self._master)

    async def _read(self) -> bool:
        try:
            content = await asyncio.to_thread(os.read, self._master, 65_536)
        except OSError:
            return False  # the other side is closed
        self.raw += content.decode(errors="replace")
        return bool(content)


async def in_terminal(*arguments: str, **variables: str) -> Terminal:
    """Start `python -m proxy` in a terminal of its own."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    variables = {"TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "LINES": str(LINES), **variables}
    environ = {name: value for name, value in environment(**variables).items() if name != "NO_COLOR"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _PROGRAM, *arguments, env=environ, cwd=ROOT, stdin=slave, stdout=slave, stderr=slave
    )
    os.close(slave)
    return Terminal(process, master)


async def shown_in_terminal(*arguments: str, **variables: str) -> tuple[int, Terminal]:
    """Run a command in a terminal to its end; return its exit status and what it showed."""
    terminal = await in_terminal(*arguments, **variables)
    try:
        return await terminal.ended(), terminal
    finally:
        terminal.close()


def widest(terminal: Terminal) -> int:
    """Return how many columns the longest line takes."""
    return max(map(len, re.split(r"[\r\n]+", terminal.text)))
