"""What is drawn at admission: the scenario's control group, the workspace's holdout, and branches."""

from pathlib import Path
from typing import Any

from activities.admission import AdmissionActivities
from activities.content import Content
from activities.interface import Admission, AdmissionResult
from runtime.store import Store
from scenario.policies.draw import Holdout, Lot, apart
from tests.factories import present, publish

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
KEPT = next(contact for contact in range(1, 30) if CONTROL.draw(str(contact)).name)
OTHER = next(contact for contact in range(1, 30) if not CONTROL.draw(str(contact)).name)
HOLDOUT = Holdout.model_validate({"share": 40, "seed": "2026-q4"})


async def admit(store: Store, contact: int, holdout: Holdout | None = None, run: str = "run-1") -> AdmissionResult:
    who: dict[str, Any] = {"id": contact, "custom": {"shop": 12}}
    entry = {"scenario": "campaign", "contact": who, "trigger": {"type": "segment"}}
    admissions = AdmissionActivities(Content(store), store, "Europe/Paris", lambda: holdout)
    now = "2026-11-01T00:00:00+00:00"
    return await admissions.admit(Admission(entry=entry, workflow_id=f"campaign/{contact}", run_id=run, now=now))


async def test_who_is_kept_for_comparison_and_what_is_drawn_is_on_record(tmp_path: Path) -> None:
    async with Store.open(f"sqlite:///{tmp_path / 'store.db'}") as store:
        await publish(store, CAMPAIGN)
        why = f"in the control group ({CONTROL.draw(str(KEPT)).why})"
        for run in ("run-1", "run-2"):  # at every entry
            admitted = await admit(store, KEPT, run=run)
            assert (admitted.outcome, admitted.reason, bool(admitted.plan)) == ("control", why, False)
            entry = present(await store.entry(f"campaign/{KEPT}", run))
            assert (entry.outcome, entry.reason, entry.branches) == ("control", why, None)
            assert entry.ended_at == entry.admitted_at

        drawn = apart(HOLDOUT.seed, "holdout", HOLDOUT.share)
        contact = next(number for number in range(30, 60) if drawn.draw(str(number)).name)
        held_out = await admit(store, contact, HOLDOUT)
        assert held_out.reason == f"held out of all marketing, 2026-q4 ({drawn.draw(str(contact)).why})"
        assert (held_out.outcome, bool(held_out.plan)) == ("holdout", False)
        assert await admit(store, contact) == held_out, "asked again, it answers what is on record"

        assert (await admit(store, OTHER)).outcome == ""
        entry = present(await store.entry(f"campaign/{OTHER}"))
        halves = {"a": 5000, "b": 5000}
        assert entry.branches == {
            name: Lot(seed=f"campaign/{name}", shares=halves).draw(unit).name
            for name, unit in (("tone", str(OTHER)), ("lane", f"campaign/{OTHER}"), ("shop", "12"))
        }
        # A journey that is reset is let in again though it was over.
        await store.depart(entry.workflow_id, entry.run_id, "finished", None, entry.admitted_at)
        admitted = await admit(store, OTHER)
        assert (admitted.outcome, bool(admitted.plan)) == ("", True)
