"""Views of a journey for operators: its progress, and its details and search attributes in Temporal's UI.

Those in the UI contain ids, and none of the contact's data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final, cast

from temporalio import workflow
from temporalio.common import SearchAttributeKey, SearchAttributeUpdate

from runtime.search_attributes import (
    CONTACT_ID,
    DESTINATION,
    HELD_REASON,
    JOURNEY_STATE,
    LAST_HELD,
    SCENARIO_NAME,
    SCENARIO_VERSION,
    STEP_ID,
)
from scenario.entry.entry import Entry
from scenario.plan.plan import Plan
from scenario.steps.delivery import Send
from scenario.time import zone_of
from workflows.state import MARKS, Held, Migration, State

LONGEST: Final = 250
"""Maximum bytes of a search attribute or a summary. The server accepts 2048 and 400, which are too long to read."""
_SHOWN: Final = 60


def cut(text: str, limit: int) -> str:
    """Return the beginning of a text, at most `limit` bytes of UTF-8."""
    return text.encode(errors="replace")[:limit].decode(errors="ignore")


def summary(name: str, step: Send) -> str:
    """Return the summary of a delivery's activity, ``whatsapp → hooks.example.com``. Its type names the kind."""
    return f"{name} → {step.to}" if step.to else name


def details(state: State, plan: Plan, title: str) -> str:
    """Return the journey in Markdown: why it waits, and its past, current and future steps, in the scenario's zone."""
    zone, memory = zone_of(plan.zone), state.memory

    def time(moment: datetime | str | None) -> str:
        moment = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
        return moment.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S") if moment else ""

    lines = [f"**{title}**", ""]
    if state.held:
        tries = state.held.attempts
        after = f", {tries} {'attempt' if tries == 1 else 'attempts'}" if tries else ""
        lines += [f"**Held** at `{state.held.step}` since {time(state.held.at)}: {state.held.reason}{after}", ""]
        lines += ["Decide with the updates `retry_step`, `skip_step` or `leave`.", ""]
    if state.paused:
        lines += [f"**Paused** since {time(state.paused.at)} by {state.paused.operator}: {state.paused.reason}", ""]
        lines += ["Let it go on with the update `resume`.", ""]
    elif state.delayed_by and not memory.until:
        lines += [f"{state.mode.capitalize()} at `{state.at}`: the next attempt goes to {state.delayed_by}", ""]
    elif not state.held and state.at and (memory.until or memory.awaiting):
        what = f" for event `{memory.awaiting}`" if memory.awaiting else ""
        until = f" until {time(memory.until)}" if memory.until else ""
        why = f": {memory.deferral}" if memory.deferral else ""
        lines += [f"Waiting at `{state.at}`{what}{until}{why}", ""]
    for name, rounds in memory.rounds.items():
        if name in plan.steps:
            lines += [f"Round {rounds.number} of {plan.steps[name].most} of `{name}`", ""]
    lines += ["| | step | what | outcome | at |", "|---|---|---|---|---|"]
    for record in state.steps[-_SHOWN:]:
        what = plan.steps[record.id].describe() if record.id in plan.steps else record.kind
        reply = "".join(f" {said}" for said in (record.way, record.status) if said)
        note = f" ({record.note})" if record.note else ""
        # A split's note begins with the outcome and explains it.
        drawn = record.note is not None and record.note.startswith(f"{record.outcome} (")
        said = str(record.note) if drawn else f"{record.outcome}{reply}{note}"
        lines.append(_row(MARKS.get(record.outcome, "✓"), record.id, what, said, time(record.at)))
    if state.at:
        lines.append(_row("▶", state.at, plan.steps[state.at].describe(), state.mode, time(state.since)))
        passed = {record.id for record in state.steps} | {state.at}
        to_come = [name for name in plan.ahead(state.at) if name not in passed][:_SHOWN]
        lines += [_row("", name, plan.steps[name].describe(), "", "") for name in to_come]
    lines += ["", f"Times of {zone}."]
    return "\n".join(lines)


