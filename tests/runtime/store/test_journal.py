"""The outbox of the journal: every change is in it as soon as it is in the store."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from runtime.store import Closure, Store
from scenario.policies.suppression import Suppression
from tests.factories import admission_request, attempt
from tests.fakes import ERASURE
from tests.runtime.store.conftest import both

NOW = datetime(2026, 3, 31, 8, 0, 0, 5, tzinfo=UTC)
UNSUB = Suppression("email", "ab" * 32, "unsub", NOW, "newsletter", "one click")
ADDRESS = {"channel": "email", "address": "ab" * 32, "scope": "newsletter", "source": "unsub"}


async def found(store: Store) -> list[tuple[str, dict[str, Any]]]:
    return [(entry.kind, dict(entry.data)) for entry in (await store.outbox(100))[1]]


@both
async def test_every_change_is_in_the_outbox_in_its_order(store: Store) -> None:
    await store.add_erasure(ERASURE)
    await store.add_erasure(replace(ERASURE, id="e2"))  # the contact has one already
    await store.suppress(UNSUB)
    await store.suppress(replace(UNSUB, evidence="again"))
    await store.suppress(replace(UNSUB, source="bounce", scope="", imported=True))
    await store.unsuppress("email", [UNSUB.address_hash], source="unsub")
    await store.close_scenario(Closure("sale", NOW, "ann", "why"))
    await store.open_scenario("sale")
    _, entries = await store.outbox(100)
    assert [entry.kind for entry in entries] == ["erased", "suppressed", "unsuppressed", "closed", "opened"]
    assert (entries[0].id, entries[0].data) == (ERASURE.id, {"contact": ERASURE.contact_hash})
    at = datetime.fromisoformat(entries[1].data["suppressed_at"])
    assert (at if at.tzinfo else at.replace(tzinfo=UTC)) == NOW
    assert {**entries[1].data, "suppressed_at": ""} == {**ADDRESS, "suppressed_at": ""}
    assert entries[2].data == ADDRESS
    assert entries[4].data == {"scenario": "sale"}
    assert await store.oldest_in_outbox() == entries[0].recorded_at


@both
async def test_a_removal_of_imported_suppressions_is_in_the_outbox(store: Store) -> None:
    await store.suppress(replace(UNSUB, imported=True))
    assert [one.imported for one in await store.suppressed("email", [UNSUB.address_hash])] == [True]
    await store.unsuppress("email", [UNSUB.address_hash])
    assert await found(store) == [("unsuppressed", ADDRESS)]


@both
async def test_what_a_replay_writes_is_not_handed_to_the_journal(store: Store) -> None:
    await store.mark_behind("file:/journal")
    assert (state := await store.journal_state()) is not None
    assert (state.position, state.behind) == (0, True)
    await store.suppress(UNSUB)
    await store.add_erasure(ERASURE)
    assert await found(store) == []
    await store.catch_up("file:/journal", 7)
    assert (state := await store.journal_state()) is not None
    assert (state.place, state.position, state.behind) == ("file:/journal", 7, False)
    await store.unsuppress("email", [UNSUB.address_hash])
    assert await found(store) == [("unsuppressed", ADDRESS)]


@both
async def test_entries_that_leave_the_outbox_advance_the_position_in_the_same_statement(store: Store) -> None:
    await asyncio.gather(*(store.keep_journal(f"file:/{n}") for n in range(3)))
    kept = await store.keep_journal("another")
    assert kept.place.startswith("file:/")
    for number in range(3):
        await store.add_journal_entry("imported", {"file": f"{number}.csv"})
    _, entries = await store.outbox(100)
    assert await store.in_outbox([entries[0].id, "other"]) == {entries[0].id}
    for _ in range(2):
        await store.remove_from_outbox([entry.id for entry in entries[:2]])
    assert (state := await store.journal_state()) is not None
    assert state.position == 2
    position, rest = await store.outbox(100)
    assert (position, [entry.data for entry in rest]) == (2, [{"file": "2.csv"}])


@both
async def test_contacts_are_found_wherever_they_are_and_erased_ones_are_not(store: Store) -> None:
    await store.admit(admission_request(contact_id="7"))
    await store.record([attempt(contact_id="8"), attempt(delivery_id="msg_2", contact_id="erased:0123")])
    assert {contact async for contact in store.known_contacts()} == {"7", "8"}
