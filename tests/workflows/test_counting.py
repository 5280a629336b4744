"""People per step: the steps that journeys and their workers count, and when."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.client import WorkflowFailureError

from activities.interface import CompletedSteps
from runtime.errors import StoreUnavailable
from runtime.store import Passage, Store
from tests.stage import WHO, Stage
from tests.workflows.test_continuing import LONG, runs
from tests.workflows.test_migrating import A, B, C, Handle, begin, migrate, scenario

FUNNEL = """
scenario: funnel
trigger: segment
steps:
  - {split: {all: 100, none: 0}, branches: {all: [{if: contact.email, then: [{sms: hello, text: hi}]}], none: []}}
  - {wait_for: order.placed, for: 30d}
  - {wait_for: order.delivered, for: 30d}
  - wait: 7d
  - {sms: bye, text: bye}
"""
ORDER = {"type": "order", "order": {"external_id": "A"}}


async def passed(stage: Stage, name: str) -> dict[str, int]:
    found = await stage.store.passage_counts(name, datetime(2020, 1, 1, tzinfo=UTC))
    return {f"@{one.version} {one.step} {one.outcome}": one.total for one in found}


async def test_steps_of_every_kind_are_counted_while_the_journey_waits(stage: Stage) -> None:
    await stage.publish(FUNNEL)
    handle = await stage.start("funnel")
    await stage.until(handle, "waiting")
    await stage.passages.flush()
    reached = {"@1 split-1 all": 1, "@1 if-1.all.1 then": 1, "@1 hello delivered": 1}
    assert await passed(stage, "funnel") == reached
    await stage.passages.flush()
    assert await passed(stage, "funnel") == reached
    await handle.signal("event", {"name": "order.placed"})
    await stage.until(handle, lambda progress: progress["at"] == "wait_for-3")
    # A worker that is killed now loses its report: the next one has these steps too.
    report = CompletedSteps(workflow_id=handle.id, run_id=handle.first_execution_run_id or "")
    stage.passages.withdraw(report)
    await stage.passages.flush()
    assert await passed(stage, "funnel") == reached
    await handle.signal("event", {"name": "order.delivered"})
    await stage.until(handle, lambda progress: progress["at"] == "wait-4")
    await stage.passages.flush()
    reached |= {"@1 wait_for-2 event": 1, "@1 wait_for-3 event": 1}
    assert await passed(stage, "funnel") == reached
    await stage.result(handle)
    await stage.passages.flush()
    assert await passed(stage, "funnel") == reached | {"@1 wait-4 waited": 1, "@1 bye delivered": 1}


async def test_steps_are_counted_in_the_hour_of_their_end_when_the_journey_departs(stage: Stage) -> None:
    await stage.publish(LONG)
    began = await stage.now()
    handle = await stage.start("long", ORDER)
    await stage.until(handle, "waiting")
    assert await passed(stage, "long") == {}, "its worker has not counted them yet"
    await stage.result(handle)
    assert await passed(stage, "long") == {
        "@1 first delivered": 1,
        "@1 wait-2 waited": 1,
        "@1 wait_for-3 timeout": 1,
        "@1 last delivered": 1,
    }
    # Each in the hour in which its step was over, by the journey's clock: days apart.
    since = {days: await stage.store.passage_counts("long", began + timedelta(days=days)) for days in (0, 1, 8, 10)}
    late = {days: sorted(one.step for one in found if one.lately) for days, found in since.items()}
    assert late == {
        0: ["first", "last", "wait-2", "wait_for-3"],
        1: ["last", "wait-2", "wait_for-3"],
        8: ["last", "wait_for-3"],
        10: [],
    }


@pytest.mark.usefixtures("_always_suggested")
async def test_each_step_counts_once_over_many_runs(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    reports: list[tuple[int, int]] = []
    count = Store.count_passages

    async def noted(self: Store, journey: str, run_id: str, first: int, steps: Sequence[Passage], **more: Any) -> None:
        reports.append((first, len(steps)))
        await count(self, journey, run_id, first, steps, **more)
        await count(self, journey, run_id, first, steps, **more)  # as a local activity may be done again

    monkeypatch.setattr(Store, "count_passages", noted)
    await stage.publish(LONG)
    handle = await stage.start("long", ORDER)
    await handle.signal("event", {"name": "order.delivered", "id": "e-1"})
    result = await stage.result(handle)
    assert await runs(stage, handle) > 1
    assert await passed(stage, "long") == {f"@1 {step['id']} {step['outcome']}": 1 for step in result["steps"]}
    assert len(reports) > 1
    assert [first for first, _ in reports] == [sum(n for _, n in reports[:index]) for index in range(len(reports))]


@pytest.mark.usefixtures("_always_suggested")
async def test_a_store_that_is_away_keeps_no_journey_from_going_on(stage: Stage, monkeypatch: pytest.MonkeyPatch):
    failures = 0
    count = Store.count_passages

    async def away(self: Store, journey: str, run_id: str, first: int, steps: Sequence[Passage], **more: Any) -> None:
        nonlocal failures
        if (await stage.client.get_workflow_handle(journey).describe()).run_id == run_id:  # the first run
            failures += 1
            raise StoreUnavailable("away")
        await count(self, journey, run_id, first, steps, **more)

    monkeypatch.setattr(Store, "count_passages", away)
    await stage.publish(LONG)
    handle = await stage.start("long", ORDER)
    result = await stage.result(handle)
    assert failures == 3
    assert await passed(stage, "long") == {f"@1 {step['id']} {step['outcome']}": 1 for step in result["steps"]}


async def test_how_a_journey_ends_counts_too(stage: Stage) -> None:
    """Skipped, left in the middle, cancelled."""
    await stage.publish(LONG)
    first, second = await stage.start("long", ORDER), await stage.start("long", ORDER)
    for handle in (first, second):
        await stage.until(handle, "waiting")
    await stage.operate(first, "skip_step", {**WHO, "step": "wait-2"})
    await stage.until(first, lambda progress: progress["at"] == "wait_for-3")
    await second.cancel()
    await stage.operate(first, "leave", WHO)
    await first.result()
    with pytest.raises(WorkflowFailureError):
        await second.result()
    cancelled = await stage.entry(second.id)
    assert (cancelled.outcome, cancelled.reason) == ("exited", "cancelled")
    assert await passed(stage, "long") == {"@1 first delivered": 2, "@1 wait-2 skipped": 1, "@1 wait_for-3 left": 1}


async def test_a_step_counts_for_the_version_and_by_the_name_under_which_it_was_done(stage: Stage) -> None:
    handle: Handle = await begin(stage, A, "{wait: 2d}", B)
    await stage.publish(scenario("{sms: first, text: hi}", "{wait: 1d}", C))
    await migrate(stage, handle, map={"a": "first"})
    await stage.result(handle)
    assert await passed(stage, "moving") == {"@1 a delivered": 1, "@2 wait-2 waited": 1, "@2 c delivered": 1}
