"""The store in one SQLite file, for a single machine.

SQLAlchemy's asyncio extension calls SQLite through a thread four times a statement (cursor, execute, fetch, close),
each time waking the event loop. Here a thread runs the whole statement, which makes an admission more than twice as
fast. One thread writes, since SQLite has one writer at a time; others read beside it, which WAL mode allows.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine.interfaces import DBAPIConnection, DBAPICursor
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool, StaticPool
from typing_extensions import override

from runtime.errors import StoreAddressError, StoreMissing, StoreUnavailable
from runtime.local import make_private
from runtime.store.database import (
    Database,
    Parameters,
    T,
    execute,
    in_transaction,
    invalidate_read_only,
    translated_errors,
)

BUSY_SECONDS = 10  # seconds a statement waits for another process that writes

READERS = 2
"""Threads that read while one writes. More would only wait for Python's interpreter lock."""


class SQLite(Database):
    """A SQLite file, or a database in memory (``sqlite://``) that ends with the store. It connects when needed."""

    insert = staticmethod(sqlite.insert)
    one_writer = True

    def __init__(self, url: sa.URL, *, make: bool = True) -> None:
        memory = url.database in (None, "", ":memory:")
        self.name = "in memory" if memory else str(url.database)
        if not memory and not make and not Path(self.name).exists():
            raise StoreMissing(
                f"There is no store at {self.name}: go to the folder where 'scenario dev' runs, correct "
                "SCENARIO_STORE, or create the store with `scenario store upgrade`."
            )
        if not memory:
            try:
                make_private(Path(self.name).parent)
            except OSError as error:
                raise StoreAddressError(
                    f"The folder of the store {self.name} cannot be made ({error.strerror}): "
                    "choose another with SCENARIO_STORE."
                ) from None
        self._engine = sa.create_engine(
            url.set(drivername="sqlite+pysqlite"),
            poolclass=StaticPool if memory else QueuePool,
            connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False},
            isolation_level="AUTOCOMMIT",
            skip_autocommit_rollback=True,
            hide_parameters=True,
            **({} if memory else {"pool_size": READERS + 1, "max_overflow": 0}),
        )
        self._path = None if memory else Path(self.name).absolute()
        self._file: tuple[int, int] | None = None
        self._in_vain: tuple[float, str] | None = None  # when the latest write timed out, and its error
        event.listen(self._engine, "connect", self._prepare)
        event.listen(self._engine, "handle_error", invalidate_read_only)
        self._writer = ThreadPoolExecutor(1, "store-write")
        # A database in memory has one connection, which threads cannot share.
        self._reader = self._writer if memory else ThreadPoolExecutor(READERS, "store-read")

    @override
    async def write_many(self, statement: sa.Executable, parameters: Sequence[Parameters]) -> None:
        await self.alone(partial(execute, statement, parameters))

    @override
    async def inspect(self, work: Callable[[sa.Connection], T]) -> T:
        return await self._in(self._reader, lambda: self._connected(work))

    @override
    async def alone(self, work: Callable[[sa.Connection], T]) -> T:
        # IMMEDIATE waits for other writers here; a plain BEGIN would fail later, when it first writes.
        return await self.change(lambda connection: in_transaction(connection, "BEGIN IMMEDIATE", work))

    @override
    async def identity(self) -> str:
        found = await asyncio.to_thread(self._found)
        return "" if found is None else str(found[1])

    @override
    async def try_writing(self) -> None:
        def work(connection: sa.Connection) -> None:
            connection.exec_driver_sql("CREATE TABLE scenario_store_probe (room)")
            connection.exec_driver_sql("INSERT INTO scenario_store_probe VALUES (zeroblob(16384))")
            connection.exec_driver_sql("DROP TABLE scenario_store_probe")

        await self.alone(work)

    @override
    async def close(self) -> None:
        await asyncio.to_thread(self._close)

    async def _in(self, thread: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        # A cancelled caller does not wait; its thread still finishes the statement.
        return await asyncio.get_running_loop().run_in_executor(thread, work)

    @override
    async def change(self, work: Callable[[sa.Connection], T]) -> T:
        """Run a write. If one has timed out behind another process, fail those queued behind it as well.

        Each would wait as long again otherwise, and the last of a hundred for a quarter of an hour.
        """
        asked = time.monotonic()

        def write() -> T:
            if self._in_vain is not None and asked < self._in_vain[0]:
                raise StoreUnavailable(self._in_vain[1])
            begun = time.monotonic()
            try:
                return self._connected(work)
            except StoreUnavailable as error:
                now = time.monotonic()
                if now - begun > BUSY_SECONDS / 2:
                    self._in_vain = now, str(error)
                raise

        with self._writing():
            return await self._in(self._writer, write)

    def _close(self) -> None:
        # Statements of cancelled callers finish first: their connections could not be closed.
        self._reader.shutdown()
        self._writer.shutdown()
        self._engine.dispose()

    def _prepare(self, connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        cursor = connection.cursor()
        _use_wal(cursor)
        # With WAL, NORMAL loses nothing if a process is killed, and the last moments if the machine loses power.
        cursor.execute("PRAGMA synchronous = NORMAL")
        cursor.close()
        if self._file is None:
            self._file = self._found()

    def _found(self) -> tuple[int, int] | None:
        with suppress(OSError):
            if self._path is not None and (found := self._path.stat()):
                return found.st_dev, found.st_ino
        return None

    def _connected(self, work: Callable[[sa.Connection], T]) -> T:
        """Run a function on a connection to the file that was opened, if it is still there.

        SQLite keeps using a deleted file, and creates a new one for the next connection. Writes to either would be
        lost.
        """
        self._admit()
        if self._file is not None and (found := self._found()) != self._file:
            raise StoreUnavailable(
                f"The store {self.name} is gone, its file was removed in use: put it back, or restart this process."
                if found is None
                else f"The store {self.name} is another file than the one in use: restart this process to use that one."
            )
        with translated_errors(self.name), self._engine.connect() as connection:
            return work(connection)


def _use_wal(cursor: DBAPICursor) -> None:
    """Enable WAL mode, in which readers and the writer do not block each other. The file remembers the mode."""
    end = time.monotonic() + BUSY_SECONDS
    while True:
        cursor.execute("PRAGMA journal_mode")
        if cursor.fetchone() != ("delete",):  # "wal", or "memory" where there is no file
            return
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            # Two that set it concurrently would deadlock, so SQLite refuses one without waiting for the timeout.
            if time.monotonic() > end:
                raise
            time.sleep(0.005)
        else:
            cursor.fetchone()
            return  # also if the file system does not support it: then readers and the writer block each other
