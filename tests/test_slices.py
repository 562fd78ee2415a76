"""Long work on the event loop: others have their turn in between, and nothing else is different."""

import asyncio
from time import sleep

import pytest

from proxy import slices
from proxy.core.pieces import Work
from proxy.slices import in_slices, joined
from proxy.upstream import client

LARGE = 2**21


async def test_others_have_their_turn() -> None:
    """Work that takes several slices is left after each of them, and its result is returned."""
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    def work() -> Work[int]:
        for _ in range(5):
            sleep(slices.SLICE_S * 1.1)
            yield None
        return turns

    task = asyncio.create_task(other())
    assert await in_slices(work()) >= 4
    task.cancel()


async def test_short_work_is_done_at_once() -> None:
    """What takes less than a slice doesn't let anybody in between."""
    began = asyncio.create_task(asyncio.sleep(0))

    def work() -> Work[bool]:
        yield None
        return began.done()

    assert not await in_slices(work())
    await began


async def test_what_work_raises() -> None:
    """An error is the caller's."""

    def work() -> Work[None]:
        yield None
        raise ValueError("no good")

    with pytest.raises(ValueError, match="no good"):
        await in_slices(work())


@pytest.mark.parametrize("size", [1, LARGE])
async def test_what_is_put_together(size: int) -> None:
    """Work is given what it wants put together, however large it is."""
    parts = [b"a" * size, b"b"]

    def work() -> Work[bytes]:
        return (yield parts)

    assert await in_slices(work()) == await joined(parts) == b"".join(parts)


@pytest.mark.parametrize(
    ("body", "right"),
    [
        (b'{"metrics":[{"a":1},{"a":2}]}', True),
        (b'{"metrics":[{"a":1},{"a":' + b" " * LARGE + b"2}]}", True),
        (b'{"metrics":[{"a":1},{"a":' + b" " * LARGE + b"x}]}", False),
        (b'{"metrics":[' + b'{"a":1},' * 100_000 + b'{"a":2}]}', True),
        (b'{"metrics":[' + b'{"a":1},' * 100_000 + b'{"a":x}]}', False),
        # Rows within rows: no piece can be read, the whole can.
        (b'{"metrics":[{"a":[' + b'{"a":1},' * 100_000 + b'{"a":2}]}]}', True),
    ],
    ids=["small", "one long row", "one long row that is wrong", "many rows", "a wrong one among many", "nested"],
)
async def test_large_bodies_are_checked(body: bytes, right: bool) -> None:
    """A body is right where the check accepts all of it, whether it can be cut or not."""

    def check(piece: bytes) -> None:
        if b"x" in piece or piece.count(b"[") != piece.count(b"]") or not piece.endswith(b"]}"):
            raise ValueError("not right")

    if right:
        await client.check_body(body, check)
    else:
        with pytest.raises(ValueError, match="not right"):
            await client.check_body(body, check)
