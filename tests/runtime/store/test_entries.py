"""Journeys: their admission, their end, and what a comparison with Temporal writes."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta, timezone
from typing import Any

import pytest

from runtime.store import AcceptedEntry, AdmissionRequest, AdmittedRun, AlreadyEntered, Closure, Store
from runtime.store.entries import KEPT, LOST, TOGETHER
from runtime.store.erasures import COUNTED
from tests import factories
from tests.factories import admission_request, present, stored_entry
from tests.runtime.store.conftest import both

NOW = factories.NOW.replace(microsecond=123456)
HOUR = timedelta(hours=1)


def asking(run_id: str = "run-1", **other: Any) -> AdmissionRequest:
    given: dict[str, Any] = {"again": "when_finished", "now": NOW, "workflow_id": "welcome/7", **other}
    return admission_request(run_id=run_id, **given)


async def runs(store: Store, **wanted: Any) -> list[str]:
    return [entry.run_id for entry in await store.entries(**wanted)]


async def test_the_first_entry_of_a_contact_is_let_in_and_on_record_whoever_asks_again(store: Store) -> None:
    assert not await store.has_entered("7")
    assert await store.admit(asking(key="A1", trigger="order")) == AdmittedRun(1, 1, NOW)
    entry = stored_entry(key="A1", workflow_id="welcome/7", admitted_at=NOW)
    assert await store.entry("welcome/7") == entry
    later = asking(version=2, key="B2", now=NOW + HOUR, again="never")
    assert await store.admit(later) == AdmittedRun(1, 1, NOW, again=True)
    await store.depart("welcome/7", "run-1", "finished", None, NOW + HOUR)
    assert await store.admit(later) == AdmittedRun(1, 1, NOW, again=True)
    assert await store.entries() == [replace(entry, outcome="finished", ended_at=NOW + HOUR)]
    assert await store.has_entered("7")


@both
async def test_journeys_are_found_by_an_event_that_a_version_of_their_scenario_uses(store: Store, another: Store):
    for name, events in {"welcome": ["a_b", "c"], "sale": ["d"], "quiet": [], "odd": None}.items():
        await store.publish(name, {}, {}, "1", events=events)
        await store.admit(admission_request(scenario=name))
    await store.publish("sale", {}, {}, "2", events=["e"])
    await store.admit(admission_request(scenario="gone"))

    async def scenarios(event: str) -> set[str]:
        used, unused = await another.running_by_use("7", event)
        assert len(used) + len(unused) == 5
        return {entry.scenario for entry in used} - {"gone", "odd"}

    found = {name: await scenarios(name) for name in ("a_b", "axb", "A_B", "b", "d", "e")}
    assert found == {"a_b": {"welcome"}, "axb": set(), "A_B": set(), "b": set(), "d": {"sale"}, "e": {"sale"}}


@both
async def test_a_journey_may_use_events_of_the_versions_to_which_it_may_move(store: Store, another: Store):
    for number in range(1, 4):
        await store.publish("sale", {}, {}, str(number), events=[f"of-{number}"])
    await store.admit(admission_request(scenario="sale", version=2))

    async def used() -> list[int]:
        return [number for number in range(1, 4) if (await another.running_by_use("7", f"of-{number}"))[0]]

    assert await used() == [2, 3]
    await store.adopt("sale/7", "run-1", 3)
    assert await used() == [1, 2, 3], "its goal is that of the version that admitted it"
    await store.admit(admission_request(scenario="sale", version=3, key="b", contact_id="8"))
    await store.expect_earlier("sale/8/b", "run-1")
    [[entry], []] = await another.running_by_use("8", "of-1")
    assert (entry.version, entry.entered_by, entry.key) == (3, 3, "b")


@both
async def test_two_attempts_of_one_run_at_once_both_come_in_and_make_one_entry(store: Store, another: Store) -> None:
    for turn in range(3):
        run = asking(f"run-{turn}", contact_id=str(turn), workflow_id=f"welcome/{turn}", again="never")
        answers = await asyncio.gather(store.admit(run), another.admit(run), store.admit(run))
        assert [replace(answer, again=False) for answer in answers] == [AdmittedRun(1, 1, NOW)] * 3
        assert sorted(answer.again for answer in answers if isinstance(answer, AdmittedRun)) == [False, True, True]
    assert len(await store.entries()) == 3


async def test_another_contact_key_or_scenario_is_another_entry(store: Store) -> None:
    first = asking(key="A1", again="never")
    others = [
        replace(first, workflow_id="welcome/7/B2", run_id="run-2", key="B2"),
        replace(first, workflow_id="welcome/7/", run_id="run-3", key=None),
        replace(first, workflow_id="welcome/8/A1", run_id="run-4", contact_id="8"),
        replace(first, workflow_id="birthday/7/A1", run_id="run-5", scenario="birthday"),
    ]
    for run in [first, *others]:
        assert await store.admit(run) == AdmittedRun(1, 1, NOW), run.workflow_id


async def test_a_run_that_never_took_leave_is_lost_when_the_next_one_comes(store: Store) -> None:
    await store.admit(asking())
    assert await store.admit(asking("run-2", now=NOW + HOUR)) == AdmittedRun(1, 2, NOW + HOUR)
    lost = present(await store.entry("welcome/7", "run-1"))
    assert (lost.outcome, lost.ended_at) == ("lost", NOW + HOUR)
    assert isinstance(await store.admit(asking("run-3", again="never", now=NOW + HOUR)), AlreadyEntered)
    assert await store.running("7") == []
    await store.depart("welcome/7", "run-1", "finished", None, NOW)  # it may still say how it ended
    ended = present(await store.entry("welcome/7", "run-1"))
    assert (ended.outcome, ended.ended_at) == ("finished", NOW)


@pytest.mark.parametrize(("again", "before"), [("never", 0), ("when_finished", 2), (HOUR, 1)])
@both
async def test_of_many_that_ask_at_once_one_comes_in(store: Store, another: Store, again: Any, before: int) -> None:
    for number in range(before):
        await store.admit(asking(f"before-{number}", again="always"))
        await store.depart("welcome/7", f"before-{number}", "finished", None, NOW)
    crowd = [
        asking(f"run-{number}", workflow_id=f"welcome-{number}", again=again, now=NOW + HOUR) for number in range(12)
    ]
    answers = await asyncio.gather(*((store if number % 2 else another).admit(run) for number, run in enumerate(crowd)))
    welcome = [answer for answer in answers if isinstance(answer, AdmittedRun)]
    assert welcome == [AdmittedRun(1, before + 1, NOW + HOUR)]
    assert {answer.why for answer in answers if isinstance(answer, AlreadyEntered)} == {"under_way"}
    assert len(await store.running("7")) == 1


@both
async def test_a_journeys_latest_departure_is_believed(store: Store) -> None:
    """Temporal refused the workflow task of the first; its local activity may even end after the second's."""
    await store.admit(asking())
    await store.depart("welcome/7", "run-1", "finished", None, NOW + HOUR)
    await store.depart("welcome/7", "run-1", "exited", "order.returned", NOW + 2 * HOUR)
    await store.depart("welcome/7", "run-1", "finished", None, NOW + HOUR)
    await store.depart("welcome/7", "run-1", LOST, "its workflow is gone", NOW + 3 * HOUR)
    entry = present(await store.entry("welcome/7"))
    assert (entry.outcome, entry.reason, entry.ended_at) == ("exited", "order.returned", NOW + 2 * HOUR)


