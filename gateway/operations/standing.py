"""Destinations as an operator looks at them: how they may be sent to, how that goes, and what waits for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from temporalio.client import Client

from activities.webhook.destinations.destinations import Destination, Destinations
from gateway.operations.now import DestinationNow, destinations_now
from gateway.service.held import HeldGroups
from runtime.store import Store

LOOKED_BACK: Final = timedelta(hours=1)
"""How far back attempts are counted."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How a destination stands.

    Attributes:
        name: Its name, or a host; of e-mails and SMS the server or provider.
        named: As `destinations.yaml` has it; None where it is not there.
        now: How it stands with deliveries to be tried again; None where there are none.
        outcomes: How the attempts of the last hour ended, by their outcome, the most frequent first.
        held: How many journeys are held because of it.
    """

    name: str
    named: Destination | None = None
    now: DestinationNow | None = None
    outcomes: Mapping[str, int] = field(default_factory=dict[str, int])
    held: int = 0

    @property
    def attempts(self) -> int:
        """How many attempts of the last hour are on record."""
        return sum(self.outcomes.values())


@dataclass(frozen=True, kw_only=True)
class Standings:
    """How all destinations stand that are known.

    Attributes:
        destinations: Those in trouble first.
        is_cut: Whether more was attempted in the last hour than was counted: then the outcomes are the newest.
        at: When this was found out.
    """

    destinations: tuple[Standing, ...]
    is_cut: bool
    at: datetime


async def standings(temporal: Client, store: Store, book: Destinations | None, held: HeldGroups) -> Standings:
    """How all destinations stand: those of `destinations.yaml`, and those that something was sent to.

    Args:
        temporal: Knows what is under way.
        store: Knows what was attempted.
        book: The destinations; None where they are not known.
        held: The journeys that are held.
    """
    at = datetime.now(UTC)
    waiting = {now.destination: now for now in await destinations_now(temporal, store)}
    outcomes = await store.outcomes(since=at - LOOKED_BACK)
    held_for: dict[str, int] = {}
    for group in held.groups:
        if group.at.destination is not None:
            held_for[group.at.destination] = held_for.get(group.at.destination, 0) + group.count
    names = {*(book.destinations if book else ()), *waiting, *outcomes.by_destination, *held_for}
    found = [
        Standing(
            name=name,
            named=book.get(name) if book else None,
            now=waiting.get(name),
            outcomes=dict(sorted(outcomes.by_destination.get(name, {}).items(), key=lambda item: (-item[1], item[0]))),
            held=held_for.get(name, 0),
        )
        for name in names
    ]
    return Standings(destinations=tuple(sorted(found, key=_urgency)), is_cut=outcomes.is_cut, at=at)


def _urgency(one: Standing) -> tuple[bool, bool, bool, str]:
    return not (one.now and one.now.left_alone), one.now is None, not one.held, one.name
