"""How events reach a journey: taken in one by one, kept where a step names them, matched against the exit rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from temporalio import workflow

from workflows.state import Event

with workflow.unsafe.imports_passed_through():
    from scenario.entry import is_too_deep

if TYPE_CHECKING:
    from workflows.journey import Journey


class Intake:
    """The part of a journey that takes in events.

    A signal's handler only puts the event into the queue: matching it may need a condition worked out, and events must
    be dealt with in the order in which they came.
    """

    def __init__(self) -> None:
        self._arrived: list[Event] = []
        self._dealing = False
        self.patches: list[dict[str, Any]] = []

    @workflow.signal(name="event", description='Something happened: {"name", "properties", optionally "id"}.')
    def event(self, message: Any = None, *_: Any) -> None:
        """Takes an event; one that cannot be read is ignored and logged, since nobody could be told."""
        data = cast("dict[str, Any]", message) if isinstance(message, dict) else {}
        name, identifier = data.get("name"), data.get("id")
        properties: Any = data.get("properties") or {}
        if not isinstance(name, str) or not isinstance(properties, dict) or is_too_deep(data):
            workflow.logger.warning('event ignored: it must be {"name": text, "properties": object}, not too deep')
            return
        now = workflow.now().isoformat()
        known = None if identifier is None else str(identifier)[:200]
        self._arrived.append(Event(name=name, properties=cast("dict[str, Any]", properties), at=now, id=known))

    @property
    def taken_in(self) -> bool:
        """Whether every event that came has been dealt with."""
        return not self._arrived and not self._dealing

    async def take_in(self) -> None:
        """Deals with events as they come, for as long as the journey runs."""
        journey = cast("Journey", self)
        journey.apply_patches()
        while True:
            await workflow.wait_condition(lambda: bool(self._arrived))
            self._dealing = True
            event = self._arrived.pop(0)
            if event.name in journey.plan.events and not (event.id and journey.state.remember(event.id)):
                await self._deal_with(journey, event)
            self._dealing = False

    async def _deal_with(self, journey: Journey, event: Event) -> None:
        from workflows.steps import event_data

        for rule in journey.plan.exit:
            if rule.event != event.name:
                continue
            if rule.condition is None or (await journey.ask(rule.condition, event_data(event))).value is True:
                journey.leave(f"event {event.name}")
                return
        journey.state.keep(event)