async def test_a_contacts_journeys_under_way_are_found_at_once_by_others(store: Store, another: Store) -> None:
    await store.admit(asking())
    await store.admit(asking("run-2", scenario="birthday", workflow_id="birthday/7", now=NOW + HOUR))
    await store.admit(asking("run-3", contact_id="8", workflow_id="welcome/8"))
    assert [entry.run_id for entry in await another.running("7")] == ["run-1", "run-2"]
    await another.depart("welcome/7", "run-1", "finished", None, NOW)
    assert [entry.run_id for entry in await store.running("7")] == ["run-2"]
    assert await store.running("9") == []


async def test_a_journey_is_the_newest_run_of_its_workflow_unless_a_run_is_named(store: Store) -> None:
    await store.admit(asking())
    await store.admit(asking("run-2", now=NOW + HOUR))
    newest, first = await store.entry("welcome/7"), await store.entry("welcome/7", "run-1")
    assert newest is not None
    assert first is not None
    assert (newest.run_id, first.run_id) == ("run-2", "run-1")
    assert await store.entry("welcome/7", "run-3") is None
    assert (await store.entry_after(first), await store.entry_after(newest)) == (newest, None)


async def test_journeys_are_listed_newest_first_by_what_is_wanted(store: Store) -> None:
    for run, changes in {
        "a": {},
        "b": {"contact_id": "8", "key": "A1"},
        "c": {"contact_id": "9", "version": 2},
        "d": {"scenario": "birthday"},
    }.items():
        number = ord(run) - ord("a")
        await store.admit(asking(run, **{"workflow_id": f"w-{run}", "now": NOW + number * HOUR, **changes}))
    await store.depart("w-a", "a", "finished", None, NOW)
    await store.depart("w-b", "b", "exited", "gone", NOW)
    cases: list[tuple[dict[str, Any], str]] = [
        ({}, "dcba"),
        ({"limit": 2}, "dc"),
        ({"scenario": "welcome"}, "cba"),
        ({"version": 2}, "c"),
        ({"contact_id": "7"}, "da"),
        ({"key": "A1"}, "b"),
        ({"running": True}, "dc"),
        ({"running": False}, "ba"),
        ({"outcome": "exited"}, "b"),
        ({"since": NOW + HOUR}, "dcb"),
        ({"since": NOW + HOUR + timedelta(microseconds=1)}, "dc"),
        ({"scenario": "welcome", "running": True, "contact_id": "9"}, "c"),
        ({"scenario": "wellcome"}, ""),
    ]
    for wanted, expected in cases:
        assert (wanted, await runs(store, **wanted)) == (wanted, list(expected))


