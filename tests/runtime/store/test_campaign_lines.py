"""Many lines of a campaign at once: the answers of `admit`, and one end for line, entry and steps."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from runtime.store import AdmittedRun, AlreadyEntered, Closure, Store
from runtime.store.admission import AdmissionRequest
from runtime.store.campaign_lines import LineDeparture, LineEnd
from runtime.store.campaigns import CampaignItem
from runtime.store.passages import Passage
from tests.factories import NOW, admission_request, stored_campaign
from tests.runtime.store.conftest import both

LATER = NOW + timedelta(hours=1)


def line(contact: str, **given: Any) -> AdmissionRequest:
    """The admission of a line without a workflow."""
    return admission_request(contact, **{"key": "sale", "run_id": f"r{contact}", "root": f"r{contact}", **given})


def taken_over(contact: str) -> AdmissionRequest:
    """The admission of the workflow that continues the line."""
    return line(contact, run_id=f"w{contact}")


@both
async def test_many_are_admitted_as_each_would_be_alone(url: str) -> None:
    many = [
        line("1", branches={"a": "é\x00"}, goal_until=LATER),
        line("2", outcome="control", reason="for comparison"),
        line("3", again="never"),
        line("4", again=timedelta(hours=2)),
        line("5", key=None),
    ]
    found = list[Any]()
    for at_once in (True, False):
        async with Store.open(url) as store:
            name = "many" if at_once else "one"
            asking = [replace(one, scenario=name, workflow_id=f"{name}/{one.contact_id}/sale") for one in many]
            await store.admit(replace(asking[2], run_id="before", root=None))
            await store.admit(replace(asking[3], run_id="before", root=None, now=NOW - timedelta(hours=1)))
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


async def test_nobody_enters_a_closed_scenario(store: Store) -> None:
    await store.close_scenario(Closure("welcome", NOW, "ann", "why"))
    assert [type(one) for one in await store.admit_many([line("1")])] == [Closure]


async def test_a_workflow_takes_an_entry_over_once(store: Store) -> None:
    await store.admit_many([line("1")])
    await store.close_scenario(Closure("welcome", NOW, "ann", "why"))
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
async def test_a_line_ends_with_its_entry_and_its_steps_once(url: str) -> None:
    split, mail = Passage(1, "split", "a", LATER), Passage(1, "mail", "delivered", LATER)
    async with Store.open(url) as store:
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
