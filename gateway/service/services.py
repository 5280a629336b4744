"""All use cases of one Temporal namespace and store."""

from __future__ import annotations

from temporalio.client import Client

from gateway.service.destinations import DestinationService
from gateway.service.held import HeldService
from gateway.service.index import JourneyIndex
from gateway.service.operations import OperationService
from gateway.service.scenarios import ScenarioService
from runtime.store import Store


class Services:
    """The services that the HTTP API, the pages and the Python client share.

    Args:
        temporal: A client of the namespace that the workers poll.
        store: The workers' store.
    """

    def __init__(self, temporal: Client, store: Store) -> None:
        self.destinations = DestinationService(temporal, store)
        self.operations = OperationService(temporal, store)
        self.scenarios = ScenarioService(store)
        self.held = HeldService(JourneyIndex(temporal))