def _row(mark: str, step: str, what: str, outcome: str, at: str) -> str:
    cells = (mark, f"`{step}`", what, outcome, at)
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


# The SDK's own signature leaves the type of an update's value unknown.
upsert_search_attributes = cast(
    "Callable[[list[SearchAttributeUpdate[Any]]], None]",
    workflow.upsert_search_attributes,  # pyright: ignore[reportUnknownMemberType]
)


def progress(
    state: State, plan: Plan, version: str, zone: str, *, moving: Migration | None, is_leaving: bool
) -> dict[str, Any]:
    """Return a journey's progress as plain JSON data."""
    memory, goal = state.memory, plan.goal
    waiting: dict[str, Any] | None = None
    if state.held:
        known = {key: value for key, value in asdict(state.held).items() if value not in (None, "")}
        waiting = {"for": "an operator", **known}
    elif state.paused:
        waiting = {"for": "resume", "operator": state.paused.operator, "reason": state.paused.reason}
    elif memory.awaiting or memory.until:
        what = f"event {memory.awaiting}" if memory.awaiting else memory.deferral or "time"
        waiting = {"for": what, "until": memory.until and memory.until.isoformat()}
    return {
        "state": "leaving" if is_leaving else state.mode if state.at is not None else "over",
        "scenario": version,
        "at": state.at,
        "since": state.since,
        "waiting": waiting,
        "entered_at": state.entered_at,
        "steps": [record.as_dict() for record in state.steps],
        "steps_forgotten": state.forgotten,
        "rounds": [
            {"step": name, "round": rounds.number, "of": plan.steps[name].most}
            for name, rounds in memory.rounds.items()
            if name in plan.steps
        ],
        "events": [{"name": event.name, "at": event.at} for event in state.events],
        "operations": [operation.as_dict() for operation in state.operations],
        "passed_over": [asdict(one) for one in state.ignored],
        "goal": goal and {"event": goal.event, "within": goal.within, "reached_at": state.goal_reached_at},
        "zone": zone,
        "moves_to": f"{version.partition('@')[0]}@{moving.version}" if moving else None,
    }


class SearchAttributes:
    """The journey's search attributes. Each change costs the server a write, so only changes are sent."""

    def __init__(self) -> None:
        self._known: dict[str, str | None] = {}

    @property
    def stands_out(self) -> bool:
        """True if the attributes show the journey as retrying, held or paused. The end of that must be shown too."""
        given = workflow.info().typed_search_attributes.get(JOURNEY_STATE)  # of the previous run
        return self._known.get(JOURNEY_STATE.name, given) in ("retrying", "held", "paused")

    def show(self, entry: Entry, version: str, state: State) -> None:
        held = state.held
        changes = self._changes(
            {
                SCENARIO_NAME: entry.name,
                CONTACT_ID: entry.contact_id,
                SCENARIO_VERSION: version,
                STEP_ID: state.at or "",
                JOURNEY_STATE: state.mode,
            }
        )
        if changes:
            # These change only together with the ones above: no write of their own.
            changes += self._changes(
                {
                    DESTINATION: cut(held.destination if held else state.delayed_by, LONGEST) or None,
                    HELD_REASON: (held and held.cause) or None,
                }
            )
            upsert_search_attributes(changes)

    def _changes(self, wanted: Mapping[SearchAttributeKey[str], str | None]) -> list[SearchAttributeUpdate[Any]]:
        given = workflow.info().typed_search_attributes
        changes: list[SearchAttributeUpdate[Any]] = []
        for key, value in wanted.items():
            if self._known.get(key.name, given.get(key)) != value:
                changes.append(key.value_unset() if value is None else key.value_set(value))
            self._known[key.name] = value
        return changes


def remember(held: Held) -> None:
    """Record why the journey is held in its memo, which lists of journeys read. It stays after the hold ends.

    The receiver's reply is left out, since lists do not show it.
    """
    known = {key: value for key, value in asdict(held).items() if key != "excerpt" and value not in (None, "")}
    workflow.upsert_memo({LAST_HELD: known})
