"""The Python client: publish scenarios, admit contacts, report events, look at journeys, act on them.

An engine in another language needs none of this: it starts the workflow `Journey` through Temporal, as
`examples/engine.py` shows.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from temporalio.client import Client

from activities.webhook.destinations.reading import read
from gateway import erasing
from gateway.admissions import AdmissionWatch
from gateway.coalescing_cache import CoalescingCache
from gateway.entries import Entered, EntryClient
from gateway.erasing import ErasureView
from gateway.errors import UnknownJourney
from gateway.journeys import snapshot
from gateway.journeys.snapshot import JourneySnapshot
from gateway.operations.batch import RATE, JourneyTarget, Tally
from gateway.operations.journey_operations import targets
from gateway.operations.migration import MigrationForecast
from gateway.operations.request import RequestedOperation, operation_named
from gateway.operations.retry_policy import Change
from gateway.publishing import Journeys, Publication, publish
from gateway.service.caller import TERMINAL
from gateway.service.destinations import DestinationNow
from gateway.service.index import JourneyFilter
from gateway.service.journey_view import JourneyView
from gateway.service.listing import JourneyLists, JourneySummary
from gateway.service.operation_views import ItemOutcome, OperationItemView, OperationView
from gateway.service.paging import PageRequest
from gateway.service.reads import JourneyReads
from gateway.service.services import Services
from gateway.service.view import PageView
from gateway.stats import stats
from gateway.stats.stats import StatsView
from gateway.telling import Heard, Telling
from gateway.unadmitted import UnadmittedSearch
from gateway.why.why import WhyView, why
from runtime.connection import connect
from runtime.encryption.codec import encrypt_client
from runtime.encryption.keyring import Erased
from runtime.encryption.opening import check_keys, keyring_in, keyring_of
from runtime.identity import StoreIdentity
from runtime.settings import Settings
from runtime.store import Store, StoreError
from runtime.temporal_faults import bound_calls
from runtime.watched_file import read_policies
from scenario.words import Operation

__all__ = [
    "Change",
    "Entered",
    "ErasureView",
    "Heard",
    "JourneyFilter",
    "JourneySnapshot",
    "JourneySummary",
    "JourneyTarget",
    "JourneyView",
    "MigrationForecast",
    "Operation",
    "OperationView",
    "ScenarioClient",
    "StatsView",
    "Tally",
    "targets",
]


class ScenarioClient(Telling):
    """Scenario Runner, for Python programs.

    Args:
        temporal: A client of the Temporal namespace that the workers poll.
        store: The workers' store.
        zone: IANA zone of the platform's zone-less dates.
        destinations: The workers' `destinations.yaml`, to check what is published against; None where it is not known.
        policies: The workers' `policies.yaml`, to tell of places under caps; None where it is not known.

    Example::

        async with ScenarioClient.open() as client:
            entered = await client.enter({"scenario": "post-purchase", "contact": {…}, "trigger": {…}})
            print(await entered.result())
    """

    def __init__(
        self,
        temporal: Client,
        store: Store,
        zone: str = "UTC",
        destinations: Path | None = None,
        policies: Path | None = None,
    ) -> None:
        self.temporal, self.store, self._destinations, self._policies = temporal, store, destinations, policies
        self._door, self.zone = EntryClient(temporal, store, zone), ZoneInfo(zone)
        self.services = Services(temporal, store)
        self.content = self.services.scenarios.content
        journeys = self.services.operations.journeys
        self.send, self.select, self.batch, self.held = journeys.send, journeys.select, journeys.batch, journeys.held
        self.forecast_migration = journeys.forecast_migration
        self.in_flight, self.retune_candidates = journeys.in_flight, journeys.retune_candidates
        self.reads = JourneyReads(self)
        self.unadmitted, self.lists = UnadmittedSearch(temporal), JourneyLists(temporal, store)
        self._stats = CoalescingCache(self._count, stats.TTL, cost_factor=stats.COST_FACTOR, max_stale=stats.MAX_STALE)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, settings: Settings | None = None, *, patience: float = 5.0, migrate: bool = False
    ) -> AsyncGenerator[ScenarioClient]:
        """Connects to Temporal and the store as TEMPORAL_* and SCENARIO_* say.

        Args:
            settings: Instead of the environment's.
            patience: Seconds to wait for a server that does not answer.
            migrate: Bring the store's tables up to date, as a worker and `scenario publish` do: for a program that
                publishes. Its release should be that of the workers.

        Raises:
            SetupError: A setting is wrong, or there is no server.
            StoreError: The store cannot be opened, has to be made or brought up to date first, or is not the one that
                the namespace belongs to.
        """
        settings = settings or Settings()
        temporal = await connect(role="scenario", patience=patience)
        url, make = settings.store.get_secret_value(), settings.has_default_store
        async with Store.open(url, make=make, migrate=migrate) as store:
            await StoreIdentity(temporal, store).verify()
            keys = keyring_of(settings, store)
            await check_keys(keys, store)
            temporal = bound_calls(encrypt_client(temporal, keys))
            client = cls(temporal, store, settings.platform_timezone, settings.destinations, settings.policies)
            try:
                yield client
            finally:
                await client.close()

    async def close(self) -> None:
        """Give up what is still being counted or searched. The client of Temporal and the store stay open."""
        await self._stats.close()
        await self.unadmitted.close()

    async def publish(
        self, path: Path, by: str = "", *, newest: bool = False, journeys: Journeys | None = None
    ) -> Publication:
        """Checks a scenario file and stores it; the same content again is the same version.

        Args:
            path: Of the file.
            by: Who publishes, for the record.
            newest: Where another version has followed that content, it becomes the newest again, as one more version:
                a rollback. Without it, `Publication.newest` tells whether new journeys take what was published.
            journeys: Whether its journeys stay with it (``pin``), or ``follow`` newer versions; the same content with
                another word is another version. None: that content's, and ``pin`` where it is new.

        Raises:
            CheckFailed: It has mistakes; nothing is stored.
            BadInput: It cannot be read.
            UnusableFile: `destinations.yaml` cannot be used.
        """
        known = read(self._destinations).listing if self._destinations else None
        return await publish(path, self.store, by, newest=newest, journeys=journeys, destinations=known)

    async def enter(self, entry: Mapping[str, Any], *, settle: float = 5.0, request: UUID | None = None) -> Entered:
        """Lets a contact in.

        Args:
            entry: As the contract describes it: scenario, contact, trigger, and optionally a key.
            settle: Seconds to wait for the admission; the journey goes on by itself if that takes longer. With 0 it is
                only started: of many, `settling` then tells who came in.
            request: What tells this request from others. The same again gives the journey that it started, as if that
                had just been done, for as long as the contact has not come in once more.

        Raises:
            NotEntered: The contact is not admitted; the text says why. It is `MistakenEntry` where the entry has to be
                mended, and `UnderWay` where its journey is under way.
            JourneyFailed: It came in and failed at once.
        """
        return await self._door.enter(entry, settle, request)

    def settling(self) -> AdmissionWatch:
        """What tells of many journeys that were started whether they came in: one watch for all."""
        return AdmissionWatch(self.temporal, self.store)

    async def erase(self, contact: str, *, operator: str, reason: str, dry_run: bool = False) -> ErasureView:
        """Begin to erase a contact: see `gateway.erasing.request_erasure`. There is no way back.

        Once this returns, what comes in for the contact is refused. A worker does the rest within some minutes:
        `erasure` returns its progress.

        Args:
            contact: The contact's id.
            operator: The operator who requests it.
            reason: The operator's reason, for the report.
            dry_run: Only return what would be erased.

        Raises:
            BadInput: A contact cannot have such an id.
        """
        who: dict[str, Any] = {"operator": operator, "reason": reason}
        places = self.temporal, self.store, keyring_in(self.store)
        if dry_run:
            return await erasing.survey_erasure(*places, contact, **who)
        return await erasing.request_erasure(*places, contact, **who)

    async def erasure(self, identifier: str) -> ErasureView:
        """Return an erasure: its progress, and its report once it is finished.

        Raises:
            UnknownErasure: There is none of that id.
        """
        return await erasing.show_erasure(self.store, identifier)

    async def erasures(self, *, is_open: bool = False, after: str | None = None, limit: int = 50) -> list[ErasureView]:
        """Return erasures, the newest first: see `gateway.erasing.list_erasures`."""
        return await erasing.list_erasures(self.store, is_open=is_open, after=after, limit=limit)

    async def trouble(self) -> str | None:
        """Why the store cannot be used now, its disk full, say; None where it can. Nobody is admitted meanwhile."""
        try:
            await self.store.check(writing=True)
        except StoreError as error:
            return str(error)
        return None

    async def show(self, journey: str, run_id: str | None = None) -> JourneySnapshot:
        """Return what Temporal, the journey and the store have of a journey. `JourneyView.of` shows it.

        Args:
            journey: The workflow id.
            run_id: One of its runs; by default the running one, else the one that was admitted last.

        Raises:
            UnknownJourney: Neither Temporal nor the store knows it.
        """
        try:
            return await snapshot.read(self.temporal, self.store, journey, run_id)
        except Erased as error:  # Temporal has not deleted its history yet
            raise UnknownJourney(f"the journey {journey} cannot be read: {error}") from None

    async def why(
        self,
        contact: str,
        scenario: str | None = None,
        *,
        step: str | None = None,
        since: datetime | None = None,
        limit: int = 20,
    ) -> WhyView:
        """Why a contact did, or did not, get something: from records, in plain words.

        Args:
            contact: The contact's id.
            scenario: Only what it asked for in this scenario.
            step: Answer at first whether it got what this step sends.
            since: Only entries that asked to come in then or later.
            limit: So many entries at most, the newest.

        Raises:
            UnknownContact: There is nothing to tell.
            BadInput: None of its scenarios has the step.
            UnusableFile: `policies.yaml` cannot be used.
        """
        policies = read_policies(self._policies) if self._policies else None
        return await why(
            self.temporal, self.store, contact, scenario, step=step, since=since, limit=limit, policies=policies
        )

    async def stats(self, scenario: str, version: int | None = None) -> StatsView:
        """Count the journeys at each step of a scenario. Counts are cached for some seconds: see `StatsView.as_of`.

        Args:
            scenario: Name of the scenario.
            version: Only this version. None: the newest, and those with journeys within the last day.

        Raises:
            BadInput: There is no such scenario or version, or it is not for this release.
        """
        return await self._stats.get((scenario, version))

    async def _count(self, asked: tuple[str, int | None]) -> StatsView:
        before = self._stats.peek(asked)
        return await stats.stats(self.temporal, self.store, self.content, *asked, before=before)

    async def journeys(
        self,
        *,
        scenario: str | None = None,
        version: int | None = None,
        contact: str | None = None,
        state: str | None = None,
        step: str | None = None,
        since: datetime | None = None,
        limit: int = 50,
    ) -> list[JourneySummary]:
        """Return admitted journeys, the newest first. See `held` for held ones.

        Args:
            scenario: Only those of this scenario.
            version: Only those of this version.
            contact: Only those of this contact.
            state: Only those in this state: one of `scenario.words.LISTED`.
            step: Only running journeys at this step. Temporal's search lags by some moments.
            since: Only those admitted since then.
            limit: Maximum number of journeys.
        """
        wanted = JourneyFilter(scenario=scenario, version=version, contact=contact, step=step, since=since)
        return await self.lists.newest(wanted, state=state, limit=limit)

    async def destinations_now(self) -> list[DestinationNow]:
        """Return the destinations whose deliveries wait for a retry."""
        return await self.services.destinations.now(TERMINAL)

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
        everybody: bool = False,
        identifier: str | None = None,
        **more: Any,
    ) -> OperationView:
        """Begin an operation on all matching journeys. It continues in whichever gateway runs.

        Args:
            operation: The operation.
            which: The filters. `pause` finds running journeys that are not paused, `resume` those that are, `retune`
                those with a delivery to the destination in progress, `migrate` those of other versions than the
                target, and all others those that are held.
            operator: The operator to record.
            reason: The reason to record.
            rate: Maximum number of journeys a second.
            limit: Maximum number of journeys.
            dry_run: Only find the journeys.
            everybody: For `leave`: all running journeys, whatever they are doing.
            identifier: An id that makes the request idempotent; by default a new one.
            more: Further arguments: ``version`` and ``now`` of retry; ``retry`` of retune; ``version`` (by default the
                newest), ``map`` and ``waits`` of migrate.

        Raises:
            BadInput: The request is invalid. Nothing has begun.
            RPCError: Temporal did not start it. Nothing has begun, or will.

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
            everybody=everybody,
            more={name: value for name, value in more.items() if value is not None},
        )
        return await self.services.operations.begin(TERMINAL, request, identifier)

    async def operation(self, identifier: str) -> OperationView:
        """Return an operation's progress or result. Raise UnknownOperation if there is none."""
        return await self.services.operations.show(TERMINAL, identifier)

    async def operations(self, *, limit: int = 50, cursor: str | None = None) -> PageView[OperationView]:
        """Return one page of operations on many journeys, newest first."""
        return await self.services.operations.list(TERMINAL, PageRequest(limit, cursor))

    async def operation_items(
        self, identifier: str, *, outcome: ItemOutcome | None = None, limit: int = 50, cursor: str | None = None
    ) -> PageView[OperationItemView]:
        """Return one page of an operation's journeys, with their answers. Raise UnknownOperation if there is none."""
        return await self.services.operations.items(TERMINAL, identifier, PageRequest(limit, cursor), outcome)

    async def stop_operation(self, identifier: str, *, operator: str, reason: str) -> OperationView:
        """Stop an operation. See `OperationService.stop`."""
        return await self.services.operations.stop(TERMINAL, identifier, operator=operator, reason=reason)
