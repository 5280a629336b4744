"""All use cases of one Temporal namespace and store."""

from __future__ import annotations

from pathlib import Path
from zoneinfo import ZoneInfo

from temporalio.client import Client

from gateway.service.batches import BatchService
from gateway.service.campaigns import CampaignService
from gateway.service.destinations import DestinationService
from gateway.service.entries import EntryService
from gateway.service.erasures import ErasureService
from gateway.service.events import EventService
from gateway.service.held import HeldService
from gateway.service.index import JourneyIndex
from gateway.service.journeys import JourneyService
from gateway.service.memberships import MembershipService
from gateway.service.operations import OperationService
from gateway.service.outgoing import OutgoingService
from gateway.service.overview import OverviewService
from gateway.service.scenarios import ScenarioService
from runtime.store import Store


class Services:
    """The services that the HTTP API, the pages, the commands and the Python client share.

    Args:
        zone: IANA zone of the platform's zone-less dates.
        policies: The workers' `policies.yaml`, to report places under caps, or None.
        destinations: The workers' `destinations.yaml`, to estimate the time of campaigns, or None.
    """

    def __init__(
        self,
        temporal: Client,
        store: Store,
        zone: str = "UTC",
        policies: Path | None = None,
        destinations: Path | None = None,
    ) -> None:
        self.scenarios = ScenarioService(store)
        content = self.scenarios.content
        self.held = HeldService(JourneyIndex(temporal))
        self.destinations = DestinationService(temporal, store, self.held, policies)
        self.entries = EntryService(temporal, store, content, zone)
        self.memberships = MembershipService(store)
        self.operations = OperationService(temporal, store)
        self.outgoing = OutgoingService(store)
        self.batches = BatchService(store)
        self.campaigns = CampaignService(temporal, store, content, self.entries, self.operations, zone, destinations)
        self.erasures = ErasureService(temporal, store)
        self.events = EventService(temporal, store, content, ZoneInfo(zone))
        self.overview = OverviewService(temporal, store, self.held, self.destinations, self.campaigns, self.outgoing)
        self.journeys = JourneyService(temporal, store, content, policies)

    def refresh(self) -> None:
        """Discard cached values of held journeys and destinations, after an operation."""
        for cached in (self.held, self.destinations, self.overview):
            cached.refresh()

    async def close(self) -> None:
        for cached in (self.overview, self.destinations, self.held, self.journeys):
            await cached.close()
        await self.events.close()