@both
async def test_times_come_back_in_utc_to_the_microsecond(store: Store) -> None:
    paris = timezone(timedelta(hours=2))
    await store.admit(asking(now=NOW.astimezone(paris)))
    entry = present(await store.entry("welcome/7"))
    assert entry.admitted_at.isoformat() == "2026-03-29T01:30:00.123456+00:00"
    with pytest.raises(ValueError, match="time zone"):
        await store.admit(asking(now=NOW.replace(tzinfo=None)))


@both
async def test_text_that_no_database_keeps_does_not_keep_a_contact_out(store: Store) -> None:
    strange = asking(workflow_id="welcome/7\x00", contact_id="7\x00", key="\ud800", again="never")
    assert isinstance(await store.admit(strange), AdmittedRun)
    assert isinstance(await store.admit(strange), AdmittedRun)
    assert isinstance(await store.admit(replace(strange, run_id="run-2")), AlreadyEntered)
    assert await store.has_entered("7\x00")


@both
async def test_pages_follow_each_other_whatever_happens_meanwhile(store: Store) -> None:
    for number in range(7):  # three came in at one moment, and four at another
        moment = NOW + (number // 4) * HOUR
        await store.admit(asking(f"run-{number}", contact_id=str(number), workflow_id=f"w/{number}", now=moment))
    first = await store.entries(running=True, limit=3)
    await store.depart("w/4", "run-4", "finished", None, NOW + HOUR)
    await store.admit(asking("run-8", contact_id="8", workflow_id="w/8", now=NOW + 2 * HOUR))
    second = await store.entries(running=True, after=first[-1], limit=3)
    third = await store.entries(running=True, after=second[-1], limit=3)
    assert [[entry.run_id for entry in page] for page in (first, second, third)] == [
        ["run-6", "run-5", "run-4"],
        ["run-3", "run-2", "run-1"],
        ["run-0"],
    ]


async def many(store: Store) -> list[str]:
    """Ids of more journeys than one statement names: three were admitted, and the second of these is over."""
    ids = [f"welcome/{number}" for number in range(TOGETHER + 10)]
    for number in (0, 3, TOGETHER + 5):
        await store.admit(asking(contact_id=str(number), workflow_id=ids[number]))
    await store.depart(ids[3], "run-1", "finished", None, NOW)
    return ids


@both
async def test_of_many_runs_it_is_told_at_once_who_was_let_in(store: Store) -> None:
    """Under way or over, and not by the workflow id alone: a run that was refused has that of an earlier one."""
    ids = await many(store)
    asked = [(name, run) for name in ids for run in ("run-1", "run-2")]
    assert await store.admitted(asked) == {(ids[number], "run-1") for number in (0, 3, TOGETHER + 5)}
    assert await store.admitted([]) == set()


async def test_of_many_journeys_those_under_way_are_told_at_once(store: Store) -> None:
    ids = await many(store)
    found = await store.find_running(ids)
    assert found.keys() == {ids[0], ids[TOGETHER + 5]}
    assert found[ids[0]] == await store.entry(ids[0])


MISSING = stored_entry(
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
    await store.restore(MISSING)
    written = await store.entry("a/7", "r1")
    assert written == replace(MISSING, ordinal=1)
    await store.restore(replace(MISSING, reason="told again"))
    assert await store.entry("a/7", "r1") == written
    await store.restore(replace(MISSING, run_id="r2", ended_at=None, outcome=None, branches=None))
    assert await store.entry("a/7", "r2") == replace(
        MISSING, run_id="r2", ended_at=None, outcome=None, branches=None, ordinal=2
    )
    await store.restore(replace(MISSING, run_id="r0"))
    assert [(entry.run_id, entry.ordinal) for entry in await store.running("7")] == [("r2", 2)], "it still runs"


@both
async def test_several_of_one_contact_are_written_back_at_once(store: Store) -> None:
    await asyncio.gather(*(store.restore(replace(MISSING, run_id=f"r{n}")) for n in range(8)))
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


FIRST = AcceptedEntry("sale/7/A", "run-1", "7", NOW)
SECOND = AcceptedEntry("sale/7/B", "run-2", "7", NOW + timedelta(seconds=1))
OTHER = AcceptedEntry("sale/8", "run-3", "8", NOW)


def admission_of(entry: AcceptedEntry, key: str | None = None) -> AdmissionRequest:
    given = {"workflow_id": entry.workflow_id, "run_id": entry.run_id}
    return admission_request(entry.contact_id, "sale", key=key, **given)


async def accept(store: Store, *entries: AcceptedEntry) -> None:
    for entry in entries:
        await store.accept(entry)


@both
async def test_an_entry_is_pending_until_its_run_is_admitted(store: Store, another: Store) -> None:
    await accept(store, SECOND, FIRST, OTHER, FIRST)
    assert await another.pending_entries("7") == [FIRST, SECOND]
    await another.admit(admission_of(FIRST, "A"))
    assert await store.pending_entries("7") == [SECOND]
    await store.depart(FIRST.workflow_id, FIRST.run_id, "finished", None, NOW)
    assert await store.pending_entries("7") == [SECOND], "whose run was admitted is pending no more"
    later = AcceptedEntry(FIRST.workflow_id, "run-9", "7", NOW - timedelta(hours=1))  # by a clock that is behind
    await accept(store, later)
    assert await store.pending_entries("7") == [later, SECOND]
    await store.forget_accepted(later)
    assert await store.pending_entries("7") == [SECOND]


@both
async def test_rows_are_deleted_once_they_are_admitted_or_old(store: Store) -> None:
    await accept(store, FIRST, SECOND, OTHER)
    await store.admit(admission_of(FIRST, "A"))
    assert await store.prune_accepted(NOW + KEPT) == 1
    assert await store.pending_entries("7") == [SECOND]
    assert await store.prune_accepted(NOW + KEPT + timedelta(milliseconds=1)) == 1
    assert await store.prune_accepted(NOW + 2 * KEPT) == 1
    assert await store.prune_accepted(NOW + 2 * KEPT) == 0


async def test_erasing_a_contact_leaves_none_of_its_rows(store: Store) -> None:
    await accept(store, FIRST, SECOND, OTHER)
    assert sorted(await store.journeys_of("7")) == [("sale/7/A", "run-1"), ("sale/7/B", "run-2")]
    assert (await store.count_rows_of("7"))["accepted_entries"] == 2
    await store.erase("7", "0123")
    assert await store.count_rows_of("7") == dict.fromkeys(COUNTED, 0)
    assert await store.pending_entries("7") == []
    assert await store.pending_entries("8") == [OTHER]
