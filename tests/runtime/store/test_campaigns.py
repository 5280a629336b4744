"""Campaigns in the store: each line gets one outcome, and an ended campaign keeps nothing of its contacts' data."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from runtime.store import AdmissionRequest, Store
from runtime.store.campaign_lines import LineEnd
from runtime.store.campaigns import CampaignItem
from runtime.store.retention import Pruner
from tests.factories import present, stored_campaign

NOW = datetime(2026, 11, 27, 9, 0, tzinfo=UTC)
CAMPAIGN = stored_campaign(scenario="offer", version=2, created_at=NOW)


@pytest.fixture
async def stored(store: Store) -> Store:
    """A campaign of ten lines, of which one is invalid."""
    assert await store.add_campaign(CAMPAIGN)
    lines = [
        CampaignItem(line=n, place=n - 1, contact_id=f"c{n}", journey=f"offer/c{n}/sale", entry="e")
        for n in range(2, 11)
    ]
    await store.add_campaign_items("sale", [*lines, CampaignItem(line=11, outcome="invalid", reason="no id")])
    await store.complete_campaign("sale", NOW)
    await store.confirm_campaign("sale", NOW)
    return store


async def counts(store: Store) -> dict[str, int]:
    return (await store.campaign_counts(["sale"]))["sale"]


async def test_a_campaign_is_stored_once_and_keeps_the_first_times(stored: Store) -> None:
    assert not await stored.add_campaign(replace(CAMPAIGN, operator="bob"))
    await stored.complete_campaign("sale", NOW + timedelta(days=1))
    await stored.confirm_campaign("sale", NOW + timedelta(days=1))
    assert await stored.stored_campaign("sale") == replace(CAMPAIGN, loaded_at=NOW, confirmed_at=NOW)


async def test_one_that_ended_before_its_start_is_withdrawn_with_its_lines(stored: Store) -> None:
    await stored.withdraw_campaign("sale")
    await stored.end_campaign("sale", "stopped", NOW)
    await stored.withdraw_campaign("sale")
    assert sum((await counts(stored)).values()) == 10
    for begun in ({}, {"loaded_at": NOW}, {"confirmed_at": NOW}):
        name = "-".join(("new", *begun)).replace("_", "-")
        await stored.add_campaign(replace(CAMPAIGN, name=name, **begun))
        await stored.add_campaign_items(name, [CampaignItem(line=1, contact_id="7")])
        await stored.end_campaign(name, "failed", NOW)
        await stored.withdraw_campaign(name)
        assert await stored.stored_campaign(name) is None
        assert await stored.campaign_items(name) == []


async def test_entries_that_are_due_together_form_a_group_with_places_of_its_own(store: Store) -> None:
    await store.add_campaign(CAMPAIGN)
    later = NOW + timedelta(hours=1)
    dues = [(2, 1, later), (3, 1, NOW), (4, 2, later), (5, 3, later)]
    lines = [CampaignItem(line=line, place=place, due_at=due, contact_id="c") for line, place, due in dues]
    await store.add_campaign_items("sale", [*lines, CampaignItem(line=6, outcome="invalid")])
    assert await store.campaign_groups("sale") == [(NOW, 1), (later, 3)]
    await store.end_campaign_lines("sale", [LineEnd(4, "entered")], NOW)
    assert [item.line for item in await store.campaign_chunk("sale", later, 1, 2)] == [2]
    assert [item.line for item in await store.campaign_chunk("sale", later, 2, 9)] == [5]
    assert await store.campaign_chunk("sale", None, 1, 9) == []


async def test_the_first_outcome_of_a_line_stands_and_its_entry_goes(stored: Store) -> None:
    await stored.end_campaign_lines("sale", [LineEnd(2, "entered"), LineEnd(3, "entered")], NOW)
    await stored.end_campaign_lines("sale", [LineEnd(3, "refused", "erased"), LineEnd(4, "refused", "erased")], NOW)
    items = {item.line: item for item in await stored.campaign_items("sale")}
    assert [(items[line].outcome, items[line].reason, items[line].entry) for line in (2, 3, 4, 5)] == [
        ("entered", None, None),
        ("entered", None, None),
        ("refused", "erased", None),
        (None, None, "e"),
    ]
    assert await counts(stored) == {"entered": 2, "refused": 1, "invalid": 1, "pending": 6}


@pytest.mark.parametrize("first", [True, False], ids=["before it is recorded", "after it is recorded"])
async def test_a_refusal_by_the_admission_replaces_an_entry(stored: Store, first: bool) -> None:
    if not first:
        await stored.end_campaign_lines("sale", [LineEnd(2, "entered")], NOW)
    await stored.refuse_campaign_entry("sale", "c2", "offer/c2/sale", "no consent", NOW)
    await stored.refuse_campaign_entry("sale", "c3", "another/c3/sale", "of another journey", NOW)
    if first:
        await stored.end_campaign_lines("sale", [LineEnd(2, "entered")], NOW)
    [item] = await stored.campaign_items("sale", outcome="refused")
    assert (item.line, item.reason, item.answered_at) == (2, "no consent", NOW)


async def test_a_refusal_of_a_later_entry_changes_nothing(stored: Store) -> None:
    await stored.end_campaign_lines("sale", [LineEnd(2, "entered")], NOW)
    await stored.admit(AdmissionRequest("offer", 2, "c2", "sale", "offer/c2/sale", "r1", "never", NOW, "segment"))
    await stored.refuse_campaign_entry("sale", "c2", "offer/c2/sale", "admitted only once", NOW)
    assert await counts(stored) == {"entered": 1, "invalid": 1, "pending": 8}


async def test_lines_are_listed_by_outcome_and_place(stored: Store) -> None:
    await stored.end_campaign_lines("sale", [LineEnd(2, "entered"), LineEnd(5, "entered")], NOW)
    waiting = await stored.campaign_items("sale", outcome="pending", after=3, limit=3)
    assert [item.line for item in waiting] == [4, 6, 7]
    assert [item.line for item in await stored.campaign_chunk("sale", None, 3, 6)] == [4, 6, 7]
    assert [item.line for item in await stored.campaign_items("sale", after=8, limit=2)] == [9, 10]


async def test_a_pause_and_a_rate_are_recorded_until_it_has_ended(stored: Store) -> None:
    await stored.pause_campaign("sale", "ann", "look")
    await stored.set_campaign_rate("sale", 7.5)
    found = present(await stored.stored_campaign("sale"))
    assert (found.paused_by, found.pause_reason, found.rate) == ("ann", "look", 7.5)
    await stored.end_campaign("sale", "stopped", NOW, stopped_by="bob", stop_reason="enough")
    await stored.end_campaign("sale", "finished", NOW + timedelta(days=1))
    await stored.pause_campaign("sale", "ann", "too late")
    found = present(await stored.stored_campaign("sale"))
    assert (found.outcome, found.ended_at, found.stopped_by, found.stop_reason) == ("stopped", NOW, "bob", "enough")
    assert found.paused_by is None
    assert await counts(stored) == {"skipped": 9, "invalid": 1}
    assert {item.entry for item in await stored.campaign_items("sale")} == {None}


async def test_campaigns_are_listed_newest_first(stored: Store) -> None:
    for n in (1, 2):
        await stored.add_campaign(replace(CAMPAIGN, name=f"later-{n}", created_at=NOW + timedelta(hours=n)))
    await stored.end_campaign("sale", "finished", NOW)
    found = await stored.stored_campaigns(limit=2)
    assert [one.name for one in found] == ["later-2", "later-1"]
    assert [one.name for one in await stored.stored_campaigns(after=found[-1])] == ["sale"]
    assert [one.name for one in await stored.stored_campaigns(is_open=True)] == ["later-2", "later-1"]


async def test_an_erased_contact_is_in_no_line(stored: Store) -> None:
    await stored.end_campaign_lines("sale", [LineEnd(3, "entered")], NOW)
    for contact in ("c2", "c3"):
        assert (await stored.count_rows_of(contact)).campaign_items == 1
        await stored.erase(contact, "hash")
        assert (await stored.count_rows_of(contact)).campaign_items == 0
    second, third = (await stored.campaign_items("sale"))[:2]
    assert (second.contact_id, second.journey, second.entry) == ("erased:hash", None, None)
    assert (second.outcome, second.reason) == ("refused", "the contact was erased")
    assert (third.outcome, third.reason) == ("entered", None)


async def test_old_campaigns_are_pruned_with_their_lines(stored: Store) -> None:
    await stored.add_campaign(replace(CAMPAIGN, name="open"))
    await stored.end_campaign("sale", "finished", NOW)
    rows: dict[str, int] = {}

    def told(table: str, deleted: int) -> None:
        rows[table] = rows.get(table, 0) + deleted

    await Pruner(stored).run({"operations": timedelta(days=1)}, NOW + timedelta(days=2), told=told)
    assert {name: number for name, number in rows.items() if number} == {"campaign_items": 10, "campaigns": 1}
    assert [one.name for one in await stored.stored_campaigns()] == ["open"]
