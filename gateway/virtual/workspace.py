"""The policies of virtual journeys: the same rules as in journeys, with claims and suppressions in memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from activities.channel_registry import CHANNELS
from gateway.virtual.host import VirtualHost
from scenario.model.scenario import Scenario
from scenario.policies.caps import Cap, Full, full
from scenario.policies.order import PlannedMessage, Ruling, ask, rules_of
from scenario.policies.policies import Policies
from scenario.policies.suppression import Suppression
from scenario.steps.delivery import DeliveryStep, Send


@dataclass(frozen=True)
class PlaceClaim:
    """A claim under caps; see `runtime.store.claims.CapClaim`."""

    delivery_id: str
    channel: str
    destination: str
    claimed_at: datetime


@dataclass
class Workspace:
    """The policies, suppressions and claims that apply to one contact's messages."""

    policies: Policies = field(default_factory=Policies)
    suppressions: Sequence[Suppression] = ()
    places: list[PlaceClaim] = field(default_factory=list[PlaceClaim])
    """The contact's claims under caps."""

    async def ask(self, host: VirtualHost, scenario: Scenario, step: DeliveryStep, row: Send, delivery: str) -> Ruling:
        destination = row.to if CHANNELS[row.channel].addressed else ""
        message = PlannedMessage(
            delivery=delivery,
            channel=row.channel,
            destination=destination,
            began=host.began,
            zone=host.zone,
            contact=host.data()["contact"],
            at_once=host.send_now,
        )
        rules = rules_of(scenario, step, self.policies, row.channel, destination)
        return await ask(message, rules, _Facts(self, message, host.now()))

    def release(self, delivery: str) -> None:
        self.places = [place for place in self.places if place.delivery_id != delivery]


@dataclass(frozen=True)
class _Facts:
    workspace: Workspace
    message: PlannedMessage
    at: datetime

    def now(self) -> datetime:
        return self.at

    async def suppressions(self) -> Iterable[Suppression]:
        return [found for found in self.workspace.suppressions if found.channel == self.message.channel]

    async def claim(self, caps: Sequence[Cap]) -> Full | None:
        places, message = self.workspace.places, self.message
        if not caps or any(place.delivery_id == message.delivery for place in places):
            return None
        found = full(caps, places, self.at, message.zone)
        if found is None:
            places.append(PlaceClaim(message.delivery, message.channel, message.destination, self.at))
        return found
