"""What happens meanwhile: events, taken in one by one and matched against the exit rules; changes of the contact."""

from __future__ import annotations

from typing import Any, cast

from temporalio import workflow

from workflows.means import Means
from workflows.state import Event

with workflow.unsafe.imports_passed_through():
    from scenario.context import event_root
    from scenario.entry import LARGEST_EVENT, is_too_deep, is_too_large, patch_contact
    from scenario.errors import EntryError
    from scenario.timing import zone_of


def event_data(event: Event) -> dict[str, Any]:
    """A kept event as templates see it."""
    return event_root(event.name, event.at, event.properties)


class Intake(Means):
    """The part of a journey that takes in events and changes of the contact.

    A signal's handler only puts the event into the queue: matching it may need a condition worked out, and events must
    be dealt with in the order in which they came.
    """

    def __init__(self) -> None:
        super().__init__()
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
        # Asked for only where it matters, so that journeys under way which took such an event can be replayed.
        if is_too_large(data, LARGEST_EVENT) and workflow.patched("large-events"):
            workflow.logger.warning("event ignored: it is larger than %d KB", LARGEST_EVENT // 1024)
            return
        now = workflow.now().isoformat()
        known = None if identifier is None else str(identifier)[:200]
        self._arrived.append(Event(name=name, properties=cast("dict[str, Any]", properties), at=now, id=known))

    @property
    def taken_in(self) -> bool:
        """Whether every event that came has been dealt with."""
        return not self._arrived and not self._dealing

    async def take_in(self) -> None:
        """Deals with events as they come, for as long as the journey runs; an error is the journey's own."""
        self.apply_patches()
        while True:
            await workflow.wait_condition(lambda: bool(self._arrived))
            self._dealing = True
            try:
                event = self._arrived.pop(0)
                if event.name in self.plan.events and not (event.id and self.state.remember(event.id)):
                    await self._deal_with(event)
            finally:
                self._dealing = False

    async def _deal_with(self, event: Event) -> None:
        for rule in self.plan.exit:
            if rule.event != event.name:
                continue
            if rule.condition is None or (await self.ask(rule.condition, event_data(event))).value is True:
                self.leave(f"event {event.name}")
                return
        self.state.keep(event)

    @workflow.signal(name="contact_changed", description="Fields of the contact that have changed.")
    def contact_changed(self, patch: Any = None, *_: Any) -> None:
        """Takes over changed fields of the contact; waits are worked out anew."""
        if not isinstance(patch, dict):
            workflow.logger.warning("contact_changed ignored: its argument must be one JSON object")
            return
        self.patches.append(cast("dict[str, Any]", patch))
        self.apply_patches()

    def apply_patches(self) -> None:
        """Applies changes of the contact; those that came before the journey was admitted wait until then."""
        if not self._data:
            return
        for patch in self.patches:
            if self.refresh(patch):
                self.changes += 1
        self.patches.clear()

    def refresh(self, patch: dict[str, Any]) -> bool:
        """Applies one change, empty where there is none. Returns whether it could be."""
        if patch:
            zone = zone_of(self.state.zone)
            try:
                # Kept clean: as they come, two changes need not be alike, and could not be laid over each other.
                kept = patch_contact(self.state.patch, patch, zone)
                self._data["contact"] = patch_contact(self._data["contact"], patch, zone)
            except EntryError as error:
                workflow.logger.warning("contact_changed ignored: %s", error)
                return False
            self.state.patch = kept
        self._zone = zone_of(self._data["contact"].get("timezone"), self.plan.zone)
        return True
