"""Outgoing events: each is written with the row that it reports, and read in the order of commits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from runtime.store import Store
from runtime.store.campaign_lines import LineEnd
from runtime.store.campaigns import CampaignItem
from runtime.store.outgoing_sends import PendingSend
from scenario.words import EVENT_TYPES
from tests.factories import NOW, admission_request, attempt, stored_campaign
from tests.runtime.store.conftest import Server, both

LATER = NOW + timedelta(hours=1)
WELCOME = admission_request(goal_until=LATER)


@pytest.fixture
async def log(store: Store) -> AsyncIterator[Store]:
    await store.want_events(EVENT_TYPES)
    yield store
    await store.want_events([])  # the rows of a test are deleted, and deleted pauses are events


async def told(store: Store) -> list[tuple[str, str]]:
    return [(one.type, one.subject) for one in (await store.outgoing_events(0))[0]]


async def live(store: Store) -> None:
    """Has everything happen that is reported, and much of it twice."""
    for _ in range(2):
        await store.admit(WELCOME)
        await store.record([attempt(workflow_id="welcome/7", contact_id="7", outcome="retry", next_try_at=LATER)])
        await store.record([attempt(workflow_id="welcome/7", contact_id="7", attempt=2, started_at=LATER)])
        await store.record([attempt(workflow_id="welcome/7", contact_id="7", attempt=3, started_at=LATER)])
        await store.reach("welcome/7", "run-1", LATER)
        await store.depart("welcome/7", "run-1", "finished", None, LATER)
    await store.depart("welcome/7", "run-1", "exited", "the words of an operator", LATER)
    await store.admit(admission_request("8", outcome="control"))
    for number, outcome in enumerate(("failed", "refused_answer", "unknown", "skipped", "cancelled")):
        await store.record([attempt(f"msg_{outcome}", workflow_id="welcome/9", contact_id="9", outcome=outcome)])
        await store.record([attempt(f"t{number}", workflow_id="", contact_id="9", outcome=outcome, test_by="ann")])
    await store.record([attempt("batch", workflow_id="batch-1", contact_id="batch-1")])


LIVED = [
    ("journey.entered", "welcome/7"),
    ("delivery.delivered", "welcome/7"),
    ("goal.reached", "welcome/7"),
    ("journey.ended", "welcome/7"),
    ("journey.ended", "welcome/7"),  # it ended otherwise than it had reported
    ("journey.entered", "welcome/8"),
    ("journey.ended", "welcome/8"),
    ("delivery.failed", "welcome/9"),
    ("delivery.failed", "welcome/9"),
    ("delivery.failed", "welcome/9"),
    ("delivery.skipped", "welcome/9"),
]


@both
async def test_rows_are_reported_once_and_only_by_ids(log: Store) -> None:
    await live(log)
    assert await told(log) == LIVED
    events = (await log.outgoing_events(0))[0]
    assert len({one.id for one in events}) == len(events)
    delivered, ended = events[1], events[4]
    assert (delivered.contact_id, delivered.scenario, delivered.at) == ("7", "welcome", LATER)
    assert delivered.data == {
        "version": 1,
        "step": delivered.data["step"],
        "channel": "webhook",
        "destination": delivered.data["destination"],
        "delivery_id": "msg_1",
        "attempt": 2,
        "outcome": "delivered",
        "status": None,
        "error": None,
    }
    assert ended.data == {"version": 1, "outcome": "exited"}


async def test_nothing_is_stored_that_nobody_wants(log: Store) -> None:
    await log.want_events(["goal.reached"])
    await live(log)
    assert await told(log) == [("goal.reached", "welcome/7")]


@both
async def test_campaigns_and_destinations_are_reported(log: Store) -> None:
    await log.add_campaign(stored_campaign())
    await log.add_campaign_items("sale", [CampaignItem(line=n, contact_id=str(n), journey=f"a/{n}") for n in (1, 2)])
    await log.confirm_campaign("sale", NOW)
    inline = admission_request("1", key="sale", root="run-1")
    for _ in range(2):  # put back while its receiver took no messages
        await log.admit_many([inline])
        await log.put_back_campaign_lines("sale", [1], [(inline.workflow_id, "run-1")])
    for _ in range(2):
        await log.end_campaign_lines("sale", [LineEnd(1, "entered"), LineEnd(2, "refused")], NOW)
    assert await log.refuse_campaign_entry("sale", "1", "a/1", "why", NOW)
    assert not await log.refuse_campaign_entry("sale", "3", "a/3", "why", NOW)
    for _ in range(2):
        await log.end_campaign("sale", "stopped", LATER)
        await log.pause_destination("wax", NOW)
    await log.record([attempt("of before", workflow_id="a", destination="wax", started_at=NOW - timedelta(minutes=1))])
    assert (await told(log))[-2:] == [("destination.paused", "wax"), ("delivery.delivered", "a")]
    await log.record([attempt("a probe", workflow_id="a", destination="wax", started_at=LATER)])
    await log.recover_destination("wax")
    found = await told(log)
    assert [one for one in found if not one[0].startswith("delivery")] == [
        ("journey.entered", "welcome/1/sale"),
        ("journey.refused", "a/2"),
        ("campaign.started", "sale"),
        ("journey.refused", "a/1"),
        ("campaign.finished", "sale"),
        ("destination.paused", "wax"),
        ("destination.recovered", "wax"),
    ]


async def test_an_event_of_no_row_is_stored_once(log: Store) -> None:
    about: dict[str, Any] = {"subject": "welcome/7", "scenario": "welcome", "contact_id": "7", "data": {"step": "a"}}
    for identifier, at in (("e1", NOW), ("e1", LATER), ("e2", NOW)):
        await log.report_event("journey.held", identifier, at, **about)
    assert [(one.id, one.at) for one in (await log.outgoing_events(0))[0]] == [("e1", NOW), ("e2", NOW)]
    await log.want_events([])
    await log.report_event("journey.held", "e3", LATER, **about)
    assert len(await told(log)) == 2


async def test_events_are_filtered_and_the_position_passes_those_left_out(log: Store) -> None:
    await live(log)
    found, position = await log.outgoing_events(0, types=["goal.reached"], scenarios=["welcome"])
    assert [one.type for one in found] == ["goal.reached"]
    assert position == await log.last_event()
    assert await log.outgoing_events(0, scenarios=["another"]) == ([], position)
    first, place = await log.outgoing_events(0, limit=4)
    rest, _ = await log.outgoing_events(place)
    assert [(one.type, one.subject) for one in (*first, *rest)] == LIVED


async def test_a_reader_misses_no_event_that_is_committed_late(postgresql_url: str, postgresql: Server) -> None:
    """A transaction takes the lower number, and commits after a reader has gone past the higher one."""
    async with Store.open(postgresql_url) as store, Store.open(postgresql_url) as another:
        await store.want_events(EVENT_TYPES)
        with psycopg.connect(host=str(postgresql.folder), user="postgres", dbname="postgres") as late:
            late.execute(f"SET search_path = {postgresql_url.rpartition('%3D')[2]}".encode())
            late.execute(
                "INSERT INTO campaigns (name, scenario, version, audience, file, digest, accept, rate, operator, gear, "
                "gear_reason, destination, created_at, confirmed_at) "
                "VALUES ('late', 'a', 1, '', '', '', 0, 1, '', '', '', '', now(), now())"
            )
            late.execute("UPDATE campaigns SET ended_at = now(), outcome = 'finished'")
            await store.admit(WELCOME)
            first, position = await store.outgoing_events(0)
            late.commit()
        found = await asyncio.gather(*(one.outgoing_events(position) for one in (store, another, store)))
        assert [one.subject for one in first] == ["welcome/7"]
        assert [[one.subject for one in events] for events, _ in found] == [["late"]] * 3


async def test_nothing_of_an_erased_contact_is_left(log: Store) -> None:
    await live(log)
    assert (await log.count_rows_of("7"))["outgoing_events"] == 5
    await log.erase("7", "0123")
    assert (await log.count_rows_of("7"))["outgoing_events"] == 0
    assert [one.contact_id for one in (await log.outgoing_events(0))[0]] == ["8", "8", "9", "9", "9", "9"]


@both
async def test_all_new_events_get_their_positions(log: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.store.outgoing.TOGETHER", 1)
    await live(log)
    latest = await log.last_event()
    assert await log.outgoing_events(latest) == ([], latest)


@both
async def test_events_after_a_leap_follow_it(log: Store) -> None:
    for number, to in enumerate((10**15, 2 * 10**15, 10**15)):
        await log.leap(to)
        await log.admit(admission_request(str(number)))
        await log.last_event()
    found = (await log.outgoing_events(0))[0]
    assert [one.position // 10**15 for one in found] == [1, 2, 2]
    assert [one.contact_id for one in (await log.outgoing_events(found[1].position))[0]] == ["2"]


def pending(position: int, subject: str, **given: Any) -> PendingSend:
    defaults: dict[str, Any] = {"attempts": 0, "next_try_at": NOW, "reason": None, "held_at": None, "recorded_at": NOW}
    return PendingSend(subscription="crm", position=position, subject=subject, **{**defaults, **given})


@both
async def test_an_event_waits_for_earlier_ones_about_its_subject_alone(log: Store) -> None:
    assert await log.outgoing_cursor("crm", 7) == 7
    assert await log.outgoing_cursor("crm", 9) == 7
    sends = [pending(1, "a"), pending(2, "a"), pending(3, "b", next_try_at=LATER), pending(4, "c"), pending(5, "c")]
    await log.add_sends(sends)
    assert [one.position for one in await log.due_sends("crm", NOW, 9)] == [1, 4]
    await log.defer_send(replace(sends[0], attempts=1, reason="crm answered 400", held_at=NOW))
    await log.defer_send(pending(9, "z", attempts=1, next_try_at=LATER))  # skipped meanwhile: it stays away
    assert [one.position for one in await log.due_sends("crm", NOW, 9)] == [4]
    [state] = await log.subscription_states()
    assert (state.held, state.failing, state.waiting, state.oldest) == (1, 2, 2, NOW)
    assert await log.skip_sends("crm", [1, 4]) == 1  # the other one is not held
    assert [one.position for one in await log.due_sends("crm", NOW, 9)] == [2, 4]
    await log.defer_send(replace(sends[1], attempts=3, held_at=NOW))
    assert await log.release_sends("crm", None, NOW) == 1
    assert [one.attempts for one in await log.due_sends("crm", NOW, 1)] == [0]


async def test_a_replay_moves_the_cursor_under_a_sender_and_forgets_what_comes_again(log: Store) -> None:
    await log.outgoing_cursor("crm", 7)
    await log.add_sends([pending(2, "a", held_at=NOW), pending(5, "b")])
    assert await log.replay_outgoing("crm", 3)
    assert not await log.move_cursor("crm", 7, 9)
    assert await log.move_cursor("crm", 3, 9)
    assert await log.replay_outgoing("crm", 2**62)
    assert await log.outgoing_cursor("crm", 0) == 9, "none is left out"
    assert await log.pending_subjects("crm", ["a", "b"]) == {"a"}
    assert not await log.replay_outgoing("another", 3)
