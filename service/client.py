"""All use cases of one Temporal namespace and store, and the Python client.

An engine in another language does not need it: it starts the workflow `Journey` through Temporal, as
`examples/engine.py` shows.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from temporalio.client import Client

from activities.journal.journal import Journal
from activities.webhook.destinations.reading import read
from authoring.publishing import Journeys, Publication, publish
from runtime.connection import connect
from runtime.encryption.codec import check_keys, keyring_of
from runtime.encryption.converter import encrypt_client
from runtime.identity import StoreIdentity
from runtime.settings import Settings
from runtime.store import Store, StoreError
from runtime.temporal_faults import bound_calls
from scenario.entry.values import DEFAULT_PLATFORM, PlatformDates
from scenario.words import JourneyState, Operation
from service.batches import BatchService, MembershipService
from service.caller import TERMINAL
from service.campaigns.service import CampaignService
from service.destinations import DestinationService
from service.entries import Entered, EntryService
from service.erasures import ErasureService, ErasureView
from service.events import EventService, EventView
from service.held import HeldService
from service.index import JourneyFilter, JourneyIndex
from service.journeys.service import JourneyService
from service.listing import JourneySummary
from service.operations.journey_operations import targets
from service.operations.request import RATE, RequestedOperation, operation_named
from service.operations.service import OperationService
from service.operations.views import ItemOutcome, OperationItemView, OperationView
from service.outgoing import OutgoingService
from service.overview import OverviewService
from service.scenarios import ScenarioService
from service.view import PageRequest, PageView


class Services:
    """The services that the HTTP API, the pages, the commands and the Python client share.

    For the arguments see `ScenarioClient`; the destinations serve to estimate the time of campaigns.
    """

    def __init__(
        self,
        temporal: Client,
        store: Store,
        platform: PlatformDates = DEFAULT_PLATFORM,
        policies: Path | None = None,
        destinations: Path | None = None,
        trusted_events: Collection[str] = (),
    ) -> None:
        self.scenarios = ScenarioService(store)
        content = self.scenarios.content
        self.held = HeldService(JourneyIndex(temporal))
        self.destinations = DestinationService(temporal, store, self.held, policies)
        self.entries = EntryService(temporal, store, content, platform)
        self.memberships = MembershipService(store)
        self.operations = OperationService(temporal, store)
        self.outgoing = OutgoingService(store)
        self.batches = BatchService(store)
        self.campaigns = CampaignService(
            temporal, store, content, self.entries, self.operations, platform, destinations
        )
        self.erasures = ErasureService(temporal, store)
        self.events = EventService(temporal, store, content, platform, trusted_events)
        self.overview = OverviewService(temporal, store, self.held, self.destinations, self.campaigns, self.outgoing)
        self.journeys = JourneyService(temporal, store, content, policies)

    def refresh(self) -> None:
        """Discard cached values of held journeys and destinations, after an operation."""
        for cached in (*self.held.caches, *self.destinations.caches, *self.overview.caches):
            cached.clear()

    async def close(self) -> None:
        for service in (self.overview, self.destinations, self.held, self.journeys):
            for cached in service.caches:
                await cached.close()
        await self.events.unadmitted.close()


__all__ = [
    "Entered",
    "EventView",
    "JourneyFilter",
    "JourneySummary",
    "Operation",
    "OperationView",
    "ScenarioClient",
    "targets",
]


class ScenarioClient:
    """Scenario Runner, for Python programs.

    Most methods are those of the services, with a caller who may do anything: `EntryService.enter`,
    `EventService.report` (as `event`), `JourneyService.show`, `JourneyOperations.held`, and so on.

    Args:
        temporal: A client of the Temporal namespace that the workers poll.
        platform: How the platform writes dates: the zone of those without an offset, and their order.
        destinations: The workers' `destinations.yaml`, to check scenarios against before they are published, or None.
        policies: The workers' `policies.yaml`, to report places under caps, or None.
        trusted_events: Reserved names of events that API keys with the scope `providers` may report.

    Attributes:
        services: The use cases, which check what a caller may do.

    Example::

        async with ScenarioClient.open() as client:
            entered = await client.enter({"scenario": "post-purchase", "contact": {…}, "trigger": {…}})
            print(await entered.result())
    """

    def __init__(
        self,
        temporal: Client,
        store: Store,
        platform: PlatformDates = DEFAULT_PLATFORM,
        destinations: Path | None = None,
        policies: Path | None = None,
        trusted_events: Collection[str] = (),
    ) -> None:
        self.temporal, self.store, self.platform, self._destinations = temporal, store, platform, destinations
        services = self.services = Services(temporal, store, platform, policies, destinations, trusted_events)
        self.enter = partial(services.entries.enter, TERMINAL)
        self.watch_admissions = services.entries.watch_admissions
        self.event = partial(services.events.report, TERMINAL)
        self.event_for = partial(services.events.report_to, TERMINAL)
        self.contact_changed = partial(services.events.change, TERMINAL)
        self.erase, self.erasure = partial(services.erasures.erase, TERMINAL), partial(services.erasures.show, TERMINAL)
        self.show, self.why = partial(services.journeys.show, TERMINAL), partial(services.journeys.why, TERMINAL)
        self.stats = partial(services.journeys.stats, TERMINAL)
        self.trends = partial(services.journeys.trends, TERMINAL)
        journeys = services.operations.journeys
        self.send = self.services.operations.send
        self.select, self.batch, self.held = journeys.select, journeys.batch, journeys.held
        self.uncertain = journeys.uncertain
        self.forecast_migration = journeys.forecast_migration
        self.in_flight, self.retune_candidates = journeys.in_flight, journeys.retune_candidates
        self.operation = partial(services.operations.show, TERMINAL)
        self.stop_operation = partial(services.operations.stop, TERMINAL)
        self.destinations_now = partial(services.destinations.now, TERMINAL)
        self.overview = partial(services.overview.show, TERMINAL)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, settings: Settings | None = None, *, patience: float = 5.0, migrate: bool = False
    ) -> AsyncGenerator[ScenarioClient]:
        """Connect to the configured Temporal and store.

        Args:
            settings: The settings; by default TEMPORAL_* and SCENARIO_* of the environment.
            patience: Seconds to wait for a server that does not answer.
            migrate: Bring the store's tables up to date, as a worker and `scenario publish` do. For programs that
                publish, of the workers' release.

        Raises:
            SetupError: A setting is wrong, or there is no server.
            StoreError: The store cannot be opened, has to be created or brought up to date first, or is not the one
                that the namespace belongs to.
        """
        settings = settings or Settings()
        temporal = await connect(role="scenario", patience=patience)
        url, make = settings.store.get_secret_value(), settings.has_default_store
        async with Store.open(url, make=make, migrate=migrate) as store:
            await StoreIdentity(temporal, store).verify()
            keys = keyring_of(settings, store)
            await check_keys(keys, store)
            store.journal = Journal.configured(settings, temporal, store)
            temporal = bound_calls(encrypt_client(temporal, keys))
            client = cls(temporal, store, settings.platform, settings.destinations, settings.policies)
            try:
                yield client
            finally:
                await client.services.close()

    async def publish(
        self, path: Path, by: str = "", *, newest: bool = False, journeys: Journeys | None = None
    ) -> Publication:
        """Check a scenario file against `destinations.yaml`, and store it. See `authoring.publishing.publish`."""
        known = read(self._destinations).listing if self._destinations else None
        return await publish(path, self.store, by, newest=newest, journeys=journeys, destinations=known)

    async def trouble(self) -> str | None:
        """Return why the store cannot be written now, such as a full disk. No contact is admitted meanwhile."""
        try:
            await self.store.check(writing=True)
        except StoreError as error:
            return str(error)
        return None

    async def journeys(self, *, state: str | None = None, limit: int = 50, **which: Any) -> list[JourneySummary]:
        """Return admitted journeys, given fields of a `JourneyFilter`, the newest first. See `held` for held ones.

        Args:
            state: Only those in this state: one of `scenario.words.LISTED`.
        """
        wanted, lists = JourneyFilter(**which), self.services.journeys.lists
        if state == JourneyState.RETRYING:  # which search finds, without a look at all that run
            retrying = wanted.model_copy(update={"state": "retrying"})
            return await lists.with_deliveries(await lists.held(retrying, limit=limit), limit=limit)
        return await lists.newest(wanted, state=state, limit=limit)

    async def operate(
        self,
        operation: Operation,
        which: JourneyFilter,
        *,
        operator: str,
        reason: str,
        rate: float = RATE,
        limit: int | None = None,
        dry_run: bool = False,
        unknown: bool = False,
        everybody: bool = False,
        identifier: str | None = None,
        **more: Any,
    ) -> OperationView:
        """Begin an operation on all matching journeys. It continues in whichever gateway runs.

        See `RequestedOperation` for the arguments; `more` are further arguments of the operation, and `identifier`
        makes the request idempotent. After BadInput and RPCError, nothing has begun, or will.

        Example::

            which = JourneyFilter(destination="wax")
            begun = await client.operate(Operation.RETRY, which, operator="ann", reason="fixed")
            print((await client.operation(begun.id)).accepted)
        """
        request = RequestedOperation(
            operation=operation_named(operation),
            which=which,
            operator=operator,
            reason=reason,
            rate=rate,
            limit=limit,
            dry_run=dry_run,
            unknown=unknown,
            everybody=everybody,
            more={name: value for name, value in more.items() if value is not None},
        )
        return await self.services.operations.begin(TERMINAL, request, identifier)

    async def operations(self, *, limit: int = 50, cursor: str | None = None) -> PageView[OperationView]:
        return await self.services.operations.list(TERMINAL, PageRequest(limit, cursor))

    async def operation_items(
        self, identifier: str, *, outcome: ItemOutcome | None = None, limit: int = 50, cursor: str | None = None
    ) -> PageView[OperationItemView]:
        return await self.services.operations.items(TERMINAL, identifier, PageRequest(limit, cursor), outcome)

    async def erasures(self, *, is_open: bool = False, limit: int = 50) -> list[ErasureView]:
        """Return erasures, newest first; with `is_open`, those that are not finished."""
        return (await self.services.erasures.list(TERMINAL, PageRequest(limit), is_open=is_open)).items
