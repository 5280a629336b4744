"""The store in PostgreSQL, for several machines."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry
from typing_extensions import override

from runtime.errors import StoreAddressError, StoreFault
from runtime.store.database import (
    Database,
    T,
    certain_offset,
    in_transaction,
    invalidate_read_only,
    translated_errors,
)

POOL_SIZE = 10
"""Maximum number of connections of a process. Connections are made on demand and kept."""

WAIT_SECONDS = 30  # seconds to wait for a free connection

CONNECTING = {
    # Bound the waits for lost packets: of a new connection, and of one that a firewall has dropped.
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
    # Otherwise psycopg returns bytes from a SQL_ASCII database, and `_prepare` could not report it.
    "client_encoding": "utf8",
}
"""Default parameters of libpq (seconds; the last one milliseconds). The URL's query overrides them."""

LOCK_SECONDS = 5
"""Seconds a statement waits for a lock, unless the URL, the role or the database sets `lock_timeout`.

Otherwise a lock on a table, taken by an operator or a migration, would hold every request until the client gives up.
"""

_VERSION = sa.text("SELECT clock_timestamp() AS now, (SELECT version_num FROM scenario_store_version)")
_IDENTITY = sa.text(
    "SELECT system_identifier AS cluster, (SELECT oid FROM pg_database WHERE datname = current_database()) AS oid "
    "FROM pg_control_system()"
)
_LOOK = 0.1  # seconds between two attempts to take the lock
_MIGRATING = 0x5363656E6172696F  # the advisory lock's number: "Scenario" in ASCII


class PostgreSQL(Database):
    """A PostgreSQL database, accessed with psycopg 3. Connections are made when they are needed.

    The query of its URL has libpq's parameters.
    """

    insert = staticmethod(postgresql.insert)
    one_writer = False

    def __init__(self, url: sa.URL) -> None:
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
        event.listen(self._engine.sync_engine, "connect", self._prepare)

    @override
    async def inspect(self, work: Callable[[sa.Connection], T]) -> T:
        return await self._connected(lambda connection: connection.run_sync(work))

    @override
    async def change(self, work: Callable[[sa.Connection], T]) -> T:
        with self._writing():
            return await self.inspect(work)

    @override
    async def alone(self, work: Callable[[sa.Connection], T]) -> T:
        """Hold an advisory lock on the connection: `work` may commit in between."""

        async def locked(connection: AsyncConnection) -> T:
            # Polled: an index that is created concurrently waits for every statement in progress, also for
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
        try:
            [row] = await self.read(_IDENTITY)
        except StoreFault:  # the role lacks the permission, or a compatible server the function
            return ""
        return f"{row['cluster']}/{row['oid']}"

    @override
    async def try_writing(self) -> None:
        await self.write(sa.text("UPDATE scenario_store_version SET version_num = version_num"))

    @override
    async def look(self) -> None:
        asked = time.time()
        (row,) = await self.read(_VERSION)
        self.clock_offset = certain_offset(asked, time.time(), row["now"].timestamp())

    @override
    async def close(self) -> None:
        await self._engine.dispose()

    def _prepare(self, connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        """Limit waits for locks, and require an encoding that holds all of Unicode.

        A pooler may not report the server's encoding.
        """
        encoding = connection.driver_connection.info.parameter_status("server_encoding")
        if encoding not in (None, "UTF8"):
            connection.close()
            raise StoreAddressError(
                f"The database {self.name} keeps text as {encoding}, which cannot hold what people write: make one "
                "with ENCODING 'UTF8' for SCENARIO_STORE."
            )
        cursor = connection.cursor()
        limit = f"SELECT set_config('lock_timeout', '{LOCK_SECONDS}s', false)"
        cursor.execute(f"{limit} WHERE current_setting('lock_timeout') = '0'")
        cursor.close()

    async def _connected(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        self._admit()
        with translated_errors(self.name):
            try:
                async with self._engine.connect() as connection:
                    return await work(connection)
            except DBAPIError as error:
                if not error.connection_invalidated:
                    raise
            # The server was restarted or replaced while the connection was idle in the pool, now emptied. Statements
            # are idempotent, so a new connection gets one try; this is cheaper than a ping before each statement.
            async with self._engine.connect() as connection:
                return await work(connection)
