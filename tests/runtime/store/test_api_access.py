"""Requests with an Idempotency-Key and leases: one process at a time has each."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from runtime.api_keys import ApiKey
from runtime.errors import StoreFault
from runtime.store import Store
from runtime.store.api_access import KEPT, LEASE, ClaimedRequest, StoredAnswer
from tests.runtime.store.conftest import both

NOW = datetime(2026, 11, 27, 9, 30, 0, 123456, tzinfo=UTC)
SECOND = timedelta(seconds=1)


async def take(
    store: Store, now: datetime = NOW, *, key: str = "k", digest: str = "d"
) -> ClaimedRequest | StoredAnswer:
    return await store.take_request("aaaaaaaa", key, digest, now)


@both
async def test_of_many_at_once_one_is_to_carry_it_out(store: Store, another: Store) -> None:
    told = await asyncio.gather(*(take(one, NOW + number * SECOND) for number in range(10) for one in (store, another)))
    assert [type(one) for one in told].count(ClaimedRequest) == 1
    assert {one for one in told if isinstance(one, StoredAnswer)} == {StoredAnswer("d", None, None)}


async def test_what_was_answered_is_told_until_a_day_is_over(store: Store) -> None:
    taken = ClaimedRequest("aaaaaaaa", "k", NOW, NOW)
    assert await take(store) == taken
    await store.keep_answer(taken, 202, "sealed")
    answered = StoredAnswer("d", 202, "sealed")
    assert await take(store, NOW + KEPT) == answered
    assert await take(store, digest="another") == answered
    assert await store.take_request("bbbbbbbb", "k", "d", NOW) == ClaimedRequest("bbbbbbbb", "k", NOW, NOW)
    later = NOW + KEPT + SECOND
    assert await take(store, later, digest="another") == ClaimedRequest("aaaaaaaa", "k", later, later)
    assert await take(store, later) == StoredAnswer("another", None, None)


@both
async def test_what_a_killed_process_left_is_taken_over_once_and_under_its_first_time(store: Store, another: Store):
    slow = await take(store)
    assert isinstance(slow, ClaimedRequest)
    assert isinstance(await take(store, NOW + LEASE), StoredAnswer)
    later = NOW + LEASE + SECOND
    assert isinstance(await take(store, later, digest="another"), StoredAnswer)
    told = await asyncio.gather(*(take(one, later) for one in (store, another) for _ in range(5)))
    [taken] = [one for one in told if isinstance(one, ClaimedRequest)]
    assert taken == ClaimedRequest("aaaaaaaa", "k", NOW, later)
    await store.renew_request(slow, later + LEASE)
    await store.keep_answer(slow, 500, "of one that was only slow")
    await store.keep_answer(taken, 202, "sealed")
    await store.keep_answer(taken, 404, "said once more")
    assert await take(store, later) == StoredAnswer("d", 202, "sealed")


async def test_a_request_that_is_renewed_is_not_taken_over(store: Store) -> None:
    taken = await take(store)
    assert isinstance(taken, ClaimedRequest)
    await store.renew_request(taken, NOW + LEASE)
    assert isinstance(await take(store, NOW + 2 * LEASE), StoredAnswer)
    later = NOW + 2 * LEASE + SECOND
    again = ClaimedRequest("aaaaaaaa", "k", NOW, later)
    assert await take(store, later) == again
    await store.give_up_request(again)
    later += SECOND
    assert await take(store, later) == replace(again, started_at=later), "given up, it is taken at once"


@both
async def test_old_ones_are_forgotten_in_small_batches(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.store.api_access._TOGETHER", 5)
    for number in range(6):
        await take(store, key=str(number))
    await take(store, NOW + SECOND, key="younger")
    later = NOW + KEPT + SECOND / 2
    assert await store.prune_answers(later)
    assert not await store.prune_answers(later)
    assert await take(store, NOW + SECOND, key="younger") == StoredAnswer("d", None, None)


async def test_a_key_whose_id_is_taken_is_an_error_because_nobody_could_use_it(store: Store) -> None:
    key = ApiKey("aaaaaaaa", "digest", ("enter",), None, None, "", NOW, "ann")
    await store.add_key(key)
    with pytest.raises(StoreFault):
        await store.add_key(replace(key, digest="another"))
    assert await store.keys() == [replace(key, scopes=["enter"])]


MINUTE = timedelta(minutes=1)


@both
async def test_one_of_many_gets_a_lease(store: Store) -> None:
    asked = [store.lease("gauges", f"worker {number}", now=NOW, expires_at=NOW + MINUTE) for number in range(10)]
    assert sum(await asyncio.gather(*asked)) == 1


@pytest.mark.parametrize("ahead", [2700.0, -2700.0], ids=["ahead", "behind"])
async def test_a_lease_goes_by_the_store_s_clock(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch, ahead: float
) -> None:
    async with Store.open(postgresql_url) as right, Store.open(postgresql_url) as wrong:
        await right.check()
        monkeypatch.setattr("runtime.store.postgresql.time", SimpleNamespace(time=lambda: time.time() + ahead))
        await wrong.check()
        now, off = datetime.now(UTC), datetime.now(UTC) + timedelta(seconds=ahead)
        assert await right.lease("gauges", "right", now=now, expires_at=now + MINUTE)
        assert await wrong.is_leased("gauges", off)
        assert not await wrong.lease("gauges", "wrong", now=off, expires_at=off + MINUTE)
        await right.give_up("gauges", "right")
        assert await wrong.lease("gauges", "wrong", now=off, expires_at=off + MINUTE)
        assert not await right.lease("gauges", "right", now=now, expires_at=now + MINUTE)
        later = now + 2 * MINUTE
        assert await right.lease("gauges", "right", now=later, expires_at=later + MINUTE)


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
async def test_the_first_value_of_a_shared_setting_is_kept_until_it_is_changed(store: Store) -> None:
    assert [await store.agree("a", value) for value in ("", "dmy", "mdy")] == ["", "", ""]
    assert await store.agree("b", "dmy") == "dmy"
    assert [await store.agree("a", "mdy", change=True), await store.agree("a", "")] == ["mdy", "mdy"]


@both
async def test_the_highest_number_of_queues_is_remembered(store: Store) -> None:
    assert [await store.raise_queue_shards(number) for number in (1, 4, 2, 10, 1)] == [1, 4, 4, 10, 10]
