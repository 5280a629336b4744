"""The signals of a journey: events, compared with the exit rules in order, and changes of the contact."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio import workflow

from activities.interface import GOAL, GoalEvent
from scenario.entry.entry import LARGEST, LARGEST_EVENT, is_too_deep, is_too_large
from scenario.steps.host import Event, evaluate
from workflows.delivery import DeliveryRunner
from workflows.host import JourneyHost
from workflows.limits import MOST_PARTS, MOST_SIGNALS, has_too_many_parts, is_object
from workflows.primitives import call


class SignalInbox:
    """Receives signals, and processes events while the journey runs.

    A signal handler only queues an event. Matching may evaluate a condition, and events must be processed in the order
    in which they arrived.
    """

    def __init__(self, host: JourneyHost, deliveries: DeliveryRunner) -> None:
        self._host, self._deliveries = host, deliveries
        self._signals = 0
        self._is_open = False
        self._patches: list[dict[str, Any]] = []

    def event(self, message: Any) -> None:
        """Queue an event. A malformed event is ignored and logged, since a signal has no reply."""
        self._count()
        data = message if is_object(message) else {}
        name, identifier = data.get("name"), data.get("id")
        properties: object = data.get("properties") or {}
        if not isinstance(name, str) or not is_object(properties) or is_too_deep(data):
            reason = 'it must be {"name": text, "properties": object}, not nested too deeply'
            self._host.ignore_input("event", reason)
            return
        if is_too_large(data, LARGEST_EVENT):
            self._host.ignore_input("event", f"it is larger than {LARGEST_EVENT // 1024} KB")
            return
        at = _happened(data.get("at"), workflow.now()).isoformat()
        known = None if identifier is None else str(identifier)[:200]
        self._host.received.append(Event(name=name, properties=properties, at=at, id=known))

    def contact_changed(self, patch: Any) -> None:
        """Apply changed fields of the contact, or keep them until `open`. Waits are computed again."""
        self._count()
        if not is_object(patch):
            self._host.ignore_input("contact_changed", "its argument must be one JSON object")
            return
        if is_too_deep(patch):
            self._host.ignore_input("contact_changed", "it is nested too deeply")
            return
        if is_too_large(patch, LARGEST) or has_too_many_parts(patch):
            most = f"{LARGEST // 1024} KB, or of more than {MOST_PARTS:,} objects and lists"
            self._host.ignore_input("contact_changed", f"it is larger than {most}")
            return
        self._patches.append(patch)
        self._apply_patches()

    def delivery_delayed(self, report: Any) -> None:
        """Show that the delivery in flight has failed, or was put off."""
        self._count()
        self._deliveries.show_delay(report if is_object(report) else {})

    def _count(self) -> None:
        self._signals += 1
        if self._signals == MOST_SIGNALS:
            self._host.is_full = True

    def _apply_patches(self) -> None:
        if not self._is_open:
            return
        for patch in self._patches:
            if self._host.patch_contact(patch):
                self._host.changes += 1
        self._patches.clear()

    async def process(self) -> None:
        """Process signals until cancelled, those received before admission first. An error fails the journey."""
        host = self._host
        self._is_open = True
        host.record_early_inputs()
        self._apply_patches()
        while True:
            await workflow.wait_condition(lambda: bool(host.received))
            host.is_matching = True
            try:
                event = host.received.pop(0)
                if host.uses(event.name) and not (event.id and host.state.is_repeated(event.id)):
                    await self._match(event)
            finally:
                host.is_matching = False

    async def _match(self, event: Event) -> None:
        """End the journey if an exit rule applies. Otherwise keep the event for steps."""
        host = self._host
        for rule in host.plan.exit:
            if rule.event != event.name:
                continue
            if rule.condition is not None:
                answer = await evaluate(host, rule.condition, "condition", event=event)
                if answer.error:
                    host.ignore(f"exit rule {rule.event}", answer.error)
                if answer.value is not True:
                    continue
            self._keep_for_goal(event)
            host.leave(f"event {event.name}")
            return
        self._keep_for_goal(event)
        host.state.keep(event)

    # ---- the goal, which does not end the journey

    def _keep_for_goal(self, event: Event) -> None:
        if self._may_reach_goal(event):
            self._host.state.keep_for_goal(event)

    def _may_reach_goal(self, event: Event) -> bool:
        goal, state = self._host.plan.goal, self._host.state
        if goal is None or goal.event != event.name or state.goal_reached_at is not None:
            return False
        entered = datetime.fromisoformat(state.entered_at)
        return entered <= datetime.fromisoformat(event.at) <= entered + timedelta(seconds=goal.within)

    async def measure_goal(self) -> None:
        """Evaluate the events that may reach the goal, until cancelled. Steps do not wait for this."""
        host, state, info = self._host, self._host.state, workflow.info()
        while True:
            # The departure reports the events that arrive when the journey leaves.
            await workflow.wait_condition(lambda: bool(state.goal_events) and host.departure is None)
            event = state.goal_events[0]
            happened = GoalEvent(workflow_id=info.workflow_id, run_id=state.root, event=event)
            answer = await call(GOAL, happened, about=event.name)
            if answer.error:
                host.ignore(f"value of goal {event.name}" if answer.reached else f"goal {event.name}", answer.error)
            if answer.reached:
                state.goal_reached_at = event.at
                state.goal_events.clear()
            else:
                state.goal_events.pop(0)

    @property
    def unmeasured(self) -> list[Event]:
        """Events that may reach the goal and have not been evaluated."""
        host = self._host
        return [*host.state.goal_events, *(event for event in host.received if self._may_reach_goal(event))]


def _happened(at: object, now: datetime) -> datetime:
    """Return the time that an event states (ISO 8601 with an offset), but at most the current time."""
    try:
        stated = datetime.fromisoformat(at) if isinstance(at, str) else now
        return min(stated, now).astimezone(UTC)
    except (ValueError, TypeError, OverflowError):  # malformed, without an offset, or outside the range of dates
        return now
