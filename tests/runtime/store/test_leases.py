"""What processes agree on: leases, and the number of queues."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from runtime.store import Store
from tests.runtime.store.conftest import both

NOW = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@both
async def test_one_of_many_gets_a_lease(store: Store) -> None:
    asked = [store.lease("gauges", f"worker {number}", now=NOW, expires_at=NOW + MINUTE) for number in range(10)]
    assert sum(await asyncio.gather(*asked)) == 1


@both
async def test_its_holder_keeps_it_until_it_ends_and_nobody_else_gets_it(store: Store) -> None:
    assert await store.lease("gauges", "a", now=NOW, expires_at=NOW + MINUTE)
    assert await store.lease("other", "b", now=NOW, expires_at=NOW + MINUTE)
    later = NOW + timedelta(seconds=59)
    assert not await store.lease("gauges", "b", now=later, expires_at=later + MINUTE)
    assert await store.lease("gauges", "a", now=later, expires_at=later + MINUTE)
    assert not await store.lease("gauges", "b", now=NOW + MINUTE, expires_at=NOW + 2 * MINUTE)
    assert await store.lease("gauges", "b", now=later + MINUTE, expires_at=later + 2 * MINUTE)
    for holder, is_free in (("a", False), ("b", True)):  # only its holder can give it up
        await store.give_up("gauges", holder)
        assert await store.lease("gauges", "c", now=later + MINUTE, expires_at=later + 2 * MINUTE) is is_free


@both
async def test_the_highest_number_of_queues_is_remembered(store: Store) -> None:
    assert [await store.raise_queue_shards(number) for number in (1, 4, 2, 10, 1)] == [1, 4, 4, 10, 10]
