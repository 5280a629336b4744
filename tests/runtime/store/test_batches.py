"""Batches in the store: their members are fixed once they are frozen, and each item gets one outcome."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from runtime.encryption.keyring import Keyring, KeyWrapping
from runtime.store import Store
from runtime.store.batches import StoredBatch, StoredBatchItem
from runtime.store.retention import Pruner
from tests.factories import attempt, present
from tests.runtime.store.conftest import both

NOW = datetime(2026, 11, 27, 9, 0, tzinfo=UTC)
BATCH = StoredBatch(
    id="batch-1",
    scenario="sync",
    version=2,
    step="crm",
    delivery_id="msg_b",
    created_at=NOW,
    due_at=NOW + timedelta(minutes=5),
)


def item(number: int, batch: str = "batch-1") -> StoredBatchItem:
    return StoredBatchItem(
        delivery_id=f"msg_{number}",
        batch=batch,
        position=number,
        contact_id=f"c{number}",
        workflow_id=f"sync/c{number}",
        waiting_run="r",
        data="d",
        joined_at=NOW,
    )


async def place(store: Store, size: int = 10) -> StoredBatch | None:
    return await store.take_place("sync", 2, "crm", size=size, most=3, now=NOW)


@both
async def test_a_batch_gives_away_so_many_places_and_then_another_opens(store: Store) -> None:
    assert await place(store) is None
    assert await store.open_batch(BATCH)
    assert not await store.open_batch(replace(BATCH, id="batch-2"))
    taken = await asyncio.gather(*(place(store) for _ in range(5)))
    assert sorted(one.places for one in taken if one) == [1, 2, 3]
    full = next(one for one in taken if one and one.places == 3)
    assert (full.size, full.closed_at) == (30, NOW)
    assert await store.open_batch(replace(BATCH, id="batch-2"))
    large = present(await place(store, size=5_000_000))
    assert large.closed_at == NOW


@both
async def test_members_are_fixed_when_it_is_frozen(store: Store) -> None:
    await store.open_batch(BATCH)
    for number in (1, 2, 3):
        assert await store.join_batch(item(number))
    assert not await store.join_batch(item(1))  # it is a member already
    await store.withdraw_batch_item("msg_2")
    frozen = present(await store.freeze_batch("batch-1", NOW))
    assert (frozen.frozen_at, frozen.closed_at) == (NOW, NOW)
    await store.freeze_batch("batch-1", NOW + timedelta(hours=1))
    assert not await store.join_batch(item(4))
    await store.withdraw_batch_item("msg_1")
    assert await store.withdraw_batch_items("sync/c3", NOW) == []
    assert await place(store) is None
    assert [one.position for one in await store.batch_items("batch-1")] == [1, 3]
    assert (await store.stored_batch("batch-1")) == frozen


@both
async def test_an_item_that_joins_while_a_batch_is_frozen_is_a_member_from_the_start_or_not_at_all(store: Store):
    for turn in range(20):
        name = f"batch-{turn}"
        await store.open_batch(replace(BATCH, id=name))
        mine = [replace(item(n, name), delivery_id=f"{name}/{n}") for n in range(1, 11)]

        async def freeze(name: str = name) -> list[str]:
            await store.freeze_batch(name, NOW)
            return [one.delivery_id for one in await store.batch_items(name)]

        joins = [store.join_batch(one) for one in mine]
        early = [asyncio.create_task(one) for one in joins[:5]]
        freezing = asyncio.create_task(freeze())
        joined = await asyncio.gather(*early, *joins[5:])
        members = await freezing
        assert members == [one.delivery_id for one, is_in in zip(mine, joined, strict=True) if is_in]
        assert members == [one.delivery_id for one in await store.batch_items(name)]


@both
async def test_many_batches_in_progress_do_not_hide_one_that_was_never_started(store: Store) -> None:
    for number in range(3):
        made = replace(BATCH, id=f"batch-{number}", created_at=NOW + timedelta(seconds=number), closed_at=NOW)
        await store.open_batch(made if number == 2 else replace(made, started_at=NOW))
    found = await store.overdue_batches(NOW + timedelta(hours=1), limit=2)
    assert [one.id for one in found] == ["batch-2", "batch-0"]


@both
async def test_an_exit_withdraws_only_the_items_of_this_journey(store: Store) -> None:
    await store.open_batch(BATCH)
    await store.join_batch(replace(item(1), joined_at=NOW - timedelta(hours=1)))  # of an earlier journey of this id
    await store.join_batch(replace(item(2), workflow_id="sync/c1"))
    await store.join_batch(item(3))
    assert await store.withdraw_batch_items("sync/c1", NOW) == ["msg_2"]
    assert [one.position for one in await store.batch_items("batch-1")] == [1, 3]


@both
async def test_the_first_outcome_of_an_item_stands_and_a_refused_one_may_join_again(store: Store) -> None:
    await store.open_batch(BATCH)
    for number in (1, 2, 3):
        await store.join_batch(item(number))
    await store.freeze_batch("batch-1", NOW)
    for times in (2, 1):  # the latter by a worker that was taken for lost, and was not
        await store.defer_items("batch-1", [3], times, reason="busy")
    await store.record_item_outcomes("batch-1", "refused", NOW, positions=[2], reason="unknown id", status=207)
    await store.record_item_outcomes("batch-1", "delivered", NOW, status=207)
    await store.record_item_outcomes("batch-1", "skipped", NOW)
    await store.end_batch("batch-1", "delivered", NOW)
    await store.end_batch("batch-1", "skipped", NOW + timedelta(hours=1))
    found = await store.batch_items("batch-1")
    assert [(one.outcome, one.reason, one.status, one.data, one.deferred) for one in found] == [
        ("delivered", None, 207, None, 0),
        ("refused", "unknown id", 207, None, 0),
        ("delivered", None, 207, None, 2),
    ]
    assert await store.batch_counts(["batch-1", "batch-0"]) == {
        "batch-1": {"delivered": 2, "refused": 1},
        "batch-0": {},
    }
    ended = present(await store.stored_batch("batch-1"))
    assert (ended.outcome, ended.ended_at) == ("delivered", NOW)
    await store.open_batch(replace(BATCH, id="batch-2"))
    assert not await store.join_batch(item(1, "batch-2"))
    assert await store.join_batch(item(2, "batch-2"))
    again = present(await store.batch_item("msg_2"))
    assert (again.batch, again.outcome, again.reason, again.data) == ("batch-2", None, None, "d")


async def test_an_erasure_takes_the_contact_out_and_waits_for_a_batch_that_is_being_sent(store: Store) -> None:
    await store.open_batch(BATCH)
    await store.join_batch(item(1))
    await store.freeze_batch("batch-1", NOW)
    await store.open_batch(replace(BATCH, id="batch-2"))
    await store.join_batch(replace(item(2, "batch-2"), contact_id="c1"))
    store.sealing = Keyring(store, KeyWrapping([b"k" * 32]))
    for name in ("batch-1", "batch-3"):
        await store.record([attempt(f"msg_{name}", contact_id=name, workflow_id=name, response="who is c1?")])
    assert len(await store.wrapped_keys()) == 1  # that of no contact: batches need none of their own
    assert (await store.count_rows_of("c1"))["batch_items"] == 1
    await store.erase("c1", "name")
    assert await store.batch_items("batch-2") == []
    assert await store.batch_items("batch-1") == [item(1)]
    assert await store.is_being_sent("c1")
    await store.record_item_outcomes("batch-1", "delivered", NOW)
    await store.end_batch("batch-1", "delivered", NOW)
    assert not await store.is_being_sent("c1")
    assert (await store.count_rows_of("c1"))["batch_items"] == 1
    await store.erase("c1", "name")
    [left] = await store.batch_items("batch-1")
    assert (left.contact_id, left.workflow_id, left.data) == ("erased:name", "", None)
    assert {one.workflow_id: one.response for one in await store.deliveries()} == {
        "batch-1": None,
        "batch-3": "who is c1?",
    }


async def test_ended_batches_go_with_the_log_of_attempts(store: Store) -> None:
    await store.open_batch(BATCH)
    await store.join_batch(item(1))
    later = NOW + timedelta(days=400)
    ages = {"deliveries": timedelta(days=180)}
    assert (await Pruner(store).run(ages, later)).deleted == {}
    await store.end_batch("batch-1", "delivered", NOW)
    assert (await Pruner(store).run(ages, later)).deleted == {"batch_items": 1, "batches": 1}
