"""The entry of a journey that the store has lost, read from what its workflow tells."""

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.common import SearchAttributePair, TypedSearchAttributes
from temporalio.converter import encode_search_attributes

from activities.content import Content
from runtime.search_attributes import SCENARIO_VERSION
from runtime.store import Store
from scenario.entry.values import PlatformDates
from service.reconcile.temporal import (
    FORGOTTEN,
    UNANSWERED,
    UNREADABLE,
    Beginning,
    LostEntry,
    PacedTemporal,
    WorkflowEnd,
    lost_entry,
)
from tests.factories import present, publish

SCENARIO = """
scenario: wishes
trigger: segment
goal: {event: order.placed, within: 30d}
steps:
  - split: {red: 50, blue: 50}
    id: colour
  - sms: hello
    text: Hello
"""
AT = datetime(2026, 3, 31, 8, tzinfo=UTC)
BEFORE = AT - timedelta(days=3)
ENTRY = {"scenario": "wishes", "contact": {"id": 7}, "trigger": {"type": "segment"}}
CARRIED: dict[str, Any] = {"entry": ENTRY, "state": {"version": 1, "entered_at": BEFORE.isoformat(), "plan": {}}}

HANDED_OVER = {"entry": ENTRY, "campaign": {"root": "r0", "state": {"entered_at": BEFORE.isoformat()}}}


class Workflow:
    """Tells what a test gives."""

    def __init__(self, argument: Any, progress: dict[str, Any] | None = None, *, at: datetime | None = AT) -> None:
        self.argument, self.answer, self.at = argument, progress, at

    async def beginning(self, _: WorkflowExecutionInfo) -> Beginning:
        return Beginning(self.argument, self.at)

    async def progress(self, _: WorkflowExecutionInfo) -> dict[str, Any] | None:
        return self.answer


def info(*, searched: str | None = None, journey: str = "wishes/7/K1") -> WorkflowExecutionInfo:
    made = WorkflowExecutionInfo(first_run_id="r1")
    made.execution.workflow_id = journey
    if searched:
        pairs = TypedSearchAttributes([SearchAttributePair(SCENARIO_VERSION, searched)])
        encode_search_attributes(pairs, made.search_attributes)
    return made


@pytest.fixture
async def content(store: Store) -> Content:
    await publish(store, SCENARIO)
    return Content(store)


LACKED = "the store lacks wishes@2: publish its file again, and run this again"


async def read(
    content: Content, workflow: Workflow, found: WorkflowExecutionInfo, end: WorkflowEnd | None = None
) -> LostEntry | None:
    return await lost_entry(cast("PacedTemporal", workflow), content, PlatformDates("Europe/Paris"), found, end)


@pytest.mark.parametrize(
    ("workflow", "found", "end", "entered"),
    [
        (Workflow(ENTRY), info(searched="wishes@1"), None, AT),
        (Workflow(ENTRY, {"state": "running", "scenario": "wishes@1"}), info(), None, AT),
        (Workflow(CARRIED), info(), None, BEFORE),
        (Workflow(HANDED_OVER), info(searched="wishes@1"), None, BEFORE),
        (Workflow(ENTRY), info(), WorkflowEnd("finished", None, AT, "wishes@1"), AT),
    ],
    ids=["searched", "a worker answers", "it continues a run", "it continues what a campaign began", "it has ended"],
)
async def test_it_is_read_from_what_is_known(
    content: Content, workflow: Workflow, found: WorkflowExecutionInfo, end: WorkflowEnd | None, entered: datetime
):
    entry = present(present(await read(content, workflow, found, end)).entry)
    assert (entry.scenario, entry.version, entry.contact_id, entry.key) == ("wishes", 1, "7", "K1")
    assert (entry.workflow_id, entry.run_id, entry.trigger) == ("wishes/7/K1", "r1", "segment")
    assert (entry.admitted_at, entry.goal_until) == (entered, entered + timedelta(days=30))
    assert (entry.ended_at, entry.outcome) == (end and AT, end and "finished")
    assert entry.root == ("r0" if workflow.argument is HANDED_OVER else None)
    assert (entry.branches or {}).get("colour") in ("red", "blue")


async def test_a_contact_that_was_let_in_to_get_nothing_is_in_no_branch(content: Content):
    end = WorkflowEnd("control", "in the control group", AT, "wishes@1")
    entry = present(present(await read(content, Workflow(ENTRY), info(journey="wishes/7"), end)).entry)
    assert (entry.outcome, entry.reason, entry.branches, entry.key) == ("control", end.reason, None, None)


@pytest.mark.parametrize(
    ("workflow", "found", "end", "trouble"),
    [
        (Workflow(ENTRY, at=None), info(), None, None),  # no worker has begun
        (Workflow(ENTRY, {"state": "entering"}), info(), None, None),
        (Workflow(ENTRY), info(), WorkflowEnd("refused", "it is closed", AT), None),
        (Workflow(ENTRY), info(), WorkflowEnd("lost", "its workflow has ended: terminated", AT), None),
        (Workflow(ENTRY), info(), None, UNANSWERED),
        (Workflow(None), info(), None, UNREADABLE),
        (Workflow(None), info(), WorkflowEnd("lost", "its result cannot be read", AT), FORGOTTEN),
        (Workflow({"scenario": 7}), info(searched="wishes@1"), None, UNREADABLE),
        (Workflow(ENTRY), info(searched="wishes@2"), None, LACKED),
    ],
)
async def test_one_that_was_not_admitted_is_none_and_one_that_cannot_be_written_back_says_why(
    content: Content, workflow: Workflow, found: WorkflowExecutionInfo, end: WorkflowEnd | None, trouble: str | None
):
    lost = await read(content, workflow, found, end)
    assert (lost and (lost.entry, lost.trouble)) == (trouble and (None, trouble))
