"""Campaigns in the store: each line gets one outcome, and an ended campaign keeps nothing of its contacts' data."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from runtime.store import AdmissionRequest, Store
from runtime.store.campaigns import CampaignItem, StoredCampaign
from runtime.store.retention import Pruner

NOW = datetime(2026, 11, 27, 9, 0, tzinfo=UTC)
CAMPAIGN = StoredCampaign(
    name="sale", scenario="offer", version=2, digest="", form="", rate=50.0, operator="ann", created_at=NOW
)


@pytest.fixture
async def stored(store: Store) -> Store:
    """A campaign of ten lines, of which one is invalid."""
    assert await store.add_campaign(CAMPAIGN)
    lines = [CampaignItem(line=n, contact_id=f"c{n}", journey=f"offer/c{n}/sale", entry="e") for n in range(2, 11)]
    await store.add_campaign_items("sale", [*lines, CampaignItem(line=11, outcome="invalid", reason="no id")])
    await store.describe_campaign("sale", "digest", "CSV", 10)
    assert await store.complete_campaign("sale", NOW, NOW)
    return store


async def counts(store: Store) -> dict[str, int]:
    return (await store.campaign_counts(["sale"]))["sale"]


async def test_a_campaign_is_stored_once_and_described_until_it_starts(stored: Store) -> None:
    assert not await stored.add_campaign(replace(CAMPAIGN, operator="bob"))
    await stored.describe_campaign("sale", "another", "JSON", 99)
    assert await stored.complete_campaign("sale", NOW, NOW + timedelta(days=1))
    await stored.withdraw_campaign("sale", NOW)
    found = await stored.stored_campaign("sale")
    assert found == replace(CAMPAIGN, digest="digest", form="CSV", lines=10, loaded_at=NOW)
    assert sum((await counts(stored)).values()) == 10


async def test_one_that_is_not_complete_is_withdrawn_with_its_lines(store: Store) -> None:
    await store.add_campaign(CAMPAIGN)
    await store.add_campaign_items("sale", [CampaignItem(line=1, contact_id="7")])
    await store.withdraw_campaign("sale", NOW + timedelta(seconds=1))  # another of this name
    assert not await store.complete_campaign("sale", NOW + timedelta(seconds=1), NOW)
    assert await store.stored_campaign("sale") == CAMPAIGN
    await store.withdraw_campaign("sale", NOW)
    assert await store.stored_campaign("sale") is None
    assert await counts(store) == {}


async def test_the_first_outcome_of_a_line_stands_and_its_entry_goes(stored: Store) -> None:
    await stored.record_campaign_outcome("sale", [2, 3], "entered", None, NOW)
    await stored.record_campaign_outcome("sale", [3, 4], "refused", "erased", NOW)
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
        await stored.record_campaign_outcome("sale", [2], "entered", None, NOW)
    await stored.refuse_campaign_entry("sale", "c2", "offer/c2/sale", "no consent", NOW)
    await stored.refuse_campaign_entry("sale", "c3", "another/c3/sale", "of another journey", NOW)
    if first:
        await stored.record_campaign_outcome("sale", [2], "entered", None, NOW)
    [item] = await stored.campaign_items("sale", outcome="refused")
    assert (item.line, item.reason, item.answered_at) == (2, "no consent", NOW)


async def test_a_refusal_of_a_later_entry_changes_nothing(stored: Store) -> None:
    await stored.record_campaign_outcome("sale", [2], "entered", None, NOW)
    await stored.admit(AdmissionRequest("offer", 2, "c2", "sale", "offer/c2/sale", "r1", "never", NOW, "segment"))
    await stored.refuse_campaign_entry("sale", "c2", "offer/c2/sale", "admitted only once", NOW)
    assert await counts(stored) == {"entered": 1, "invalid": 1, "pending": 8}


async def test_lines_are_listed_by_outcome_and_range(stored: Store) -> None:
    await stored.record_campaign_outcome("sale", [2, 5], "entered", None, NOW)
    waiting = await stored.campaign_items("sale", outcome="pending", after=3, until=7)
    assert [item.line for item in waiting] == [4, 6, 7]
    assert [item.line for item in await stored.campaign_items("sale", after=8, limit=2)] == [9, 10]


async def test_a_pause_and_a_rate_are_recorded_until_it_has_ended(stored: Store) -> None:
    await stored.pause_campaign("sale", "ann", "look")
    await stored.set_campaign_rate("sale", 7.5)
    found = await stored.stored_campaign("sale")
    assert found is not None
    assert (found.paused_by, found.pause_reason, found.rate) == ("ann", "look", 7.5)
    await stored.end_campaign("sale", "stopped", NOW, stopped_by="bob", stop_reason="enough")
    await stored.end_campaign("sale", "finished", NOW + timedelta(days=1))
    await stored.pause_campaign("sale", "ann", "too late")
    found = await stored.stored_campaign("sale")
    assert found is not None
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
    await stored.record_campaign_outcome("sale", [3], "entered", None, NOW)
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
