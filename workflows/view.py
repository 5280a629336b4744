"""What ops see of a journey in Temporal's UI: summaries, current details, search attributes. Ids only, no data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import timedelta
from typing import Any, Final, cast

from temporalio import workflow
from temporalio.common import SearchAttributeKey, SearchAttributeUpdate

from workflows.state import Held, State

with workflow.unsafe.imports_passed_through():
    from runtime.attributes import (
        CONTACT_ID,
        DESTINATION,
        HELD_REASON,
        JOURNEY_STATE,
        LAST_HELD,
        SCENARIO_NAME,
        SCENARIO_VERSION,
        STEP_ID,
    )
    from scenario.duration import format_duration
    from scenario.plan import Exit, If, Plan, Send, Step, Wait, WaitFor

LONGEST: Final = 250
"""Bytes of a search attribute's value at most; the server would take 2048, but nobody reads those."""
_SHOWN: Final = 60
_MARKS: Final = {"failed": "✗", "unknown": "?", "left": "■", "exited": "■", "skipped": "–", "timeout": "⌛"}


def cut(text: str, limit: int) -> str:
    """The beginning of a text, in so many bytes of UTF-8."""
    return text.encode()[:limit].decode(errors="ignore")


def describe(step: Step) -> str:
    """A step in a few words: ``webhook → hooks.example.com``, ``wait 2d``."""
    match step:
        case Send():
            return f"{step.kind} → {step.to}" if step.to else step.kind
        case Wait(seconds=float() as seconds):
            return f"wait {_length(seconds)}"
        case Wait(clock=str() as clock):
            return f"wait until {' '.join((*step.days, clock))}"
        case Wait():
            return "wait until a date"
        case WaitFor():
            return f"wait for {step.event}" + (f", {_length(step.seconds)} at most" if step.seconds is not None else "")
        case If():
            return "if"
        case Exit():
            return "exit"


def summary(name: str, step: Step) -> str:
    """The summary of a step's activity: ``webhook whatsapp → hooks.example.com``."""
    kind = step.kind
    return f"{kind} {name} → {step.to}" if isinstance(step, Send) and step.to else f"{kind} {name}"


def details(state: State, plan: Plan, title: str) -> str:
    """The journey in Markdown: why it waits, then its steps, done, running and to come."""
    lines = [f"**{title}**", ""]
    if state.held:
        tries = state.held.attempts
        after = f", {tries} {'attempt' if tries == 1 else 'attempts'}" if tries else ""
        lines += [f"**Held** at `{state.held.step}` since {state.held.at}: {state.held.reason}{after}", ""]
        lines += ["Decide with the updates `retry_step`, `skip_step` or `leave`.", ""]
    if state.paused:
        lines += [f"**Paused** since {state.paused.at} by {state.paused.operator}: {state.paused.reason}", ""]
        lines += ["Let it go on with the update `resume`.", ""]
    elif not state.held and state.until and state.at:
        lines += [f"Waiting at `{state.at}` until {state.until}", ""]
    lines += ["| | step | what | outcome | at |", "|---|---|---|---|---|"]
    done = state.steps[-_SHOWN:]
    for record in done:
        reply = f" {record.status}" if record.status else ""
        mark = _MARKS.get(record.outcome, "✓")
        note = f" ({record.note.replace('|', '/')})" if record.note else ""
        lines.append(f"| {mark} | `{record.id}` | {record.kind} | {record.outcome}{reply}{note} | {record.at} |")
    if state.at:
        lines.append(f"| ▶ | `{state.at}` | {describe(plan.steps[state.at])} | {state.mode} | {state.since or ''} |")
    passed = {record.id for record in state.steps} | {state.at}
    to_come = [name for name in plan.steps if name not in passed][:_SHOWN]
    lines += [f"| | `{name}` | {describe(plan.steps[name])} | | |" for name in to_come]
    return "\n".join(lines)


# Its own signature leaves the type of an update's value open.
upsert_search_attributes = cast(
    "Callable[[list[SearchAttributeUpdate[Any]]], None]",
    workflow.upsert_search_attributes,  # pyright: ignore[reportUnknownMemberType]
)


class Attributes:
    """The journey's search attributes; each change of them costs the server a write, so only changes are sent."""

    def __init__(self) -> None:
        self._known: dict[str, str | None] = {}

    @property
    def stands_out(self) -> bool:
        """Whether the attributes say that the journey is held or paused: its end must be shown too."""
        return self._known.get(JOURNEY_STATE.name) in ("held", "paused")

    def show(self, *, scenario: str, contact: str, version: str, step: str, state: str, held: Held | None) -> None:
        """Brings the search attributes up to date."""
        changes = self._changes(
            {
                SCENARIO_NAME: scenario,
                CONTACT_ID: contact,
                SCENARIO_VERSION: version,
                STEP_ID: step,
                JOURNEY_STATE: state,
            }
        )
        if changes:
            # These only ever go along: a write of their own would be a command that older histories do not have.
            changes += self._changes(
                {
                    DESTINATION: (held and cut(held.destination, LONGEST)) or None,
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
    """Notes why the journey is held in its memo, which search gives to those who list many. It stays when that is over.

    The reply that came is left out: lists do not show it.
    """
    known = {key: value for key, value in asdict(held).items() if key != "excerpt" and value not in (None, "")}
    workflow.upsert_memo({LAST_HELD: known})


def _length(seconds: float) -> str:
    return format_duration(timedelta(seconds=seconds))
