"""Contacts who are let in to get nothing: of the scenario's control group, and of the workspace's holdout."""

from temporalio.client import WorkflowHandle

from activities.admission import AdmissionActivities
from activities.content import Content
from activities.interface import Admission
from scenario.policies.draw import Holdout, Lot, apart
from tests.workflows.conftest import Stage

CAMPAIGN = """
scenario: campaign
trigger: segment
entry: {again: always}
control: 50
steps:
  - {split: {a: 50, b: 50}, id: tone}
  - {split: {a: 50, b: 50}, id: lane, by: journey}
  - {split: {a: 50, b: 50}, id: shop, by: "{{ contact.custom.shop }}"}
  - {split: {a: 50, b: 50}, id: day, by: "{{ today }}"}
  - {sms: offer, text: hi}
"""
CONTROL = apart("campaign/control", "control", 5000)
KEPT = [contact for contact in range(1, 30) if CONTROL.draw(str(contact)).name]
OTHERS = [contact for contact in range(1, 30) if contact not in KEPT]
HALVES = {"a": 5000, "b": 5000}
HOLDOUT = Holdout.model_validate({"share": 40, "seed": "2026-q4"})


async def test_who_is_kept_for_comparison_gets_nothing_and_is_on_record(stage: Stage) -> None:
    await stage.publish(CAMPAIGN)
    contact = KEPT[0]
    handle = await stage.start("campaign", contact={"id": contact})
    why = f"in the control group ({CONTROL.draw(str(contact)).why})"
    result = await stage.result(handle)
    assert result == {"outcome": "control", "reason": why, "version": "campaign@1", "steps": []}
    entry = await stage.entry(handle.id)
    assert (entry.outcome, entry.reason, entry.branches) == ("control", why, None)
    assert entry.ended_at == entry.admitted_at
    assert stage.channels.attempts == []
    assert (await stage.run("campaign", contact={"id": contact}))["outcome"] == "control", "at every entry"


async def test_what_is_drawn_is_on_record_from_the_entry_on_where_it_is_known(stage: Stage) -> None:
    await stage.publish(CAMPAIGN)
    contact = OTHERS[0]
    handle = await stage.start("campaign", contact={"id": contact, "custom": {"shop": 12}})
    result = await stage.result(handle)
    entry = await stage.entry(handle.id)
    assert entry.branches is not None
    assert entry.branches == {
        "tone": Lot(seed="campaign/tone", shares=HALVES).draw(str(contact)).name,
        "lane": Lot(seed="campaign/lane", shares=HALVES).draw(handle.id).name,
        "shop": Lot(seed="campaign/shop", shares=HALVES).draw("12").name,
    }
    taken = {step["id"]: step["outcome"] for step in result["steps"]}
    assert taken.items() >= dict(entry.branches or {}).items()


async def test_the_holdout_keeps_contacts_out_of_all_marketing(stage: Stage) -> None:
    await stage.publish(CAMPAIGN)
    drawn = apart(HOLDOUT.seed, "holdout", HOLDOUT.share)
    contact = next(number for number in range(1, 30) if drawn.draw(str(number)).name)
    holdout: list[Holdout | None] = [HOLDOUT]
    admissions = AdmissionActivities(Content(stage.store), stage.store, "Europe/Paris", lambda: holdout[0])
    entry = {"scenario": "campaign", "contact": {"id": contact}, "trigger": {"type": "segment"}}
    asking = Admission(entry=entry, workflow_id=f"campaign/{contact}", run_id="run-1", now="2026-11-01T00:00:00+00:00")
    admitted = await admissions.admit(asking)
    assert (admitted.outcome, bool(admitted.plan)) == ("holdout", False)
    assert admitted.reason == f"held out of all marketing, 2026-q4 ({drawn.draw(str(contact)).why})"
    holdout[0] = None  # asked again, it answers as it did: that is on record
    assert await admissions.admit(asking) == admitted


async def test_a_journey_that_is_reset_is_let_in_again_though_it_was_over(stage: Stage) -> None:
    await stage.publish(CAMPAIGN)
    handle: WorkflowHandle[object, dict[str, object]] = await stage.start("campaign", contact={"id": OTHERS[0]})
    await stage.until(handle, "held")
    await handle.terminate()
    entry = await stage.entry(handle.id)
    run = entry.run_id
    await stage.store.depart(handle.id, run, "finished", None, entry.admitted_at)
    admissions = AdmissionActivities(Content(stage.store), stage.store, "Europe/Paris")
    given = {"scenario": "campaign", "contact": {"id": OTHERS[0]}, "trigger": {"type": "segment"}}
    asking = Admission(entry=given, workflow_id=handle.id, run_id=run, now="2026-11-01T00:00:00+00:00")
    admitted = await admissions.admit(asking)
    assert (admitted.outcome, bool(admitted.plan)) == ("", True)
