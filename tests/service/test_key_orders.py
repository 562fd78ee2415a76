"""Answers in the order of keys that a client asked: bodies that were made are remembered within bounds."""

import gc
import tracemalloc
from random import Random

from proxy.core.freshness.entry import Entry, digest_of
from proxy.core.freshness.outcome import Outcome
from proxy.core.question.query import Query, read_query
from proxy.core.question.routes import CHART_DATA
from proxy.service.answer import Answer
from proxy.service.key_orders import KeyOrders
from proxy.service.tenancy import Tenant
from tests.support.charts import chart

BODY, BACK = b'{"b":{"Uk":1},"a":{"Uk":2}}', b'{"a":{"Uk":2},"b":{"Uk":1}}'


def query(*names: str) -> Query:
    return read_query(CHART_DATA, chart([1], names).partition("?")[2])


def answer(body: bytes, status: int = 200) -> Answer:
    entry = Entry(body=body, sent_at_s=1.0, digest=digest_of(body), status=status)
    return Answer(tenant=Tenant("key", "n"), entry=entry, age_s=0.0, outcome=Outcome(hit=True))


async def test_only_what_has_another_order_changes() -> None:
    """The stored entry itself goes out where it is in order; 4xx and other routes' answers always."""
    orders, stored = KeyOrders(), answer(BODY)
    assert await orders.arrange(query("b", "a"), stored) is stored
    assert await orders.arrange(query("a", "b"), own := answer(BACK)) is own
    assert await orders.arrange(query("a", "b"), refused := answer(b'{"error":"x"}', 400)) is refused
    arranged = await orders.arrange(query("a", "b"), stored)
    assert (arranged.entry.body, arranged.entry.digest) == (BACK, digest_of(BACK))
    assert arranged.entry.sent_at_s == stored.entry.sent_at_s


async def test_what_is_remembered() -> None:
    """The same body for the next who asks, until a purge or too many of them; a body that is too large isn't kept."""
    orders = KeyOrders(most_bytes=2_000)
    first = await orders.arrange(query("a", "b"), answer(BODY))
    assert (await orders.arrange(query("a", "b"), answer(BODY))).entry.body is first.entry.body
    orders.purge()
    assert (await orders.arrange(query("a", "b"), answer(BODY))).entry.body is not first.entry.body
    before = orders.size_bytes
    large = BODY.replace(b"1", b"1" * 2_000)
    assert (await orders.arrange(query("a", "b"), answer(large))).entry.body == BACK.replace(b"1", b"1" * 2_000)
    assert orders.size_bytes == before > 0


async def test_orders_of_tiny_answers_stay_within_the_bound() -> None:
    """Whoever asks for the same in ever other orders has no more remembered than anybody: an order costs memory, too."""
    orders, rng = KeyOrders(most_bytes=300_000), Random(5)  # noqa: S311 -- no secret
    names = [f"metric-{number:040}" for number in range(200)]
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(200):
            await orders.arrange(query(*rng.sample(names, len(names))), answer(b"{}"))
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 0 < orders.size_bytes <= 300_000
    # Remembered by the bodies' bytes alone, these took over 4 MB.
    assert after - before < 1_500_000
