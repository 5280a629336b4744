"""What a contact unsubscribes from by a message."""

from __future__ import annotations

from scenario.model.scenario import Scenario
from scenario.policies.purpose import MARKETING
from scenario.steps.base import BaseStep
from scenario.steps.delivery import DeliveryStep


def scope_of(scenario: Scenario, step: BaseStep) -> str | None:
    """What a contact unsubscribes from by a message, and what must not have been unsubscribed from for it to go.

    Args:
        scenario: The message's.
        step: What sends it.

    Returns:
        The list, by its id or name; "" is all marketing on the channel. None where nobody can unsubscribe: from what is
        not marketing, or goes to no address of the contact.
    """
    if scenario.purpose != MARKETING or not isinstance(step, DeliveryStep) or step.recipient is None:
        return None
    asked = (scenario.subscription or {}).get(step.channel)
    return (asked.mailing_list if asked else None) or ""
