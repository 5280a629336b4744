"""Which channels write to addresses, and how an address is spelled where two spellings must be found to be one."""

from __future__ import annotations

from typing import cast

from scenario.policies.suppression import Source
from scenario.steps.delivery import DeliveryStep
from scenario.steps.registry import KINDS


def channels() -> tuple[str, ...]:
    """The channels whose addresses may be suppressed."""
    return tuple(kind for kind in KINDS if sources(kind))


def sources(channel: str) -> tuple[Source, ...]:
    """Why an address of a channel may be suppressed; nothing where the channel writes to no address."""
    model = KINDS.get(channel)
    return model.suppressed_by if model is not None and issubclass(model, DeliveryStep) else ()


def spelled(channel: str, address: str) -> str:
    """The one spelling of an address.

    Args:
        channel: One of `channels`.
        address: In any spelling that can be sent to.

    Raises:
        BadRecipient: It is none. The message does not quote it.
    """
    return cast("type[DeliveryStep]", KINDS[channel]).spelled(address)
