"""People per step: each passage counts once, whoever tells of it, how often, and beside whom."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from itertools import count

from sqlalchemy import select

from runtime.store import Passage, PassageCount, Store
from runtime.store.schema import entries
from tests.factories import admission_request, attempt
from tests.runtime.store.conftest import both

NOW = datetime(2026, 3, 3, 10, 40, tzinfo=UTC)
_ids = count()


async def admitted(store: Store, version: int = 3) -> str:
    journey = f"a/{next(_ids)}"
    await store.admit(admission_request(journey, "a", version=version, workflow_id=journey, run_id="r", now=NOW))
    return journey


def passages(*steps: str, version: int = 3, at: datetime = NOW) -> list[Passage]:
    return [Passage(version, step, "delivered", at) for step in steps]


async def seen(store: Store) -> dict[str, int]:
    return {one.step: one.total for one in await store.passage_counts("a", NOW)}


async def counted(store: Store, journey: str) -> int:
    statement = select(entries.c.counted_passages).where(entries.c.workflow_id == journey)
    return (await store._database.read(statement))[0]["counted_passages"]  # pyright: ignore[reportPrivateUsage]


async def test_what_was_not_told_or_not_admitted_is_left_out(store: Store) -> None:
    journey = await admitted(store)
    for name, run, steps in (("nobody", "r", ["mail"]), (journey, "another", ["mail"]), (journey, "r", [])):
        await store.count_passages(name, run, 0, passages(*steps))
    assert await seen(store) == {}
    await store.count_passages(journey, "r", 5, passages("sms"))
    await store.count_passages(journey, "r", 0, passages("mail", "wait"))
    assert await seen(store) == {"sms": 1}
    assert await counted(store, journey) == 6


@both
async def test_a_later_report_replaces_what_the_workflow_task_of_an_earlier_one_added(store: Store) -> None:
    """Temporal refused that task: an event had arrived meanwhile, and the steps came out otherwise."""
    journey = await admitted(store)
    left = Passage(3, "hook", "left", NOW)

    async def report(minute: int, *steps: Passage, first: int = 0, revisable: int = 1) -> dict[tuple[str, str], int]:
        at = NOW + timedelta(minutes=minute)
        await store.count_passages(journey, "r", first, steps, revisable=revisable, reported_at=at)
        return {(one.step, one.outcome): one.total for one in await store.passage_counts("a", NOW)}

    mail, hook, sms = passages("mail", "hook", "sms")
    first = await report(1, mail, left)
    assert first == {("mail", "delivered"): 1, ("hook", "left"): 1}
    assert await report(1, mail, left) == first
    assert await report(1, mail) == first, "an earlier report of the same task, late"
    second = await report(2, mail, hook, sms, revisable=2)
    assert second == {("mail", "delivered"): 1, ("hook", "delivered"): 1, ("sms", "delivered"): 1}
    assert await report(1, mail, left) == second, "the first report, late"
    assert await report(3, mail, left) == first
    assert await counted(store, journey) == 2
    # A next run begins behind them: they are settled.
    third = await report(4, sms, first=2)
    assert third == {**first, ("sms", "delivered"): 1}
    assert await report(5, first=2, revisable=0) == first
    assert await report(7, first=2, revisable=0) == first
    assert await report(6, sms, first=2) == first, "a report of a refused task, after one that changed nothing"


async def test_a_journey_that_is_reset_while_it_runs_counts_each_step_once(store: Store) -> None:
    journey, minute = await admitted(store), count()
    for whole in (
        ("mail", "wait", "sms", "hook"),
        ("mail", "wait"),
        ("mail", "wait", "sms"),
        ("mail", "wait", "sms", "hook"),
    ):
        at = NOW + timedelta(minutes=next(minute))
        await store.count_passages(journey, "r", 0, passages(*whole), revisable=1, reported_at=at)
    assert await seen(store) == dict.fromkeys(("mail", "wait", "sms", "hook"), 1)
    assert await counted(store, journey) == 4


@both
async def test_the_same_departure_at_once_counts_once(store: Store, another: Store) -> None:
    journey = await admitted(store)
    steps = passages("mail", "wait", "sms")
    reports = [(0, steps), (0, steps[:2]), (1, steps[1:]), (0, steps)] * 5
    told = [one.count_passages(journey, "r", *report) for one in (store, another) for report in reports]
    await asyncio.gather(*told)
    assert await seen(store) == {"mail": 1, "wait": 1, "sms": 1}
    assert await counted(store, journey) == 3


@both
async def test_departures_at_once_sum_up(store: Store, another: Store) -> None:
    """They write the same rows, in whatever order their journeys went: none waits for another forever."""
    journeys = [await admitted(store) for _ in range(50)]
    orders = (("a", "b", "c", "d"), ("d", "c", "b", "a"), ("c", "a", "d", "b"))
    await asyncio.gather(
        *(
            (store, another)[number % 2].count_passages(journey, "r", 0, passages(*orders[number % 3]))
            for number, journey in enumerate(journeys)
        )
    )
    assert await seen(store) == dict.fromkeys("abcd", 50)


@both
async def test_hours_versions_and_outcomes_are_told_apart(store: Store) -> None:
    journey = await admitted(store)
    india = timezone(timedelta(hours=5, minutes=30))
    early = Passage(2, "mail", "skipped", NOW - timedelta(hours=1))
    late = [Passage(3, "mail", "delivered", NOW.astimezone(india)), Passage(3, "mail", "failed\x00", NOW)]
    await store.count_passages(journey, "r", 0, [early, *late])
    assert await store.passage_counts("a", NOW) == [
        PassageCount(2, "mail", "skipped", 1, 0),
        PassageCount(3, "mail", "delivered", 1, 1),
        PassageCount(3, "mail", "failed\ufffd", 1, 1),
    ]
    assert await store.passage_counts("a", NOW - timedelta(hours=1)) == [
        PassageCount(2, "mail", "skipped", 1, 1),
        PassageCount(3, "mail", "delivered", 1, 1),
        PassageCount(3, "mail", "failed\ufffd", 1, 1),
    ]
    assert await store.passage_counts("b", NOW) == []


@both
async def test_days_are_those_of_utc(store: Store) -> None:
    journey = await admitted(store)
    late = datetime(2026, 3, 3, 23, 30, tzinfo=timezone(timedelta(hours=-5)))  # 04:30 of the next day
    await store.count_passages(journey, "r", 0, [*passages("mail", "mail"), *passages("mail", at=late)])
    found = await store.passages_by_day("a", NOW.date())
    assert [(one.day, one.step, one.total) for one in found] == [("2026-03-03", "mail", 2), ("2026-03-04", "mail", 1)]
    assert [one.day for one in await store.passages_by_day("a", late.astimezone(UTC).date())] == ["2026-03-04"]
    await store.record(
        [attempt("msg_1", scenario="a", started_at=late), attempt("msg_2", scenario="a", started_at=NOW)]
    )
    days = await store.attempts_by_day("a", since=NOW)
    assert sorted((one.day, one.total) for one in days) == [("2026-03-03", 1), ("2026-03-04", 1)]
    assert [one.day for one in await store.attempts_by_day("a", since=NOW, most=1)] == ["2026-03-04"]


async def test_who_is_in_by_which_version_and_how_it_ended(store: Store) -> None:
    first, second, third, _ = [await admitted(store, version=version) for version in (1, 1, 2, 2)]
    await store.adopt(second, "r", 2)
    await store.depart(first, "r", "finished", None, NOW)
    await store.depart(third, "r", "exited", None, NOW)
    found = {(one.version, one.entered_by, one.outcome): one.n for one in await store.journey_counts("a")}
    assert found == {(1, 1, "finished"): 1, (2, 1, None): 1, (2, 2, "exited"): 1, (2, 2, None): 1}
    assert await store.journey_counts("b") == []
