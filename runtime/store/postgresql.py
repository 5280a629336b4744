"""The store in PostgreSQL: for several machines, backups and reports."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from sqlalchemy import URL, Connection, Executable, RowMapping, event, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry
from typing_extensions import override

from runtime.clock_offset import ClockOffset
from runtime.errors import StoreAddressError, StoreFault
from runtime.store.database import Database, Parameters, T, in_transaction, invalidate_read_only, translated_errors

POOL_SIZE = 10
"""Connections of one process at most, made as they are needed and kept. Who finds none free waits for one."""

WAIT_SECONDS = 30
"""How long to wait for a free connection."""

CONNECTING = {
    # Not forever where packets get lost: neither for a new connection, nor on one that a firewall has forgotten.
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
    # Else psycopg hands out bytes where the database's own is SQL_ASCII, and nobody gets as far as to say so.
    "client_encoding": "utf8",
}
"""libpq's parameters (seconds; the last one milliseconds), unless the URL's query has its own."""

_VERSION = text("SELECT clock_timestamp() AS now, (SELECT version_num FROM scenario_store_version)")
_IDENTITY = text(
    "SELECT system_identifier AS cluster, (SELECT oid FROM pg_database WHERE datname = current_database()) AS oid "
    "FROM pg_control_system()"
)
_LOOK = 0.1  # seconds between two looks whether another process has migrated
_MIGRATING = 0x5363656E6172696F  # the advisory lock's number: "Scenario" in ASCII


class PostgreSQL(Database):
    """One PostgreSQL database, by psycopg 3."""

    insert = staticmethod(postgresql.insert)
    one_writer = False

    def __init__(self, url: URL) -> None:
        """Prepare; connections are made when they are first needed.

        Args:
            url: ``postgresql://user:password@host:port/database``, with libpq's parameters as its query.
        """
        self.name = f"{url.host or url.query.get('host') or 'localhost'}:{url.port or 5432}/{url.database or ''}"
        self._engine = create_async_engine(
            url.set(drivername="postgresql+psycopg"),
            connect_args={name: value for name, value in CONNECTING.items() if name not in url.query},
            pool_size=POOL_SIZE,
            max_overflow=0,
            pool_timeout=WAIT_SECONDS,
            pool_use_lifo=True,
            isolation_level="AUTOCOMMIT",
            skip_autocommit_rollback=True,
            hide_parameters=True,
        )
        event.listen(self._engine.sync_engine, "handle_error", invalidate_read_only)
        event.listen(self._engine.sync_engine, "connect", self._look)

    @override
    async def read(self, statement: Executable, parameters: Parameters | None = None) -> Sequence[RowMapping]:

        async def work(connection: AsyncConnection) -> Sequence[RowMapping]:
            result = await connection.execute(statement, parameters)
            return result.mappings().all() if result.returns_rows else ()

        return await self._connected(work)

    @override
    async def write(self, statement: Executable, parameters: Parameters | None = None) -> Sequence[RowMapping]:
        with self._writing():
            return await self.read(statement, parameters)

    @override
    async def write_many(self, statement: Executable, parameters: Sequence[Parameters]) -> None:
        """Psycopg sends the rows in one pipeline."""

        async def work(connection: AsyncConnection) -> None:
            await connection.execute(statement, parameters)

        with self._writing():
            await self._connected(work)

    @override
    async def inspect(self, work: Callable[[Connection], T]) -> T:
        return await self._connected(lambda connection: connection.run_sync(work))

    @override
    async def alone(self, work: Callable[[Connection], T]) -> T:
        """The lock is the connection's: `work` may commit in between."""

        async def locked(connection: AsyncConnection) -> T:
            # Asked again and again: an index that is made concurrently waits for every statement under way, also for
            # one that waits for this lock.
            while True:
                taken = await connection.exec_driver_sql(f"SELECT pg_try_advisory_lock({_MIGRATING})")
                if taken.scalar():
                    break
                await asyncio.sleep(_LOOK)
            try:
                return await connection.run_sync(in_transaction, "BEGIN", work)
            finally:
                if not connection.invalidated:
                    await connection.exec_driver_sql(f"SELECT pg_advisory_unlock({_MIGRATING})")

        with self._writing():
            return await self._connected(locked)

    @override
    async def identity(self) -> str:
        """The cluster's system identifier, which physical replicas share, and the database's oid."""
        try:
            [row] = await self.read(_IDENTITY)
        except StoreFault:  # not every role may, and not every compatible server can
            return ""
        return f"{row['cluster']}/{row['oid']}"

    @override
    async def try_writing(self) -> None:
        await self.write(text("UPDATE scenario_store_version SET version_num = version_num"))

    @override
    async def look(self) -> None:
        asked = time.time()
        (row,) = await self.read(_VERSION)
        self.clock_offset = ClockOffset.between(asked, time.time(), row["now"].timestamp())

    @override
    async def close(self) -> None:
        await self._engine.dispose()

    def _look(self, connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        """What is written needs all of Unicode. A pooler in between may not say what there is."""
        encoding = connection.driver_connection.info.parameter_status("server_encoding")
        if encoding not in (None, "UTF8"):
            connection.close()
            raise StoreAddressError(
                f"The database {self.name} keeps text as {encoding}, which cannot hold what people write: make one "
                "with ENCODING 'UTF8' for SCENARIO_STORE."
            )

    async def _connected(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        self._admit()
        with translated_errors(self.name):
            try:
                async with self._engine.connect() as connection:
                    return await work(connection)
            except DBAPIError as error:
                if not error.connection_invalidated:
                    raise
            # The server was restarted or replaced while the connection lay in the pool, now emptied. What the store
            # does may be done twice, so a new connection gets one try; cheaper than a ping before each statement.
            async with self._engine.connect() as connection:
                return await work(connection)
