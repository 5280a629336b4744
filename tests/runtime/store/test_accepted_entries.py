"""Entries that were acknowledged: pending until they are admitted, and forgotten when they are of no use."""

from __future__ import annotations

from datetime import timedelta

from runtime.store import AcceptedEntry, AdmissionRequest, Store
from runtime.store.accepted_entries import KEPT
from runtime.store.erasures import ErasureCounts
from tests.factories import NOW, admission_request
from tests.runtime.store.conftest import both

FIRST = AcceptedEntry("sale/7/A", "run-1", "7", NOW)
SECOND = AcceptedEntry("sale/7/B", "run-2", "7", NOW + timedelta(seconds=1))
OTHER = AcceptedEntry("sale/8", "run-3", "8", NOW)


def asking(entry: AcceptedEntry, key: str | None = None) -> AdmissionRequest:
    given = {"workflow_id": entry.workflow_id, "run_id": entry.run_id}
    return admission_request(entry.contact_id, "sale", key=key, **given)


async def accept(store: Store, *entries: AcceptedEntry) -> None:
    for entry in entries:
        await store.accept(entry)


@both
async def test_an_entry_is_pending_until_its_run_is_admitted(store: Store, another: Store) -> None:
    await accept(store, SECOND, FIRST, OTHER, FIRST)
    assert await another.pending_entries("7") == [FIRST, SECOND]
    await another.admit(asking(FIRST, "A"))
    assert await store.pending_entries("7") == [SECOND]
    await store.depart(FIRST.workflow_id, FIRST.run_id, "finished", None, NOW)
    assert await store.pending_entries("7") == [SECOND], "whose run was admitted is pending no more"


async def test_another_run_of_the_same_journey_is_pending_by_itself(store: Store) -> None:
    await accept(store, FIRST)
    await store.admit(asking(FIRST, "A"))
    later = AcceptedEntry(FIRST.workflow_id, "run-9", "7", NOW - timedelta(hours=1))  # by a clock that is behind
    await accept(store, later)
    assert await store.pending_entries("7") == [later]
    await store.forget_accepted(later)
    assert await store.pending_entries("7") == []


@both
async def test_rows_are_deleted_once_they_are_admitted_or_old(store: Store) -> None:
    await accept(store, FIRST, SECOND, OTHER)
    await store.admit(asking(FIRST, "A"))
    assert await store.prune_accepted(NOW + KEPT) == 1
    assert await store.pending_entries("7") == [SECOND]
    assert await store.prune_accepted(NOW + KEPT + timedelta(milliseconds=1)) == 1
    assert await store.prune_accepted(NOW + 2 * KEPT) == 1
    assert await store.prune_accepted(NOW + 2 * KEPT) == 0


async def test_erasing_a_contact_leaves_none_of_its_rows(store: Store) -> None:
    await accept(store, FIRST, SECOND, OTHER)
    assert sorted(await store.journeys_of("7")) == [("sale/7/A", "run-1"), ("sale/7/B", "run-2")]
    assert (await store.count_rows_of("7")).accepted_entries == 2
    await store.erase("7", "0123")
    assert await store.count_rows_of("7") == ErasureCounts(0, 0, 0, 0)
    assert await store.pending_entries("7") == []
    assert await store.pending_entries("8") == [OTHER]
