"""Campaigns in the store: uploaded files, lines with one outcome each, and the entries that they begin and end."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from runtime.store import AdmissionRequest, AdmittedRun, AlreadyEntered, Closure, Store
from runtime.store.campaign_lines import LineDeparture, LineEnd, StoredAudience
from runtime.store.campaigns import CampaignItem
from runtime.store.passages import Passage
from runtime.store.retention import Pruner
from tests.factories import NOW, admission_request, present, stored_campaign
from tests.runtime.store.conftest import both

CAMPAIGN = stored_campaign(scenario="offer", version=2)


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
        assert (await stored.count_rows_of(contact))["campaign_items"] == 1
        await stored.erase(contact, "hash")
        assert (await stored.count_rows_of(contact))["campaign_items"] == 0
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


FILE = StoredAudience(id="a1", name="people.csv", owner="ann", created_at=NOW)
SALE = stored_campaign(audience="a1")


@pytest.fixture
async def uploaded(store: Store) -> Store:
    await add(store, FILE)
    return store


async def add(store: Store, file: StoredAudience) -> None:
    await store.add_audience(file)
    await store.add_audience_part(file.id, 0, "one")
    await store.add_audience_part(file.id, 1, "two")
    assert await store.complete_audience(file.id, "sha", 6, 2, NOW)


async def test_the_newest_complete_file_of_a_key_is_found(uploaded: Store) -> None:
    await add(uploaded, replace(FILE, id="a2", created_at=NOW + timedelta(hours=1)))
    await uploaded.add_audience(replace(FILE, id="a3", created_at=NOW + timedelta(hours=2)))
    await add(uploaded, replace(FILE, id="a4", owner="bob", created_at=NOW + timedelta(hours=3)))
    found = present(await uploaded.newest_audience("ann", "people.csv"))
    assert (found.id, found.digest, found.bytes, found.parts) == ("a2", "sha", 6, 2)
    assert await uploaded.newest_audience("ann", "other.csv") is None
    assert [await uploaded.audience_part("a2", number) for number in range(3)] == ["one", "two", None]


async def test_one_is_kept_while_another_campaign_is_to_read_it(uploaded: Store) -> None:
    await uploaded.add_campaign(SALE)
    await uploaded.add_campaign(replace(SALE, name="ended"))
    await uploaded.end_campaign("ended", "failed", NOW)
    await uploaded.delete_audience("a1", besides="other")
    assert await uploaded.delete_audiences(NOW + timedelta(days=1)) == (0, 1)
    assert await uploaded.audience_part("a1", 0) == "one"
    await add(uploaded, replace(FILE, id="a2"))
    await add(uploaded, replace(FILE, id="a3", created_at=NOW + timedelta(days=2)))
    assert await uploaded.delete_audiences(NOW + timedelta(days=1)) == (1, 1)
    assert [await uploaded.audience_part(name, 0) for name in ("a2", "a3")] == [None, "one"]
    await uploaded.delete_audience("a1", besides="sale")
    assert (await uploaded.stored_audience("a1"), await uploaded.audience_part("a1", 0)) == (None, None)
    assert not await uploaded.complete_audience("a1", "sha", 6, 2, NOW)


LATER = NOW + timedelta(hours=1)


def line(contact: str, **given: Any) -> AdmissionRequest:
    """The admission of a line without a workflow."""
    return admission_request(contact, **{"key": "sale", "run_id": f"r{contact}", "root": f"r{contact}", **given})


def taken_over(contact: str) -> AdmissionRequest:
    """The admission of the workflow that continues the line."""
    return line(contact, run_id=f"w{contact}")


@both
async def test_many_are_admitted_as_each_would_be_alone(store: Store) -> None:
    many = [
        line("1", branches={"a": "é\x00"}, goal_until=LATER),
        line("2", outcome="control", reason="for comparison"),
        line("3", again="never"),
        line("4", again=timedelta(hours=2)),
        line("5", key=None),
    ]
    found = list[Any]()
    for at_once in (True, False):
        name = "many" if at_once else "one"
        asking = [replace(one, scenario=name, workflow_id=f"{name}/{one.contact_id}/sale") for one in many]
        await store.admit(replace(asking[2], run_id="before", root=None))
        await store.admit(replace(asking[3], run_id="before", root=None, admitted_at=NOW - timedelta(hours=1)))
        await store.depart(asking[3].workflow_id, "before", "finished", None, NOW)
        answers = await store.admit_many(asking) if at_once else [await store.admit(one) for one in asking]
        rows = sorted(await store.entries(scenario=name), key=lambda entry: (entry.contact_id, entry.run_id))
        found.append(
            [
                [replace(one, workflow_id="") if isinstance(one, AlreadyEntered) else one for one in answers],
                [replace(row, scenario="", workflow_id="") for row in rows],
            ]
        )
    assert found[0] == found[1]
    assert [type(one) for one in found[0][0][2:4]] == [AlreadyEntered, AlreadyEntered]


async def test_a_workflow_takes_an_entry_over_once(store: Store) -> None:
    await store.admit_many([line("1")])
    await store.close_scenario(Closure("welcome", NOW, "ann", "why"))
    assert [type(one) for one in await store.admit_many([line("2")])] == [Closure]
    assert await store.admit(taken_over("1")) == AdmittedRun(1, 1, NOW, again=True)
    assert await store.admit(taken_over("1")) == AdmittedRun(1, 1, NOW, again=True)
    [entry] = await store.entries()
    assert (entry.run_id, entry.root, entry.is_inline) == ("w1", "r1", False)
    # The chunk is repeated, and another workflow is started with the same root.
    assert await store.admit_many([line("1")]) == [AdmittedRun(1, 1, NOW, again=True, taken_over_by="w1")]
    await store.depart("welcome/1/sale", "w1", "finished", None, LATER)
    await store.open_scenario("welcome")
    refused = await store.admit(replace(taken_over("1"), run_id="w2"))
    assert isinstance(refused, AlreadyEntered)
    assert await store.admit(line("1", run_id="w3", root=None)) == AdmittedRun(1, 2, NOW)


async def test_an_entry_that_has_ended_is_not_taken_over(store: Store) -> None:
    await store.admit_many([line("1")])
    await store.end_campaign_lines("sale", [ended(1, "1")], LATER)
    assert isinstance(await store.admit(taken_over("1")), AlreadyEntered)


@pytest.mark.parametrize("first", [line("1", run_id="w9", root=None), line("1")], ids=["workflow", "inline"])
async def test_an_entry_without_a_workflow_and_one_with_exclude_each_other(store: Store, first: AdmissionRequest):
    await store.admit(first)
    second = line("1", run_id="x", root="x" if first.root is None else None)
    answer = await store.admit(second)
    assert isinstance(answer, AlreadyEntered)
    assert answer.why == "under_way"
    assert (await store.entries(running=True))[0].run_id == first.run_id


async def test_the_end_of_a_campaign_loses_entries_without_workflow_or_outcome(store: Store) -> None:
    await store.add_campaign(stored_campaign())
    lines = [CampaignItem(line=n, contact_id=f"{n}", journey=f"welcome/{n}/sale", entry="e") for n in range(1, 4)]
    await store.add_campaign_items("sale", lines)
    await store.admit_many([line("1"), line("2"), line("3")])
    await store.end_campaign_lines("sale", [LineEnd(2, "held")], NOW)  # a workflow continues it
    await store.admit(taken_over("3"))
    await store.end_campaign("sale", "stopped", LATER)
    entries = {entry.contact_id: entry.outcome for entry in await store.entries()}
    assert entries == {"1": "lost", "2": None, "3": None}


def ended(number: int, contact: str, *steps: Passage) -> LineEnd:
    departure = LineDeparture(f"welcome/{contact}/sale", f"r{contact}", "finished", None, LATER, steps)
    return LineEnd(number, "delivered", None, departure)


@both
async def test_a_line_ends_with_its_entry_and_its_steps_once(store: Store) -> None:
    split, mail = Passage(1, "split", "a", LATER), Passage(1, "mail", "delivered", LATER)
    lines = [CampaignItem(line=n, contact_id=f"{n}", entry="e") for n in range(1, 5)]
    await store.add_campaign_items("sale", lines)
    await store.admit_many([line("1"), line("2"), line("3")])
    assert sorted(await store.mark_campaign_lines("sale", [1, 2, 3])) == [1, 2, 3]
    assert await store.mark_campaign_lines("sale", [1]) == []
    await store.put_back_campaign_lines("sale", [3], [("welcome/3/sale", "r3"), ("welcome/1/sale", "other")])
    assert {entry.contact_id for entry in await store.entries(running=True)} == {"1", "2"}
    await store.admit_many([line("3")])
    ends = [ended(1, "1", split, mail), ended(2, "2", mail), LineEnd(4, "refused", "'why'")]
    for _ in range(2):
        await store.end_campaign_lines("sale", ends, LATER)
    await store.end_campaign_lines("sale", [LineEnd(1, "held")], LATER)  # the first counts
    items = await store.campaign_items("sale")
    assert [(item.outcome, item.reason, item.entry, item.marked, item.answered_at) for item in items] == [
        ("delivered", None, None, True, LATER),
        ("delivered", None, None, True, LATER),
        (None, None, "e", False, None),
        ("refused", "'why'", None, False, LATER),
    ]
    entries = {entry.contact_id: entry for entry in await store.entries()}
    assert [(one.outcome, one.ended_at, one.counted_passages) for one in map(entries.__getitem__, "123")] == [
        ("finished", LATER, 2),
        ("finished", LATER, 1),
        (None, None, 0),
    ]
    counts = await store.passage_counts("welcome", NOW)
    assert [(one.step, one.outcome, one.total) for one in counts] == [("mail", "delivered", 2), ("split", "a", 1)]
