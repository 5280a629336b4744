"""The scope of an unsubscription through a message."""

from __future__ import annotations

from scenario.model.scenario import Scenario
from scenario.policies.purpose import MARKETING
from scenario.steps.base import BaseStep
from scenario.steps.delivery import DeliveryStep


def scope_of(scenario: Scenario, step: BaseStep) -> str | None:
    """Return the scope that a contact unsubscribes from by a message.

    Args:
        scenario: The message's scenario.
        step: The step that sends it.

    Returns:
        A list's id or name; empty for all marketing of the channel. None if it is not marketing, or goes to no address.
    """
    if scenario.purpose != MARKETING or not isinstance(step, DeliveryStep) or step.recipient is None:
        return None
    asked = (scenario.subscription or {}).get(step.channel)
    return (asked.mailing_list if asked else None) or ""
