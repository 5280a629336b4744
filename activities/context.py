"""What templates see, the same in every channel: the data of the journey, and what only the delivery itself knows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

from activities.interface import Delivery
from runtime.unsubscribing import Subscriber
from scenario.entry.entry import journey_root
from scenario.entry.trigger import with_trigger
from scenario.errors import NotConfigured
from scenario.model.scenario import Scenario
from scenario.policies.unsubscribing import scope_of
from scenario.steps.delivery import DeliveryStep


class Addresses(Protocol):
    """Who makes `journey.callback_url`: `runtime.callback.Callbacks`, or a preview's stand-in."""

    def url(self, workflow_id: str, root: str, delivery_id: str, now: datetime) -> str:
        """Return the address that a delivery carries: a pure function."""
        ...


class UnsubscribeAddresses(Protocol):
    """Who makes `journey.unsubscribe_url`: `runtime.unsubscribing.Unsubscribing`, or a preview's stand-in."""

    def url(self, subscriber: Subscriber) -> str:
        """Return the address that a message to a subscriber carries: a pure function."""
        ...


def subscriber_of(
    scenario: Scenario, step: DeliveryStep, contact_id: str, data: Mapping[str, Any]
) -> Subscriber | None:
    """Who unsubscribes from what by a message, or None if nobody does.

    Args:
        scenario: The message's.
        step: What sends it.
        contact_id: Whom it goes to.
        data: What the step is handed, by root.

    Raises:
        BadRecipient: The contact's address is none.
    """
    scope = scope_of(scenario, step)
    if scope is None or step.recipient is None:
        return None
    root, field = step.recipient
    there: Any = data.get(root) or {}
    written = str(there.get(field) or "").strip()
    return Subscriber(step.channel, scope, contact_id, step.spelled(written)) if written else None


def template_data(
    delivery: Delivery, workflow_id: str, callbacks: Addresses | None = None, unsubscribe_url: str = ""
) -> dict[str, Any]:
    """Return the data of a delivery's templates, by root. It is a pure function: every attempt renders the same bytes.

    The data are those of the journey, with `now` and `today` (when the message may leave, in the contact's zone) and
    `journey`. `journey.entered_at` and `journey.callback_url` are present if a template names them. Marketing always
    has `journey.unsubscribe_url`, for its headers. Webhooks add secrets, which are not part of the data.

    Args:
        delivery: What is delivered.
        workflow_id: The journey's.
        callbacks: Makes `journey.callback_url`, or None if it is not configured.
        unsubscribe_url: That of the journey; empty if there is none.

    Raises:
        NotConfigured: A template asks for `journey.callback_url`, and it is not.
    """
    handed: dict[str, Any] = delivery.data.get("journey") or {}
    made = journey_root(workflow_id, delivery.name, delivery.version, handed.get("entered_at"))
    if delivery.root:
        if callbacks is None:
            raise NotConfigured(
                "a template asks for journey.callback_url, which is not configured: "
                "set SCENARIO_CALLBACK_URL and SCENARIO_CALLBACK_KEY for the workers"
            )
        made["callback_url"] = callbacks.url(
            workflow_id, delivery.root, delivery.id, datetime.fromisoformat(delivery.now)
        )
    if unsubscribe_url:
        made["unsubscribe_url"] = unsubscribe_url
    whole = with_trigger(delivery.data)
    return {**whole, "journey": {**handed, **made}, "now": delivery.now, "today": delivery.now[:10]}
