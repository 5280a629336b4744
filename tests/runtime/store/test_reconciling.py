"""What a comparison of the store with Temporal reads and writes."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from runtime.store import AcceptedEntry, Closure, Store
from tests.factories import NOW, admission_request, stored_entry
from tests.runtime.store.conftest import both

LOST = stored_entry(
    *("7", "a"),
    run_id="r1",
    version=3,
    ordinal=0,
    ended_at=NOW,
    outcome="finished",
    branches={"colour": "red"},
    goal_until=NOW,
)
ASKING = admission_request("7", "a", version=3, run_id="r1", again="never")


@both
async def test_a_journey_is_written_back_whatever_else_is_known_of_its_contact(store: Store) -> None:
    await store.close_scenario(Closure("a", NOW, "ann", ""))
    await store.restore(LOST)
    written = await store.entry("a/7", "r1")
    assert written == replace(LOST, ordinal=1)
    await store.restore(replace(LOST, reason="told again"))
    assert await store.entry("a/7", "r1") == written
    await store.restore(replace(LOST, run_id="r2", ended_at=None, outcome=None, branches=None))
    assert await store.entry("a/7", "r2") == replace(
        LOST, run_id="r2", ended_at=None, outcome=None, branches=None, ordinal=2
    )
    await store.restore(replace(LOST, run_id="r0"))
    assert [(entry.run_id, entry.ordinal) for entry in await store.running("7")] == [("r2", 2)], "it still runs"


@both
async def test_several_of_one_contact_are_written_back_at_once(store: Store) -> None:
    await asyncio.gather(*(store.restore(replace(LOST, run_id=f"r{n}")) for n in range(8)))
    assert sorted(entry.ordinal for entry in await store.entries()) == list(range(1, 9))


async def test_one_that_was_taken_for_lost_runs_again(store: Store) -> None:
    await store.admit(ASKING)
    entry = await store.entry("a/7", "r1")
    await store.depart("a/7", "r1", "lost", "Temporal does not have its workflow", NOW)
    await store.reopen("a/7", "r1")
    assert await store.entry("a/7", "r1") == entry
    await store.depart("a/7", "r1", "finished", None, NOW)
    over = await store.entry("a/7", "r1")
    await store.reopen("a/7", "r1")
    assert await store.entry("a/7", "r1") == over, "only one that was taken for lost can run"


async def test_pending_entries_come_page_by_page(store: Store) -> None:
    await store.admit(ASKING)
    accepted = [AcceptedEntry(f"a/{n}", "r1", str(n), NOW) for n in (5, 6, 7, 8)]
    for one in accepted:
        await store.accept(one)
    first = await store.pending_page(None, 2)
    assert [one.workflow_id for one in first] == ["a/5", "a/6"]
    assert [one.workflow_id for one in await store.pending_page(first[-1], 2)] == ["a/8"], "7 was admitted"
