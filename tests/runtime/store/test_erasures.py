"""Erasures on record: one open for a contact, counted once whatever is repeated, and nameless once finished."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

from runtime.store import Store
from tests.factories import attempt, present
from tests.fakes import ERASURE
from tests.runtime.store.conftest import both

NOW = ERASURE.requested_at


@both
async def test_a_contact_has_one_open_erasure_whoever_asks(store: Store, another: Store) -> None:
    asked = [replace(ERASURE, id=f"e{number}") for number in range(10)]
    told = await asyncio.gather(*(place.add_erasure(one) for place in (store, another) for one in asked))
    assert len({one.id for one in told}) == 1
    assert await store.stored_erasures() == [told[0]]
    other = replace(ERASURE, id="other", contact_hash="4567", contact_id="8")
    assert await store.add_erasure(other) == other


async def test_another_begins_once_it_is_finished(store: Store) -> None:
    await store.add_erasure(ERASURE)
    await store.finish_erasure("e1", "0123", NOW)
    again = replace(ERASURE, id="e2", before=True)
    assert await store.add_erasure(again) == again


@both
async def test_runs_are_counted_once_and_confirmed_when_none_is_left(store: Store) -> None:
    await store.add_erasure(ERASURE)
    runs = [("sale/7", "r1", False), ("sale/7", "r2", True), ("welcome/7", "r3", True)]
    for repeated in range(2):
        for workflow, run, running in runs:
            # The second time, they have been ended.
            await store.add_erasure_run("e1", workflow, run, running=running and not repeated)
        assert await store.count_erasure_runs("e1", NOW) == 3
    await store.erasure_run_is_gone("e1", "sale/7", "r1")
    assert await store.erasure_runs("e1") == [("sale/7", "r2"), ("welcome/7", "r3")]
    assert await store.count_erasure_runs("e1", NOW) == 2
    for workflow, run in await store.erasure_runs("e1"):
        await store.erasure_run_is_gone("e1", workflow, run)
    assert await store.count_erasure_runs("e1", NOW) == 0
    later = NOW + timedelta(minutes=1)
    assert await store.count_erasure_runs("e1", later) == 0
    seen = present(await store.stored_erasure("e1"))
    assert (seen.ended, seen.histories, seen.remaining, seen.confirmed_at) == (2, 3, 0, NOW)
    await store.add_erasure_run("e1", "sale/7", "r4", running=False)  # one came in late
    await store.count_erasure_runs("e1", later)
    seen = present(await store.stored_erasure("e1"))
    assert (seen.histories, seen.remaining, seen.confirmed_at) == (4, 1, None)


async def test_rows_are_counted_once_a_pass(store: Store) -> None:
    await store.add_erasure(ERASURE)
    for found in ({"entries": 2, "claims": 1}, {"entries": 3}):
        await store.set_erasure_state("e1", "ending")
        await store.begin_clearing("e1", found)
        await store.begin_clearing("e1", {"entries": 1})  # the rest, after the worker was killed half-way
    seen = present(await store.stored_erasure("e1"))
    assert (seen.state, seen.rows) == ("clearing", {"entries": 5, "claims": 1})


async def test_a_finished_one_names_receivers_and_not_the_contact(store: Store) -> None:
    attempts: list[dict[str, Any]] = [
        {"destination": "a", "outcome": "delivered"},
        {"destination": "b", "outcome": "unknown"},
        {"destination": "c", "outcome": "cancelled"},
        {"destination": "d", "outcome": "retry", "status": 503},
        {"destination": "not reached", "outcome": "retry", "error": "connect_refused"},
        {"destination": "not sent", "outcome": "skipped"},
        {"destination": "of another", "outcome": "delivered", "contact_id": "erased:4567"},
    ]
    for n, more in enumerate(attempts):
        await store.record([attempt(f"msg_{n}_{m}", **{"contact_id": "erased:0123", **more}) for m in range(2)])
    await store.add_erasure(ERASURE)
    await store.add_erasure_run("e1", "sale/7", "r1", running=True)
    await store.set_erasure_trouble("e1", "Temporal cannot be reached")
    await store.finish_erasure("e1", "0123", NOW)
    seen = await store.stored_erasure("e1")
    receivers = [{"channel": "webhook", "destination": name} for name in "abcd"]
    assert seen == replace(ERASURE, contact_id=None, state="finished", finished_at=NOW, sent_to=receivers)
    assert await store.erasure_runs("e1") == []


async def test_who_comes_late_changes_nothing_of_a_finished_one(store: Store) -> None:
    await store.add_erasure(ERASURE)
    await store.finish_erasure("e1", "0123", NOW)
    finished = await store.stored_erasure("e1")
    await store.set_erasure_state("e1", "ending")
    await store.set_erasure_trouble("e1", "Temporal cannot be reached")
    await store.add_erasure_run("e1", "sale/7", "r1", running=True)
    assert await store.count_erasure_runs("e1", NOW) == 0
    await store.begin_clearing("e1", {"entries": 1})
    await store.finish_erasure("e1", "0123", NOW + timedelta(hours=1))
    assert await store.stored_erasure("e1") == finished
    assert await store.erasure_runs("e1") == []


async def test_they_are_listed_and_those_that_are_open_counted(store: Store) -> None:
    assert await store.count_open_erasures() == (0, None)
    made = [
        replace(ERASURE, id=f"e{n}", contact_hash=f"c{n}", requested_at=NOW + timedelta(minutes=n // 2))
        for n in range(4)
    ]
    for one in made:
        await store.add_erasure(one)
    await store.finish_erasure("e0", "c0", NOW)
    newest = await store.stored_erasures(limit=3)
    assert [one.id for one in newest] == ["e3", "e2", "e1"]
    assert [one.id for one in await store.stored_erasures(after=newest[-1])] == ["e0"]
    assert [one.id for one in await store.stored_erasures(is_open=True)] == ["e3", "e2", "e1"]
    assert await store.open_erasures(2) == ["e1", "e2"]
    assert await store.count_open_erasures() == (3, NOW)
