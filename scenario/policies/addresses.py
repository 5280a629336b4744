"""Channels that write to addresses, and the canonical spelling of addresses."""

from __future__ import annotations

from collections.abc import Iterator

from scenario.model.scenario import Scenario
from scenario.policies.suppression import Source
from scenario.steps.base import BaseStep
from scenario.steps.delivery import DeliveryStep
from scenario.steps.registry import KINDS
from scenario.words import MARKETING


def channels() -> tuple[str, ...]:
    """Return the channels that write to addresses which may be suppressed."""
    return tuple(dict.fromkeys(model.channel for model in _senders() if model.suppressed_by))


def sources(channel: str) -> tuple[Source, ...]:
    """Return the reasons for which an address of a channel may be suppressed."""
    return next((model.suppressed_by for model in _senders() if model.channel == channel), ())


def recipients() -> dict[str, tuple[str, str]]:
    """Return the root and field of the recipient's address, by channel whose addresses may be suppressed."""
    return {model.channel: model.recipient for model in _senders() if model.suppressed_by and model.recipient}


def spelled(channel: str, address: str) -> str:
    """Return the canonical spelling of an address of one of `channels`. Raise BadRecipient, which does not quote it."""
    return next(model for model in _senders() if model.channel == channel).spelled(address)


def _senders() -> Iterator[type[DeliveryStep]]:
    for model in KINDS.values():
        if issubclass(model, DeliveryStep):
            yield model


def scope_of(scenario: Scenario, step: BaseStep) -> str | None:
    """Return the scope that a contact unsubscribes from by a step's message.

    Returns:
        A list's id or name; empty for all marketing of the channel. None if it is not marketing, or goes to no address.
    """
    if scenario.purpose != MARKETING or not isinstance(step, DeliveryStep) or step.recipient is None:
        return None
    asked = (scenario.subscription or {}).get(step.channel)
    return (asked.mailing_list if asked else None) or ""
