"""Renders again what a journey's step sent, from the journey's history and the store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client

from activities.channel_registry import CHANNELS
from activities.interface import Delivery
from authoring.errors import BadInput
from authoring.preview.rendering import MessageRenderer, RenderProblem, Result, described, render_again
from runtime.store import Attempt, Store
from runtime.temporal_faults import unless_gone
from scenario.entry.entry import is_entry
from scenario.source.findings import listed, near
from scenario.steps.delivery import Send
from scenario.type_guards import is_mapping, mapping_or_empty
from service.journeys.snapshot import JourneySnapshot

_ACTIVITIES: Final = {channel.activity for channel in CHANNELS.values()}
NOTE: Final = (
    "rendered again from the journey's data, not a copy: secrets are masked, callback addresses are placeholders, "
    "destinations and senders are those configured here now"
)
"""The remark that goes with rendered messages."""


@dataclass(frozen=True)
class RenderedDelivery:
    """A scheduled delivery, and what its attempts sent."""

    delivery: Delivery
    scheduled_at: datetime  # time when it was first scheduled with this input
    result: Result = field(repr=False)  # the rendered message; `NothingToSend` or a `RenderProblem` if there is none

    def report(self) -> dict[str, Any]:
        return {
            "delivery_id": self.delivery.id,
            "scenario": self.delivery.scenario,
            "scheduled_at": self.scheduled_at.isoformat(),
            "now": self.delivery.now,
            **described(self.result),
        }


async def rendered(
    temporal: Client, store: Store, view: JourneySnapshot, step: str, renderer: MessageRenderer
) -> list[RenderedDelivery]:
    """Return what a step sent, for each time that the journey reached it, in order.

    Raise BadInput if the step does not exist, or sends or sent nothing, or Temporal has deleted the input.
    """
    _require(view, step)
    found: dict[tuple[str, str, str], RenderedDelivery] = {}
    begun = False
    async for event in _events(temporal, view):
        begun = True
        if (delivery := await _delivery(temporal, event, step)) is not None:
            key = (delivery.id, delivery.scenario, repr(delivery.data))
            if key not in found:
                published = await store.version(delivery.name, delivery.version)
                if published is None:
                    result: Result = RenderProblem(f"{delivery.scenario} is no longer in the store")
                else:
                    result = render_again(published.document, renderer, delivery, view.id)
                found[key] = RenderedDelivery(delivery, event.event_time.ToDatetime(tzinfo=UTC), result)
    if view.entry is not None and view.entry.is_inline:
        raise BadInput(
            f"the campaign {view.entry.key} has sent the message of {view.id} without a workflow, and what was sent is "
            f"not kept: see 'scenario deliveries {view.id}' for its recorded attempts"
        )
    if not begun:
        raise BadInput(
            f"Temporal has forgotten the history of {view.id}, and with it what was sent: "
            f"see 'scenario deliveries {view.id}' for its recorded attempts"
        )
    if not found:
        raise BadInput(_unsent(view, step))
    return list(found.values())


async def scheduled(temporal: Client, attempts: Iterable[Attempt]) -> list[tuple[Delivery, datetime]]:
    """Return the inputs of a delivery and when each was first scheduled, oldest first. Raise BadInput if unreadable."""
    found: dict[tuple[str, str], tuple[Delivery, datetime]] = {}
    made = ((one.delivery_id, one.workflow_id, one.run_id, one.step) for one in attempts)
    for identifier, journey, run, step in dict.fromkeys(made):
        async for event in _events_of(temporal, journey, run):
            delivery = await _delivery(temporal, event, step)
            if delivery is not None and delivery.id == identifier:
                at = event.event_time.ToDatetime(tzinfo=UTC)
                found.setdefault((delivery.scenario, repr(delivery.data)), (delivery, at))
    return list(found.values())


async def submitted_entry(temporal: Client, journey: str) -> dict[str, Any] | None:
    """Return the entry of a journey's newest run, or None if its history is deleted. Raise BadInput if unreadable."""
    async for event in _events_of(temporal, journey, None):
        payloads = event.workflow_execution_started_event_attributes.input.payloads
        given: Any = None
        with suppress(Exception):  # of whatever codec, for example because the contact was erased
            (given, *_) = await temporal.data_converter.decode(payloads)
        entry = given if is_entry(given) else mapping_or_empty(given).get("entry")  # with a state or a campaign
        if not is_mapping(entry):
            raise BadInput(f"the entry of {journey} cannot be read from its history")
        return dict(entry)
    return None


def _require(view: JourneySnapshot, step: str) -> None:
    steps = view.plan.steps if view.plan else {}
    sends = [name for name, row in steps.items() if isinstance(row, Send)]
    if not sends and view.id.startswith("batch-"):
        raise BadInput(f"the body of a batch call is not kept: 'scenario batch show {view.id}' lists its contacts")
    if not sends:
        raise BadInput(f"{view.id} has no steps that send anything")
    if step not in sends:
        what = "sends nothing" if step in steps else "is none of its steps"
        guess = near(step, sends) or near(step, [name.replace("-", "_") for name in sends])
        hint = f"did you mean '{guess}'?" if guess in sends else f"there are {listed(sends, 'and')}"
        raise BadInput(f"'{step}' {what}: {hint}")


def _unsent(view: JourneySnapshot, step: str) -> str:
    known = (view.progress or view.result or {}).get("steps") or ()
    record = next((one for one in known if one.get("id") == step), None)
    if record is None:
        return f"step {step} has sent nothing: the journey has not come to it"
    reason = f": {record['reason']}" if record.get("reason") else ""
    return f"step {step} has sent nothing: it was {record.get('outcome')}{reason}"


async def _events(temporal: Client, view: JourneySnapshot) -> AsyncIterator[HistoryEvent]:
    """Yield events of all stored runs of a journey, as `_events_of`."""
    first = view.entry.run_id if view.entry else view.run_id
    seen: set[str] = set()
    for start in (first, view.run_id):  # a reset begins a run that none before names
        run = start
        while run and run not in seen:
            seen.add(run)
            following = ""
            async for event in _events_of(temporal, view.id, run):
                yield event
                following = event.workflow_execution_continued_as_new_event_attributes.new_execution_run_id
            run = following


async def _events_of(temporal: Client, journey: str, run: str | None) -> AsyncIterator[HistoryEvent]:
    with unless_gone():
        async for event in temporal.get_workflow_handle(journey, run_id=run).fetch_history_events():
            yield event


async def _delivery(temporal: Client, event: HistoryEvent, step: str) -> Delivery | None:
    given = event.activity_task_scheduled_event_attributes
    if given.activity_id != step or given.activity_type.name not in _ACTIVITIES:
        return None
    try:
        (delivery,) = await temporal.data_converter.decode(given.input.payloads, [Delivery])
    except Exception as error:  # of whatever codec
        raise BadInput(f"the message cannot be read from the history ({type(error).__name__})") from None
    return delivery.of_step(step)
