"""The store as the rest of the program sees it."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Generator
from types import TracebackType
from typing import Any

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from runtime.store.database import Database
from runtime.store.deliveries import Deliveries
from runtime.store.entries import Entries
from runtime.store.errors import StoreAddressError, StoreUnavailable
from runtime.store.many import Many
from runtime.store.migration import ensure_current, upgrade
from runtime.store.postgresql import PostgreSQL
from runtime.store.sqlite import SQLite
from runtime.store.versions import Versions

logger = logging.getLogger(__name__)

DEFAULT_URL = "sqlite+aiosqlite:///.scenario/store.db"
"""One file, beside the local server's."""


class Store(Versions, Entries, Many, Deliveries):
    """Published versions, journeys and delivery attempts, in SQLite or PostgreSQL.

    One for a process, used from the event loop that opened it. Every call stands alone, is committed when it
    returns, and may be repeated after a ``StoreError``.

    Example::

        async with Store.open(url) as store:
            await store.publish(...)
    """

    def __init__(self, database: Database) -> None:
        Versions.__init__(self, database)
        Entries.__init__(self, database)
        Many.__init__(self, database)
        Deliveries.__init__(self, database)

    @classmethod
    def open(cls, url: str = DEFAULT_URL, *, migrate: bool = True, patience: float = 0.0) -> Opening:
        """Connect, and bring the tables up to date.

        Args:
            url: ``sqlite:///file`` or ``postgresql://user:password@host/database``. A driver's name may be given
                and makes no difference.
            migrate: Make or upgrade the file and the tables where that is needed; otherwise only check that they are
                there and current.
            patience: Seconds to wait for a database that cannot be reached; 0 tries once.

        Returns:
            What can be awaited for the store (to be closed with ``close``), or entered with ``async with``.

        Raises:
            StoreAddressError: The URL is not one of a database that can be used.
            StoreUnavailable: The database cannot be reached.
            StoreTooNew: A later release migrated it.
            StoreMissing: There is no such file, with ``migrate=False``.
            StoreOutdated: The tables are not current, with ``migrate=False``.
        """
        return Opening(url, migrate=migrate, patience=patience)

    @property
    def name(self) -> str:
        """The database's file, or host, port and name. Holds no secret."""
        return self._database.name

    async def check(self, *, writing: bool = False) -> None:
        """Make sure that the store can be used now.

        Args:
            writing: Whether to write, too; done anyway while the last write has not succeeded.

        Raises:
            StoreError: It cannot; the text says why.
        """
        await self._database.check(writing=writing)

    async def close(self) -> None:
        """Close all connections."""
        await self._database.close()


class Opening:
    """A store about to be opened."""

    pause = 1.0
    """Seconds between two tries to reach the database."""
    notice = 5.0
    """Seconds between two lines in the log meanwhile."""

    def __init__(self, url: str, *, migrate: bool, patience: float) -> None:
        self._url, self._migrate, self._patience = url, migrate, patience
        self._store: Store | None = None

    def __await__(self) -> Generator[Any, None, Store]:
        return self._wait().__await__()

    async def __aenter__(self) -> Store:
        self._store = await self._wait()
        return self._store

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._store is not None:
            await self._store.close()

    async def _wait(self) -> Store:
        clock = asyncio.get_running_loop().time
        end = clock() + self._patience
        noticed = -math.inf
        while True:
            try:
                return await self._open()
            except StoreUnavailable as error:
                if (left := end - clock()) <= 0:
                    raise
                if clock() - noticed >= self.notice:
                    noticed = clock()
                    logger.warning("%s Trying for %.0f s more.", error, left)
            await asyncio.sleep(min(self.pause, left))

    async def _open(self) -> Store:
        database = connect(self._url, make=self._migrate)
        try:
            await (upgrade if self._migrate else ensure_current)(database)
        except BaseException:
            await database.close()
            raise
        return Store(database)


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


async def migrate(url: str) -> None:
    """Bring the tables of a database up to date, and let go of it.

    Raises:
        StoreError: As for ``Store.open``.
    """
    async with Store.open(url):
        pass
