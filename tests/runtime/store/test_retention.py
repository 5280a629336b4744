"""Old rows go in batches, and what somebody needs stays."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from runtime.api_keys import ApiKey
from runtime.store import AdmittedRun, AlreadyEntered, Attempt, Passage, Store, connect
from runtime.store.api_access import ClaimedRequest
from runtime.store.contact_keys import WrappedKey
from runtime.store.operations import OperationItem
from runtime.store.retention import Pruner, PruningJob, PruningPlan, PruningPosition
from runtime.store.schema import metadata
from runtime.store.versions import Closure
from scenario.policies.caps import Cap
from scenario.policies.suppression import Suppression
from tests import factories
from tests.factories import admission_request, cap_claim, present, stored_operation
from tests.runtime.store.conftest import both

NOW = datetime(2026, 11, 27, 3, tzinfo=UTC)
DAY = timedelta(days=1)
YEAR = 365 * DAY
AGES = {"deliveries": 180 * DAY, "responses": 30 * DAY, "entries": 2 * YEAR, "passages": 2 * YEAR, "operations": YEAR}


def ago(days: float) -> datetime:
    return NOW - days * DAY


async def publish(store: Store, name: str, *again: str) -> None:
    for number, word in enumerate(again):
        await store.publish(name, {"entry": {"again": word}}, {}, f"digest {number}")


async def enter(store: Store, name: str, contact: str, days: float, *, lasted: float | None = 1, **more: Any) -> str:
    asking = admission_request(contact, name, run_id=f"{contact}-{days}", now=ago(days), **more)
    answer = await store.admit(asking)
    assert isinstance(answer, AdmittedRun), answer
    if lasted is not None:
        await store.depart(asking.workflow_id, asking.run_id, "finished", None, ago(days - lasted))
    return asking.run_id


async def prune(store: Store, ages: Mapping[str, timedelta] = AGES, now: datetime = NOW) -> dict[str, int]:
    return dict((await Pruner(store).run(ages, now)).deleted)


async def runs(store: Store) -> set[str]:
    return {entry.run_id for entry in await store.entries(limit=1000)}


async def rows(url: str) -> dict[str, int]:
    database, counted = connect(url), dict[str, int]()
    for table in metadata.sorted_tables:
        counted[table.name] = (await database.read(select(func.count().label("n")).select_from(table)))[0]["n"]
    await database.close()
    return counted


def attempt(number: int, days: float, **more: Any) -> Attempt:
    return factories.attempt(f"msg_{number}", **{"response": "thanks", "started_at": ago(days), **more})


@both
async def test_attempts_go_and_what_receivers_answered_goes_sooner(store: Store) -> None:
    await store.record([attempt(1, 181), attempt(2, 179), attempt(3, 31, response=None), attempt(4, 29)])
    assert await prune(store) == {"deliveries": 1, "responses": 1}
    kept = {item.delivery_id: item.response for item in await store.deliveries()}
    assert kept == {"msg_2": None, "msg_3": None, "msg_4": "thanks"}
    assert await prune(store) == {}


@both
async def test_a_batch_is_bounded_and_begins_with_the_oldest(store: Store) -> None:
    await store.record([attempt(number, 200 + number) for number in range(5)])
    job, ages = PruningJob("deliveries", "deliveries", ago(180)), list[tuple[int, float, bool]]()
    since = ago(1000)
    for _ in range(3):
        batch = await store.delete_some(job, since, most=2)
        since = batch.until
        ages.append((batch.rows, (NOW - since) / DAY, batch.is_last))
    assert ages == [(2, 203, False), (2, 201, False), (1, 200, True)]
    assert await store.deliveries() == []


async def test_entries_of_journeys_that_are_over_go(store: Store) -> None:
    await publish(store, "welcome", "always", "when_finished")
    await enter(store, "welcome", "7", 800)
    kept = {
        await enter(store, "welcome", "8", 800, lasted=100),  # over since less than two years
        await enter(store, "welcome", "9", 3000, lasted=None),
        await enter(store, "welcome", "7", 10),
    }
    assert await prune(store) == {"entries": 1}
    assert await runs(store) == kept
    found = present(await store.entry("welcome/7"))
    assert found.ordinal == 2  # numbers go on


async def test_again_never_holds_for_ever(store: Store) -> None:
    await publish(store, "once", "never", "always")  # a version that says so may still be asked for
    await publish(store, "often", "always")
    run = await enter(store, "once", "7", 3000)
    await enter(store, "often", "7", 3000)
    done = await Pruner(store).run({"entries": DAY}, NOW)
    assert (dict(done.deleted), done.kept) == (
        {"entries": 1},
        ("once keeps all its entries: a version of it says 'again: never'",),
    )
    asking = admission_request("7", "once", again="never", now=NOW)
    assert await store.admit(asking) == AlreadyEntered("entered_before", "once/7", run, ago(3000))


async def test_again_after_a_time_is_kept_for_it(store: Store) -> None:
    await publish(store, "monthly", "after 30d", "after 3d", "always")
    await enter(store, "monthly", "7", 32)
    await enter(store, "monthly", "8", 29)
    done = await Pruner(store).run({"entries": 7 * DAY}, NOW)
    assert done.kept == ("monthly keeps its entries for 30d, as 'again:' of a version needs",)
    assert await runs(store) == {"8-29"}
    asking = admission_request("8", "monthly", again=30 * DAY, now=NOW)
    assert isinstance(await store.admit(asking), AlreadyEntered)


async def test_a_word_of_a_later_release_keeps_all(store: Store) -> None:
    await publish(store, "later", "on_full_moon")
    run = await enter(store, "later", "7", 3000)
    await prune(store)
    assert await runs(store) == {run}


async def test_versions_that_come_later_are_seen(store: Store) -> None:
    await publish(store, "welcome", "always")
    pruning = Pruner(store)
    assert (await pruning.run(AGES, NOW)).kept == ()
    await publish(store, "welcome", "always", "never")
    assert (await pruning.run(AGES, NOW)).kept != ()


@pytest.mark.parametrize(
    ("took", "pause"),
    [(0.5, 4.5), (103.0, 30.0)],  # a frozen database must not stop pruning for nine times as long
)
async def test_a_pause_that_is_too_long_for_who_asked_is_told(
    store: Store, monkeypatch: pytest.MonkeyPatch, took: float, pause: float
) -> None:
    clock = iter([0.0, 0.0, took])  # begun; of the one batch, its start and end
    monkeypatch.setattr("runtime.store.retention.monotonic", lambda: next(clock))
    await store.record_soft_bounce("email", ["a hash"], "msg_1", ago(31))
    soft_bounces = PruningPosition("soft_bounces")
    done = await Pruner(store).run({}, NOW, soft_bounces, seconds=4.0)
    assert (done.deleted, done.pause) == ({"soft_bounces": 1}, pause)
    assert done.place is not None
    assert done.place.job != "soft_bounces"


async def test_who_may_still_reach_a_goal_stays(store: Store) -> None:
    await publish(store, "welcome", "always")
    run = await enter(store, "welcome", "7", 20, goal_until=ago(-1))
    await enter(store, "welcome", "8", 20, goal_until=ago(3))
    assert await prune(store, {"entries": 2 * DAY}) == {"entries": 1}
    assert [entry.run_id for entry in await store.open_goals("7", NOW)] == [run]
    await enter(store, "welcome", "9", 800)
    await store.erase("9", "d982")
    assert await prune(store) == {"entries": 1}, "rows of the erased go like others"


@both
async def test_what_has_an_end_of_its_own_goes_in_any_case(store: Store) -> None:
    caps = [Cap(name="week", at_most=9, per=7 * DAY)]
    for number, days in enumerate((93, 91)):
        await store.claim(cap_claim(f"msg_{number}", claimed_at=ago(days)), caps, UTC)
    for number, days in enumerate((31, 29)):
        await store.record_soft_bounce("email", ["a hash"], f"msg_{number}", ago(days))
    for number, days in enumerate((1.1, 0.9)):
        assert isinstance(await store.take_request("key", str(number), "digest", ago(days)), ClaimedRequest)
    await store.record([attempt(1, 3000)])
    assert await prune(store, {}) == {"claims": 1, "soft_bounces": 1, "answers": 1}


async def test_people_per_step_go_by_the_hour(store: Store) -> None:
    await publish(store, "welcome", "never")
    await enter(store, "welcome", "7", 800)
    passed = [Passage(1, "mail", "delivered", ago(days)) for days in (800, 700)]
    await store.count_passages("welcome/7", "7-800", 0, passed)
    assert await prune(store) == {"passages": 1}
    assert [one.total for one in await store.passage_counts("welcome", ago(1))] == [1]


async def test_operations_go_with_their_journeys_once_they_are_over(store: Store) -> None:
    for name, days, ended in (("old", 400, 390), ("open", 400, None), ("late", 400, 300)):
        await store.add_operation(stored_operation(name, created_at=ago(days)))
        await store.add_items(name, [OperationItem(number=n, workflow_id=f"welcome/{n}") for n in range(3)])
        if ended is not None:
            await store.end_operation(name, "finished", ago(ended))
    assert await prune(store) == {"operation_items": 3, "operations": 1}
    assert {one.id for one in await store.stored_operations()} == {"open", "late"}
    assert len(await store.items("open")) == 3


async def test_what_must_stay_is_not_touched(store: Store, url: str) -> None:
    await publish(store, "welcome", "always")
    await store.close_scenario(Closure("welcome", ago(3000), "ann", "why"))
    await store.suppress(Suppression("email", "a hash", "unsub", ago(3000)))
    await store.destroy_contact_key(WrappedKey("k", "c", "", ago(3000), ago(3000)))
    await store.add_key(ApiKey("k", "digest", ["read"], None, None, "", ago(3000), "ann", ago(2000), ago(2000)))
    await store.lease("something", "me", now=ago(3000), expires_at=ago(2999))
    before = await rows(url)
    assert sum(before.values()) == 8  # the closing and the suppression are in the journal's outbox, too
    await prune(store, dict.fromkeys(AGES, 2 * DAY))
    assert await rows(url) == before


async def test_it_goes_on_where_it_was(store: Store) -> None:
    await publish(store, "welcome", "always")
    await store.record([attempt(number, 200, response=None) for number in range(400)])
    await enter(store, "welcome", "7", 800)
    pruning, places, deleted = Pruner(store), list[PruningPosition](), Counter[str]()
    place: PruningPosition | None = PruningPosition()
    while place is not None:
        places.append(place)
        done = await pruning.run(AGES, NOW, place, seconds=0)  # one batch
        place, deleted = done.place, deleted + done.deleted
    assert deleted == {"deliveries": 400, "entries": 1}
    assert [place.job for place in places[:5]] == ["", "deliveries", "responses", "entries/welcome", "claims"]
    assert places[1] == PruningPosition("deliveries", ago(200))


@both
async def test_two_who_prune_at_once_take_rows_that_the_other_does_not(store: Store, another: Store) -> None:
    await store.record([attempt(number, 200, response=None) for number in range(700)])
    done = await asyncio.gather(prune(store), prune(another))
    assert sum(one.get("deliveries", 0) for one in done) == 700
    assert await store.deliveries() == []


async def test_what_is_old_is_counted(store: Store) -> None:
    await store.record([attempt(1, 181), attempt(2, 179), attempt(3, 1)])
    agenda = await Pruner(store).agenda(AGES, NOW)
    found = {job.table: await store.old(job) for job in agenda.jobs}
    assert {table: n for table, n in found.items() if n} == {"deliveries": 1, "responses": 2}


@pytest.mark.parametrize("name", ["entries/gone", ""])
def test_a_place_that_is_none_begins_anew(name: str) -> None:
    jobs = (PruningJob("deliveries", "deliveries", NOW), PruningJob("claims", "claims", NOW))
    assert PruningPlan(jobs).since(name) == jobs
    assert PruningPlan(jobs).since("claims") == jobs[1:]
