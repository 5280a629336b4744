"""Handlers of signals: events, matched one by one against the exit rules, and changes of the contact."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast

from temporalio import workflow

from activities.interface import GOAL, Happened
from scenario.entry.entry import LARGEST, LARGEST_EVENT, is_too_deep, is_too_large, patch_contact
from scenario.errors import EntryError
from scenario.time.timing import unplaced, zone_of
from workflows.host import StepHost
from workflows.limits import MOST_PARTS, MOST_SIGNALS, has_too_many_parts, size_of
from workflows.local_activities import answer_to
from workflows.state import Event

_PLACE: Final = "contact.timezone"


def _happened(at: object, now: datetime) -> datetime:
    """When an event happened: as it says of itself in ISO 8601 with a zone, but never later than now."""
    try:
        said = datetime.fromisoformat(at) if isinstance(at, str) else now
        return min(said, now).astimezone(UTC)
    except (ValueError, TypeError, OverflowError):  # no time, without a zone, or at the very end of all
        return now


class SignalHandlers(StepHost):
    """The part of a journey that takes in events and changes of the contact.

    A signal's handler only puts the event into the queue: matching it may need a condition worked out, and events must
    be dealt with in the order in which they came.
    """

    def __init__(self) -> None:
        super().__init__()
        self._taking = False
        self._signals = 0
        self.patches: list[dict[str, Any]] = []

    def event(self, message: Any) -> None:
        """Takes an event; one that cannot be read is ignored and logged, since nobody could be told."""
        self._count()
        data = cast("dict[str, Any]", message) if isinstance(message, dict) else {}
        name, identifier = data.get("name"), data.get("id")
        properties: Any = data.get("properties") or {}
        if not isinstance(name, str) or not isinstance(properties, dict) or is_too_deep(data):
            self.pass_over("event", 'it must be {"name": text, "properties": object}, not nested too deeply')
            return
        if is_too_large(data, LARGEST_EVENT):
            self.pass_over("event", f"it is larger than {LARGEST_EVENT // 1024} KB")
            return
        at = _happened(data.get("at"), workflow.now()).isoformat()
        known = None if identifier is None else str(identifier)[:200]
        self._arrived.append(Event(name=name, properties=cast("dict[str, Any]", properties), at=at, id=known))

    def _count(self) -> None:
        self._signals += 1
        if self._signals == MOST_SIGNALS:
            self.full = True

    async def take_in(self) -> None:
        """Deals with events as they come, for as long as the journey runs; an error is the journey's own."""
        self._taking = True
        self.note_passed_over()
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
            if rule.condition is not None:
                answer = await self.evaluate(rule.condition, "condition", event=event)
                if answer.error:
                    self.pass_over(f"exit rule {rule.event}", answer.error, tell=False)
                if answer.value is not True:
                    continue
            self._expect(event)
            self.leave(f"event {event.name}")
            return
        self._expect(event)
        self.state.keep(event)

    def _expect(self, event: Event) -> None:
        if self._may_reach(event):
            self.state.expect(event)

    def _may_reach(self, event: Event) -> bool:
        """Whether an event may reach the goal: it is of its name, in time, and none was there before."""
        goal, state = self.plan.goal, self.state
        if goal is None or goal.event != event.name or state.reached is not None:
            return False
        entered = datetime.fromisoformat(state.entered_at)
        return entered <= datetime.fromisoformat(event.at) <= entered + timedelta(seconds=goal.within)

    async def count_goals(self) -> None:
        """Has events looked at that may reach the goal. The journey does not wait for that: it is only measured."""
        state, info = self.state, workflow.info()
        while True:
            # What comes when it leaves goes along with its departure.
            await workflow.wait_condition(lambda: bool(state.goals) and not self.leaving)
            event = state.goals[0]
            happened = Happened(workflow_id=info.workflow_id, run_id=state.root, event=event)
            answer = await answer_to(GOAL, happened, about=event.name)
            if answer.error:
                what = f"value of goal {event.name}" if answer.reached else f"goal {event.name}"
                self.pass_over(what, answer.error, tell=False)
            if answer.reached:
                state.reached = event.at
                state.goals.clear()
            else:
                state.goals.pop(0)

    @property
    def uncounted(self) -> list[Event]:
        """Events that may reach the goal, and of which the store does not know yet."""
        return [*self.state.goals, *(event for event in self._arrived if self._may_reach(event))]

    def contact_changed(self, patch: Any) -> None:
        """Takes over changed fields of the contact; waits are worked out again."""
        self._count()
        if not isinstance(patch, dict):
            self.pass_over("contact_changed", "its argument must be one JSON object")
            return
        changes = cast("dict[str, Any]", patch)
        if is_too_deep(changes):
            self.pass_over("contact_changed", "it is nested too deeply")
            return
        if is_too_large(changes, LARGEST) or has_too_many_parts(changes):
            most = f"{LARGEST // 1024} KB, or of more than {MOST_PARTS:,} objects and lists"
            self.pass_over("contact_changed", f"it is larger than {most}")
            return
        self.patches.append(changes)
        self.apply_patches()

    def apply_patches(self) -> None:
        """Applies changes of the contact; those that came before the journey, or this run of it, began wait for it."""
        if not self._taking:
            return
        for patch in self.patches:
            if self.refresh(patch):
                self.changes += 1
        self.patches.clear()

    def refresh(self, patch: dict[str, Any], *, carried: bool = False) -> bool:
        """Applies one change, empty where there is none.

        Args:
            patch: Fields of the contact.
            carried: All changes so far, from the run before: there is no bound to them but that run's.

        Returns:
            Whether it could be applied.
        """
        if patch:
            zone = zone_of(self.state.zone)
            try:
                # Kept clean: as they come, two changes need not be alike, and could not be laid over each other.
                kept = patch_contact(self.state.patch, patch, zone)
                contact = patch_contact(self._data["contact"], patch, zone)
            except EntryError as error:
                self.pass_over("contact_changed", str(error))
                return False
            if not carried and self._outgrows(contact):
                self.pass_over("contact_changed", f"the contact would be larger than {LARGEST // 1024} KB")
                return False
            self._data["contact"], self.state.patch = contact, kept
        self._locate(anew="timezone" in patch and not carried)
        return True

    def _locate(self, *, anew: bool) -> None:
        """Works out the contact's zone. Where its own cannot be used, that is noted: once, and for each new one."""
        own = self._data["contact"].get("timezone")
        self._zone = zone_of(own, self.plan.zone)
        reason = unplaced(own, self.plan.zone)
        if reason and (anew or all(one.what != _PLACE for one in self.state.passed_over)):
            self.pass_over(_PLACE, reason)

    def _outgrows(self, contact: dict[str, Any]) -> bool:
        """Whether a changed contact is too large, and larger than it was: one that came in large may still change."""
        return is_too_large(contact, LARGEST) and is_too_large(contact, size_of(self._data["contact"]))
