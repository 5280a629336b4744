"""The entry of a journey that the store has lost, read from the journey's workflow."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.converter import decode_typed_search_attributes

from activities.content import Content, UnknownVersion
from gateway.reconcile.temporal import PacedTemporal, WorkflowEnd
from runtime.search_attributes import SCENARIO_VERSION
from runtime.store import StoredEntry
from scenario.entry.admission import branches, entry_data
from scenario.entry.entry import journey_root, parse_entry
from scenario.errors import EntryError
from scenario.policies.draw import WITHHELD
from scenario.type_guards import mapping_or_empty

UNANSWERED: Final = "no worker answers: start one, and run this again"
UNREADABLE: Final = "its entry cannot be read: terminate it, and enter the contact again"
FORGOTTEN: Final = "it has ended, and its entry cannot be read: its contact counts as new"


@dataclass(frozen=True)
class LostEntry:
    """The entry of a journey, as far as its workflow has it."""

    entry: StoredEntry | None = None
    """The row to write back; None if that is impossible."""
    lacks: str | None = None
    """Name and number of the version that the store has to have first."""
    trouble: str | None = None
    """Why it cannot be written back, and what to do."""


async def lost_entry(
    temporal: PacedTemporal, content: Content, zone: str, info: WorkflowExecutionInfo, end: WorkflowEnd | None
) -> LostEntry | None:
    """Read the entry of a journey from its workflow, or return None if it was not admitted, or not yet.

    Args:
        zone: IANA zone of the platform's dates.
        end: How it has ended, if it has.
    """
    if end is not None and end.outcome == "refused":
        return None
    argument, entered = await temporal.beginning(info)
    if entered is None:
        return None
    if argument is None:
        return LostEntry(trouble=UNREADABLE if end is None else FORGOTTEN)
    carried: dict[str, Any] = argument["state"] if _is_carried(argument) else {}
    campaign = mapping_or_empty(mapping_or_empty(argument).get("campaign"))
    version = carried.get("version") or _searched_version(info) or (end and end.version)
    if not version and end is None:
        progress = await temporal.progress(info)
        if progress is None:
            return LostEntry(trouble=UNANSWERED)
        version = progress.get("scenario")
    if not version:  # it waits for its admission, or has ended before
        return None
    try:
        entry = parse_entry(argument["entry"] if carried or campaign else argument)
    except EntryError:
        return LostEntry(trouble=UNREADABLE)
    number = int(str(version).rpartition("@")[2])
    try:
        opened = await content.open(entry.name, number)
    except UnknownVersion:
        lacks = f"{entry.name}@{number}"
        return LostEntry(lacks=lacks, trouble=f"the store lacks {lacks}: publish its file again, and run this again")
    begun = mapping_or_empty(campaign.get("state"))
    if at := carried.get("entered_at") or begun.get("entered_at"):
        entered = datetime.fromisoformat(at)
    journey, goal = info.execution.workflow_id, opened.scenario.goal
    drawn = branches(opened.table.lots, journey, entry_data(entry, opened.scenario, number, zone, entered))
    return LostEntry(
        StoredEntry(
            scenario=entry.name,
            version=number,
            contact_id=entry.contact_id,
            key=journey_root(journey, entry.name, number, None)["key"],
            workflow_id=journey,
            run_id=info.first_run_id,
            ordinal=0,
            trigger=entry.trigger["type"],
            admitted_at=entered,
            ended_at=end and end.at,
            outcome=end and end.outcome,
            reason=end and end.reason,
            branches=None if end is not None and end.outcome in WITHHELD else drawn or None,
            goal_until=goal and entered + goal.within,
            root=carried.get("campaign_root") or campaign.get("root") or None,
        )
    )


def _is_carried(argument: Any) -> bool:
    """Return True if a run was started with the state of the run before."""
    return isinstance(argument, dict) and {"entry", "state"} <= argument.keys()


def _searched_version(info: WorkflowExecutionInfo) -> str | None:
    return decode_typed_search_attributes(info.search_attributes).get(SCENARIO_VERSION)
