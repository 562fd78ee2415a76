"""All that ends leases: tokens revoked and restored, purges, other keys, an upstream that goes away and comes back."""

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from proxy.core.access.grants import BEARER_PREFIX
from proxy.standin import GrowthConfig
from proxy.standin.auth import DEFAULT_KEYS
from proxy.store.token_file import edit_tokens
from tests.bench.exchange import ask
from tests.bench.processes import Server, serving
from tests.soak.leases.past import Absence, Past
from tests.support.tokens import token

# Two keys of one organization.
KEYS = tuple(key.text for key in DEFAULT_KEYS[:2])
READERS, REVOKED, ADMIN = ("first", "second"), "revoked", "admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Often:
    """How often something happens, in seconds, and for how long the upstream is gone."""

    revoked_s: float = 2.5
    purged_s: float = 2.0
    rotated_s: float = 7.0
    restarted_s: float = 45.0
    gone_s: float = 3.0


class Unrest:
    """Makes things happen, and notes when."""

    def __init__(
        self, folder: Path, past: Past, growth: GrowthConfig, runs: Sequence[int], upstream_port: int, often: Often
    ) -> None:
        self.tokens, self.key = folder / "tokens.json", folder / "key"
        self.pages = 0
        """How many requests were sent from here, and from `page`."""
        self._folder = folder
        self._past = past
        self._growth = growth
        self._runs = runs
        self._port = upstream_port
        self._often = often
        self._dice = random.Random(37)  # noqa: S311 -- no secret depends on it
        self._upstream = AsyncExitStack()
        self._write_tokens(revoked=False)
        self._write_key(KEYS[0])

    async def begin(self) -> None:
        """Start the upstream."""
        await self._upstream.enter_async_context(
            serving(self._folder, "tests.soak.leases.origin", json.dumps(asdict(self._growth)), str(self._port), cpu=None)
        )

    async def aclose(self) -> None:
        """Stop the upstream."""
        await self._upstream.aclose()

    async def run(self, proxy: Server, seconds: float) -> None:
        """Let everything happen for so long; what has begun by then is brought to its end."""
        until_s, often = time.monotonic() + seconds, self._often

        async def again(every_s: float, happen: Callable[[], Awaitable[None]]) -> None:
            while (pause_s := every_s * self._dice.uniform(0.7, 1.3)) + time.monotonic() < until_s:
                await asyncio.sleep(pause_s)
                await happen()

        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(seconds))
            group.create_task(again(often.revoked_s, self._revoke))
            group.create_task(again(often.purged_s, lambda: self._purge(proxy)))
            group.create_task(again(often.rotated_s, self._rotate))
            group.create_task(again(often.restarted_s, self._restart))

    async def _revoke(self) -> None:
        one = Absence(going_s=time.time())
        self._past.revocations.append(one)
        self._write_tokens(revoked=True)
        one.gone_s = time.time()
        await asyncio.sleep(self._often.revoked_s * self._dice.uniform(0.7, 1.3))
        one.coming_s = time.time()
        self._write_tokens(revoked=False)
        one.back_s = time.time()

    async def _purge(self, proxy: Server) -> None:
        run = self._dice.choice((None, *self._runs))
        body = json.dumps({"everything": True} if run is None else {"run": run})
        lines = (
            "POST /admin/purge HTTP/1.1",
            "Host: 127.0.0.1",
            f"Authorization: Bearer {BEARER_PREFIX}{ADMIN}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            "",
            body,
        )
        begun_s = time.time()
        self.pages += 1
        reply = await ask(proxy.port, "\r\n".join(lines).encode())
        if reply.status != 200:
            raise RuntimeError(f"a purge was refused: {reply.body!r}")
        self._past.note_purge(self._runs if run is None else [run], begun_s)

    async def _rotate(self) -> None:
        self._past.rotations += 1
        self._write_key(KEYS[self._past.rotations % len(KEYS)])

    async def _restart(self) -> None:
        one = Absence(going_s=time.time())
        self._past.outages.append(one)
        await self._upstream.aclose()
        one.gone_s = time.time()
        await asyncio.sleep(self._often.gone_s)
        one.coming_s = time.time()
        await self.begin()
        one.back_s = time.time()

    def _write_tokens(self, *, revoked: bool) -> None:
        names = [*READERS, *([] if revoked else [REVOKED])]
        edit_tokens(self.tokens, lambda _: [*map(token, names), token(ADMIN, admin=True)], create=True)

    def _write_key(self, key: str) -> None:
        new = self.key.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_text(key)
        new.replace(self.key)
