"""The store of what must outlive Temporal's retention: published scenarios, admissions and the log of deliveries.

async with Store.open(url) as store:
    version = await store.publish("post-purchase", document, plan, digest)
    answer = await store.admit(AdmissionRequest(...))
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Self

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError

from runtime.errors import StoreAddressError, StoreError, StoreMismatch, StoreOutdated, StoreUnavailable
from runtime.store.admission import AdmissionRequest, AdmittedRun, AlreadyEntered, StoredEntry
from runtime.store.api_access import ApiAccess
from runtime.store.batches import StoredBatches
from runtime.store.campaign_lines import CampaignLines, StoredAudiences
from runtime.store.campaigns import StoredCampaigns
from runtime.store.claims import CapClaim, Claims
from runtime.store.contact_keys import ContactKeys
from runtime.store.database import Database
from runtime.store.deliveries import Attempt, AttemptCount, BackoffCount, Deliveries, DestinationTraffic, OutcomeCounts
from runtime.store.entries import AcceptedEntries, AcceptedEntry, Entries, JourneyCount
from runtime.store.erasures import Erasures
from runtime.store.journal import JournalEntries
from runtime.store.leases import Leases, NamespaceClaim, NamespaceClaims
from runtime.store.memberships import AudienceMemberships
from runtime.store.migrations import ensure_current, upgrade
from runtime.store.operations import OperationItem, StoredOperation, StoredOperations
from runtime.store.outgoing_sends import OutgoingSends
from runtime.store.passages import DayCount, GoalCount, Goals, Passage, PassageCount, Passages
from runtime.store.postgresql import PostgreSQL
from runtime.store.retention import Retention
from runtime.store.sqlite import SQLite
from runtime.store.suppressions import ProviderEvents, Suppressions
from runtime.store.versions import Closure, StoredVersion, Versions
from runtime.store.writer import AttemptWriter

__all__ = [
    "AcceptedEntry",
    "AdmissionRequest",
    "AdmittedRun",
    "AlreadyEntered",
    "Attempt",
    "AttemptCount",
    "AttemptWriter",
    "BackoffCount",
    "CapClaim",
    "Closure",
    "DayCount",
    "GoalCount",
    "JourneyCount",
    "NamespaceClaim",
    "OperationItem",
    "OutcomeCounts",
    "Passage",
    "PassageCount",
    "Store",
    "StoreError",
    "StoreMismatch",
    "StoreUnavailable",
    "StoredEntry",
    "StoredOperation",
    "StoredVersion",
]

logger = logging.getLogger(__name__)

PAUSE = 1.0  # seconds between attempts to open an unreachable database
NOTICE = 5.0  # seconds between log lines about such attempts


class Store(
    Versions,
    CampaignLines,
    Entries,
    AcceptedEntries,
    Goals,
    Deliveries,
    DestinationTraffic,
    Passages,
    Claims,
    Suppressions,
    ProviderEvents,
    StoredOperations,
    StoredCampaigns,
    StoredAudiences,
    AudienceMemberships,
    StoredBatches,
    ApiAccess,
    ContactKeys,
    Erasures,
    Leases,
    Retention,
    OutgoingSends,
    NamespaceClaims,
    JournalEntries,
):
    """All tables, in SQLite or PostgreSQL.

    One for each process, used from the event loop that opened it. Every call commits when it returns, and may be
    repeated after a ``StoreError``.
    """

    @classmethod
    @asynccontextmanager
    async def open(
        cls, url: str, *, make: bool = True, migrate: bool = True, patience: float = 0.0
    ) -> AsyncGenerator[Self]:
        """Connect, migrate the tables, and close the connection at the end. Raise a StoreError if it cannot be used.

        Args:
            url: ``sqlite:///file`` or ``postgresql://user:password@host/database``. The name of a driver is ignored.
            make: Create missing files and tables, if `migrate` is set too. A mistyped URL creates a second store.
            migrate: Upgrade tables of an earlier release; otherwise only check their version.
            patience: Seconds to wait for an unreachable database, and for another process that migrates; 0 tries once.
        """
        database = await _open(url, make=make and migrate, migrate=migrate, patience=patience)
        try:
            yield cls(database)
        finally:
            await database.close()

    @property
    def name(self) -> str:
        """The database's file, or host, port and name. It holds no secret."""
        return self._database.name

    @property
    def clock_offset(self) -> float | None:
        return self._database.clock_offset

    async def check(self, *, writing: bool = False) -> None:
        """Check that the store is usable; see `Database.check`."""
        await self._database.check(writing=writing)


async def _open(url: str, *, make: bool, migrate: bool, patience: float) -> Database:
    clock = asyncio.get_running_loop().time
    end = clock() + patience
    noticed = -math.inf
    while True:
        database = connect(url, make=make)
        try:
            await (upgrade(database, make=make) if migrate else ensure_current(database))
        except (StoreUnavailable, StoreOutdated) as error:
            await database.close()
            if (left := end - clock()) <= 0:
                raise
            if clock() - noticed >= NOTICE:
                noticed = clock()
                logger.warning("%s Trying for %.0f s more.", error, left)
        except BaseException:
            await database.close()
            raise
        else:
            return database
        await asyncio.sleep(min(PAUSE, left))


def connect(url: str, *, make: bool = True) -> Database:
    """Return the database of a URL, without connecting, or raise StoreAddressError; `make` creates a missing file."""
    try:
        address = sa.make_url(url)
        kind = address.get_backend_name()
    except (ArgumentError, ValueError):
        # The text is not quoted: it may hold a password.
        raise StoreAddressError(
            "SCENARIO_STORE is not a database's URL: "
            "write sqlite:///path/to/file or postgresql://user:password@host/database."
        ) from None
    match kind:
        case "sqlite":
            return SQLite(address, make=make)
        case "postgresql" | "postgres":
            return PostgreSQL(address)
        case _:
            raise StoreAddressError(
                f"{kind} is not supported as a store: set SCENARIO_STORE to an sqlite:// or postgresql:// URL."
            )
