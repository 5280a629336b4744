"""The store as the rest of the program sees it."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Self

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from runtime.clock_offset import ClockOffset
from runtime.errors import StoreAddressError, StoreOutdated, StoreUnavailable
from runtime.store.accepted_entries import AcceptedEntries
from runtime.store.api_access import ApiAnswers, ApiKeys, Sessions
from runtime.store.claims import Claims
from runtime.store.closures import Closures
from runtime.store.contact_keys import ContactKeys, KeyHolders
from runtime.store.database import Database
from runtime.store.deliveries import AttemptCounts, Deliveries
from runtime.store.entries import Entries
from runtime.store.erasure import Erasure
from runtime.store.erasures import Erasures
from runtime.store.goals import Goals
from runtime.store.leases import Leases
from runtime.store.migration import ensure_current, upgrade
from runtime.store.namespace_claims import NamespaceClaims
from runtime.store.operations import StoredOperations
from runtime.store.passages import Passages
from runtime.store.postgresql import PostgreSQL
from runtime.store.restored_entries import RestoredEntries
from runtime.store.retention import Retention
from runtime.store.sqlite import SQLite
from runtime.store.suppressions import Suppressions
from runtime.store.versions import Versions

logger = logging.getLogger(__name__)

PAUSE = 1.0
"""Seconds between two tries to reach the database, when it is opened."""
NOTICE = 5.0
"""Seconds between two lines in the log meanwhile."""


class Store(
    Versions,
    Entries,
    AcceptedEntries,
    RestoredEntries,
    Goals,
    Closures,
    Deliveries,
    AttemptCounts,
    Passages,
    Claims,
    Suppressions,
    StoredOperations,
    ApiKeys,
    Sessions,
    KeyHolders,
    ApiAnswers,
    ContactKeys,
    Erasure,
    Erasures,
    Leases,
    Retention,
    NamespaceClaims,
):
    """All that is remembered beyond Temporal, in SQLite or PostgreSQL.

    One for a process, used from the event loop that opened it. Every call stands alone, is committed when it
    returns, and may be repeated after a ``StoreError``.

    Example::

        async with Store.open(url) as store:
            await store.publish(...)
    """

    @classmethod
    @asynccontextmanager
    async def open(
        cls, url: str, *, make: bool = True, migrate: bool = True, patience: float = 0.0
    ) -> AsyncGenerator[Self]:
        """Connect, bring the tables up to date, and close it at the end.

        Args:
            url: ``sqlite:///file`` or ``postgresql://user:password@host/database``. A driver's name may be given
                and makes no difference.
            make: Make the file and the tables if there are none, with `migrate`. A mistyped address makes a second
                store, so that only who means to does this.
            migrate: Upgrade tables of an earlier release; otherwise only check that they are current.
            patience: Seconds to wait for a database that cannot be reached, and for another process to make its tables
                or bring them up to date; 0 tries once.

        Raises:
            StoreAddressError: The URL is not one of a database that can be used.
            StoreUnavailable: The database cannot be reached.
            StoreTooNew: A later release migrated it.
            StoreMissing: There is no such file, and none is to be made.
            StoreOutdated: The tables are not current, and are not to be made or upgraded.
        """
        database = await _open(url, make=make and migrate, migrate=migrate, patience=patience)
        try:
            yield cls(database)
        finally:
            await database.close()

    @property
    def name(self) -> str:
        """The database's file, or host, port and name. Holds no secret."""
        return self._database.name

    @property
    def clock_offset(self) -> ClockOffset | None:
        """The offset of this machine's clock from the database's at the last check, or None if both are one."""
        return self._database.clock_offset

    async def check(self, *, writing: bool = False) -> None:
        """Make sure that the store can be used now.

        Args:
            writing: Whether to write, too; done anyway while the last write has not succeeded.

        Raises:
            StoreError: It cannot; the text says why.
        """
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
    """The database of an address.

    Args:
        url: As for ``Store.open``.
        make: Make a file that is not there.

    Raises:
        StoreAddressError: The URL is not one of a database that can be used.
        StoreMissing: There is no such file, and none is to be made.
    """
    try:
        address = make_url(url)
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
                f"A store cannot be kept in {kind}: set SCENARIO_STORE to an sqlite:// or postgresql:// URL."
            )
