"""Upstreams that sample by another rule than the documented one."""

from collections.abc import Callable
from typing import Any

import msgspec

from tests.support.oracle import permitted
from tests.support.oracle_upstream import OracleUpstream, asked_of, target
from tests.support.world import World

LONG = 1_300


def rows_in(body: bytes) -> list[Any]:
    rows: list[Any] = msgspec.json.decode(body)["metrics"]
    return rows


def printed(rows: list[Any]) -> bytes:
    return msgspec.json.encode({"metrics": rows})


def no_last_row(upstream: OracleUpstream) -> Callable[[Any], bytes]:
    """The last row of what is sampled is left out."""

    def answer(query: Any) -> bytes:
        asked = asked_of(query)
        rows = rows_in(next(permitted(upstream.rows.values(), asked)))
        return printed(rows[:-1] if asked.limit < len(upstream.rows) else rows)

    return answer


async def ask(running: World, raw: str) -> bytes:
    reply = await running.get(target(raw))
    assert reply.status == 200
    await running.parts.proof.checks.settled()
    return reply.body
