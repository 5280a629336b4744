"""Zones change while journeys are under way: governments decide, and a newer tz database says so to every replay."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from temporalio import activity, workflow
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHistory

from activities.decision import decide
from activities.interface import DECIDE
from scenario import time as timing
from scenario.steps.host import EvaluationRequest, EvaluationResult
from tests.stage import Stage, replay
from workflows.host import JourneyHost

WAITS = """
scenario: waits
trigger: reward
timezone: Europe/Paris
steps:
  - {sms: first, text: hi}
  - wait: {until: "10:00"}
  - wait: {until: "{{ reward.expiration_date }}", offset: -3d}
  - {sms: last, text: hi}
"""

EXPIRY = "reward.expiration_date"
DATE = "'2038-05-20 09:00'"
"""In the contact's zone, since no zone is written there."""
HISTORIES = Path(__file__).parents[1] / "replay" / "histories"
at_local = timing.at_local


@pytest.fixture
def move(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Moves every zone by some hours, as a newer tz database may."""

    def moved(hours: float) -> None:
        def moved_at_local(day: date, clock: time, zone: ZoneInfo) -> datetime:
            return at_local(day, clock, zone) - timedelta(hours=hours)

        monkeypatch.setattr(timing, "at_local", moved_at_local)

    return moved


async def started(stage: Stage, text: str = WAITS) -> Any:
    """A journey that begins at a local noon."""
    await stage.publish(text)
    await stage.environment.sleep(datetime(2038, 5, 3, 10, tzinfo=UTC) - await stage.now())
    return await stage.start(
        "waits", {"type": "reward", "reward": {"external_id": "R", "expiration_date": "2038-05-20 09:00"}}
    )


async def test_a_zone_that_changes_while_the_end_of_a_wait_is_worked_out_counts(deserted: Stage) -> None:
    asked, go = asyncio.Event(), asyncio.Event()

    @activity.defn(name=DECIDE.name)
    async def slow(question: EvaluationRequest) -> EvaluationResult:
        asked.set()
        await go.wait()
        return await decide(question)

    deserted.task_timeout = timedelta(seconds=1)
    async with deserted.working(slow):
        handle = await started(deserted, WAITS.replace('  - wait: {until: "10:00"}\n', "").replace(EXPIRY, DATE))
        await asked.wait()
        await handle.signal("contact_changed", {"timezone": "America/New_York"})
        while not signals(await handle.fetch_history()):
            await asyncio.sleep(0.05)
        go.set()
        await deserted.result(handle)
    assert deserted.channels.of("last")[0].at.strftime("%Y-%m-%d %H:%M") == "2038-05-17 13:00"  # 09:00 in New York


def signals(history: WorkflowHistory) -> bool:
    """Whether the journey has been told of a signal while it was waiting for an answer."""
    kinds = [event.event_type for event in history.events]
    signalled = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED
    return signalled in kinds and EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED in kinds[kinds.index(signalled) :]


# A wait that had five seconds left is none any more where its end comes an hour sooner: such a history is too old to
# have kept the end itself.
@pytest.mark.parametrize(("name", "hours"), [("linear", -1), ("clock", -1), ("clock", 1), ("dated", -1), ("dated", 1)])
async def test_a_recorded_journey_replays_where_its_zone_has_been_moved(
    move: Callable[[float], None], name: str, hours: float
) -> None:
    move(hours)
    await replay(WorkflowHistory.from_json(f"recorded/{name}", (HISTORIES / f"{name}.json").read_text("utf-8")))


seen: list[str] = []


class Watched(JourneyHost):
    async def wait(self, until: datetime | None, what: str, wake: Callable[[], bool]) -> bool:
        seen.append(what.removeprefix("wait-1: wait until "))
        return await super().wait(until, what, wake)


@pytest.mark.parametrize(
    ("name", "zone", "ends"),
    [
        ("offset", "+05:30", "Tue 2026-12-01 10:00 UTC+05:30"),
        ("offset", " Asia/Tokyo ", "Tue 2026-12-01 10:00 Asia/Tokyo"),
    ],
)
async def test_a_journey_waits_by_the_zone_in_which_it_began_to(
    name: str, zone: str, ends: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen.clear()
    monkeypatch.setattr("workflows.runner.JourneyHost", Watched)
    history = WorkflowHistory.from_json(f"recorded/{name}", (HISTORIES / f"{name}.json").read_text("utf-8"))
    (entry,) = history.events[0].workflow_execution_started_event_attributes.input.payloads
    entry.data = entry.data.replace(b'"+05:30"', json.dumps(zone).encode())
    await replay(history)
    assert seen == [ends] * 2


async def test_the_end_of_a_wait_that_was_worked_out_goes_along_in_continue_as_new(
    stage: Stage, move: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    suggested = False

    def suggests(_: workflow.Info) -> bool:
        return suggested

    monkeypatch.setattr(workflow.Info, "is_continue_as_new_suggested", suggests)
    handle = await started(stage)
    progress = await stage.until(handle, "waiting")
    suggested = True
    await handle.signal("event", {"name": "whatever"})
    await stage.continued(handle)
    suggested = False
    move(1)
    result: dict[str, Any] = await stage.result(handle)
    until = datetime.fromisoformat(progress["waiting"]["until"])
    ended = datetime.fromisoformat(result["steps"][1]["at"])
    assert (result["steps"][1]["outcome"], abs(ended - until) < timedelta(minutes=1)) == ("waited", True)
    await replay(await stage.client.get_workflow_handle(handle.id).fetch_history())


PASSED_OVER = (
    "it is neither the name of a time zone, such as Europe/Paris, nor an offset, such as +02:00: "
    "the scenario's is used, Asia/Tokyo"
)


async def test_a_zone_that_cannot_be_used_is_on_record(stage: Stage) -> None:
    await stage.publish(
        "scenario: until\ntrigger: segment\ntimezone: Asia/Tokyo\nsteps:\n"
        '  - wait: {until: "10:00"}\n  - sms: hi\n    text: hi\n'
    )
    handle = await stage.start("until", contact={"timezone": "Mars/Olympus"})
    progress = await stage.until(handle, "waiting")
    assert progress["waiting"]["until"].endswith("T01:00:00+00:00")
    told = {"what": "contact.timezone", "reason": PASSED_OVER, "count": 1}
    assert [{**item, "at": None} for item in progress["passed_over"]] == [{**told, "at": None}]
    await handle.signal("contact_changed", {"firstname": "Zoë"})  # its zone is no news then
    await handle.signal("contact_changed", {"timezone": "Mars/Utopia"})
    progress = await stage.until(handle, "waiting")
    assert [item["count"] for item in progress["passed_over"]] == [2]
    await handle.terminate()
