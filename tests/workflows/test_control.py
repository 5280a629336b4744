"""Contacts who are let in to get nothing: of the scenario's control group, and of the workspace's holdout."""

from __future__ import annotations

import pytest
from temporalio.client import WorkflowHandle

from activities.admission import AdmissionActivities
from activities.content import Content
from activities.interface import Admission
from scenario.policies.draw import Holdout, Lot, apart
from tests.workflows.conftest import Stage

CAMPAIGN = """
scenario: campaign
trigger: segment
entry: {again: AGAIN}
control: 50
steps:
  - split: {a: 50, b: 50}
    id: tone
  - split: {a: 50, b: 50}
    id: lane
    by: journey
  - split: {a: 50, b: 50}
    id: shop
    by: "{{ contact.custom.shop }}"
  - split: {a: 50, b: 50}
    id: day
    by: "{{ today }}"
  - sms: offer
    text: hi
"""
CONTROL = apart("campaign/control", "control", 5000)
KEPT = [contact for contact in range(1, 30) if CONTROL.draw(str(contact)).name]
OTHERS = [contact for contact in range(1, 30) if contact not in KEPT]
HALVES = {"a": 5000, "b": 5000}
HOLDOUT = Holdout.model_validate({"share": 40, "seed": "2026-q4"})


async def test_who_is_kept_for_comparison_gets_nothing_and_is_on_record(stage: Stage) -> None:
    await stage.publish(CAMPAIGN.replace("AGAIN", "always"))
    contact = KEPT[0]
    handle = await stage.start("campaign", contact={"id": contact})
    why = f"in the control group ({CONTROL.draw(str(contact)).why})"
    result = await stage.result(handle)
    assert result == {"outcome": "control", "reason": why, "version": "campaign@1", "steps": []}
    entry = await stage.store.entry(handle.id)
    assert entry is not None
    assert (entry.outcome, entry.reason, entry.branches) == ("control", why, None)
    assert entry.ended_at == entry.admitted_at
    assert stage.channels.attempts == []
    assert (await stage.run("campaign", contact={"id": contact}))["outcome"] == "control", "at every entry"


async def test_a_control_group_is_let_in_as_often_as_others_are(stage: Stage) -> None:
    await stage.publish(CAMPAIGN.replace("AGAIN", "never"))
    outcomes = [(await stage.run("campaign", contact={"id": contact}))["outcome"] for contact in (KEPT[0], KEPT[0])]
    assert outcomes == ["control", "refused"]


async def test_what_is_drawn_is_on_record_from_the_entry_on_where_it_is_known(stage: Stage) -> None:
    await stage.publish(CAMPAIGN.replace("AGAIN", "always"))
    contact = OTHERS[0]
    handle = await stage.start("campaign", contact={"id": contact, "custom": {"shop": 12}})
    result = await stage.result(handle)
    entry = await stage.store.entry(handle.id)
    assert entry is not None
    assert entry.branches is not None
    assert entry.branches == {
        "tone": Lot(seed="campaign/tone", shares=HALVES).draw(str(contact)).name,
        "lane": Lot(seed="campaign/lane", shares=HALVES).draw(handle.id).name,
        "shop": Lot(seed="campaign/shop", shares=HALVES).draw("12").name,
    }
    taken = {step["id"]: step["outcome"] for step in result["steps"]}
    assert taken.items() >= dict(entry.branches or {}).items()


@pytest.mark.parametrize(("purpose", "held"), [("marketing", True), ("transactional", False)])
async def test_the_holdout_keeps_contacts_out_of_all_marketing(stage: Stage, purpose: str, held: bool) -> None:
    text = CAMPAIGN.replace("AGAIN", "always").replace("control: 50", f"purpose: {purpose}")
    await stage.publish(text)
    drawn = apart(HOLDOUT.seed, "holdout", HOLDOUT.share)
    contact = next(number for number in range(1, 30) if drawn.draw(str(number)).name)
    holdout: list[Holdout | None] = [HOLDOUT]
    admissions = AdmissionActivities(Content(stage.store), stage.store, "Europe/Paris", lambda: holdout[0])
    entry = {"scenario": "campaign", "contact": {"id": contact}, "trigger": {"type": "segment"}}
    asking = Admission(entry=entry, workflow_id=f"campaign/{contact}", run_id="run-1", now="2026-11-01T00:00:00+00:00")
    admitted = await admissions.admit(asking)
    assert (admitted.outcome, bool(admitted.plan)) == (("holdout", False) if held else ("", True))
    if held:
        assert admitted.reason == f"held out of all marketing, 2026-q4 ({drawn.draw(str(contact)).why})"
    holdout[0] = None  # asked again, it answers as it did: that is on record
    assert await admissions.admit(asking) == admitted


async def test_the_holdout_is_drawn_before_the_control_group(stage: Stage) -> None:
    await stage.publish(CAMPAIGN.replace("AGAIN", "always"))
    both = next(number for number in KEPT if apart(HOLDOUT.seed, "holdout", HOLDOUT.share).draw(str(number)).name)
    admissions = AdmissionActivities(Content(stage.store), stage.store, "Europe/Paris", lambda: HOLDOUT)
    entry = {"scenario": "campaign", "contact": {"id": both}, "trigger": {"type": "segment"}}
    asking = Admission(entry=entry, workflow_id=f"campaign/{both}", run_id="r", now="2026-11-01T00:00:00+00:00")
    assert (await admissions.admit(asking)).outcome == "holdout"


async def test_a_journey_that_is_reset_is_let_in_again_though_it_was_over(stage: Stage) -> None:
    await stage.publish(CAMPAIGN.replace("AGAIN", "always"))
    handle: WorkflowHandle[object, dict[str, object]] = await stage.start("campaign", contact={"id": OTHERS[0]})
    await stage.until(handle, "held")
    await handle.terminate()
    entry = await stage.store.entry(handle.id)
    assert entry is not None
    run = entry.run_id
    await stage.store.depart(handle.id, run, "finished", None, entry.admitted_at)
    admissions = AdmissionActivities(Content(stage.store), stage.store, "Europe/Paris")
    given = {"scenario": "campaign", "contact": {"id": OTHERS[0]}, "trigger": {"type": "segment"}}
    asking = Admission(entry=given, workflow_id=handle.id, run_id=run, now="2026-11-01T00:00:00+00:00")
    admitted = await admissions.admit(asking)
    assert (admitted.outcome, bool(admitted.plan)) == ("", True)
