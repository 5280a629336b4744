"""The interface of a database to the modules of tables, and the translation of its errors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, partial
from itertools import islice
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine.interfaces import ExceptionContext
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from runtime.errors import StoreError, StoreFault, StoreUnavailable

T = TypeVar("T")
InsertFactory = Callable[[sa.Table], sqlite.Insert | postgresql.Insert]
Parameters = Mapping[str, Any]

_FULL = "its disk is full"
_LOCKED = "another program has locked a table for too long"
_ADVICE = {_FULL: "make room on it", _LOCKED: "end the transaction that holds the lock, which pg_locks shows"}
# Parts of drivers' messages and their causes. The messages are not passed on: they may quote users, statements and
# values. SQLAlchemy and libpq have no error codes for most of these.
_PASSING = (
    ("password authentication failed", "its user or password is wrong"),
    ("no password supplied", "it needs a password"),
    ("no pg_hba.conf entry", "it does not accept connections from here"),
    ("does not exist", "there is no such database or user"),
    ("connection refused", "nothing listens there"),
    ("no such file", "nothing listens there"),
    ("failed to resolve", "its host is unknown"),
    ("could not translate host name", "its host is unknown"),
    ("lock timeout", _LOCKED),
    ("timeout", "it did not answer in time"),
    ("invalid sslmode", "its URL has an sslmode that PostgreSQL does not know"),
    ("too many clients", "it has no connection left"),
    ("connection slots", "it has no connection left"),
    ("closed the connection", "it closed the connection"),
    ("terminating connection", "it closed the connection"),
    ("starting up", "it is starting"),
    ("shutting down", "it is shutting down"),
    ("database is locked", "another process has been writing to it for too long"),
    ("unable to open database file", "its file cannot be opened or created"),
    ("readonly database", "its file is read-only"),
    ("read-only transaction", "it is read-only, as a standby is"),
    ("disk is full", _FULL),
    ("no space left", _FULL),
    ("disk i/o error", "its disk cannot be read or written"),
)
_READ_ONLY = ("25006", "SQLITE_READONLY")  # psycopg has its own among the lasting ones
_LOOK = sa.text("SELECT version_num FROM scenario_store_version")
_LASTING = (
    ("invalid connection option", "its URL has an option that PostgreSQL does not know"),
    ("is not a database", "its file is not an SQLite database"),
    ("malformed", "its file is damaged and must be restored from a backup"),
    ("permission denied", "its user lacks a permission, which the database's own log names"),
    ("no such table", "its tables are missing"),
    ("relation", "its tables are missing or not those of this release"),
)


class Database(ABC):
    """A database engine.

    Every statement stands alone and commits; what must be atomic is written as one statement. So no transaction stays
    open, and every call may be repeated after a failure: the PostgreSQL engine repeats it once after a lost connection.
    Every call raises `StoreUnavailable` if the database cannot be reached or is busy for too long, and `StoreFault` if
    it refuses the statement.
    """

    name: str
    insert: InsertFactory
    one_writer: bool  # True if writes are serialized, also across processes, so that each sees all earlier ones
    clock_offset: float | None = None
    """Offset of this machine's clock at the last check, see `certain_offset`, or None if they are the same clock."""
    barred: StoreError | None = None  # the error that every later call raises, if any
    _writes = True  # whether the last write succeeded

    async def read(self, statement: sa.Executable, parameters: Parameters | None = None) -> Sequence[sa.RowMapping]:
        return await self.inspect(partial(execute, statement, parameters))

    async def write(self, statement: sa.Executable, parameters: Parameters | None = None) -> Sequence[sa.RowMapping]:
        """Run one statement and commit. Return the rows of its RETURNING, if any."""
        return await self.change(partial(execute, statement, parameters))

    async def write_many(self, statement: sa.Executable, parameters: Sequence[Parameters]) -> None:
        """Run one statement for each set of parameters."""
        await self.change(partial(execute, statement, parameters))

    @abstractmethod
    async def inspect(self, work: Callable[[sa.Connection], T]) -> T:
        """Run a function that only reads."""

    @abstractmethod
    async def change(self, work: Callable[[sa.Connection], T]) -> T:
        """Run a function that writes by one statement."""

    @abstractmethod
    async def alone(self, work: Callable[[sa.Connection], T]) -> T:
        """Run a function in one transaction, exclusively among all processes."""

    @abstractmethod
    async def identity(self) -> str:
        """Return an identity that a copy of the rows does not share, or "" if it is unknown."""

    @abstractmethod
    async def try_writing(self) -> None:
        """Write something that changes nothing, but needs disk space."""

    async def check(self, *, writing: bool = False) -> None:
        """Check that the database is usable, also by `writing`, or if the last write failed.

        A database whose disk is full can still be read.
        """
        if writing or not self._writes:
            await self.try_writing()
        else:
            await self.look()

    async def look(self) -> None:
        await self.read(_LOOK)

    def _admit(self) -> None:
        if self.barred is not None:
            raise self.barred

    @contextmanager
    def _writing(self) -> Generator[None]:
        try:
            yield
        except StoreUnavailable:
            self._writes = False
            raise
        self._writes = True

    @abstractmethod
    async def close(self) -> None: ...


def certain_offset(asked: float, answered: float, theirs: float) -> float:
    """Return the seconds by which this machine's clock is at least ahead of another; negative if it is behind.

    The other side read its clock between a request and its answer. A slow network never looks like a wrong clock, and 0
    means that the clocks may agree. A clock that was set back in between proves nothing.
    """
    return max(min(asked, answered) - theirs, 0.0) or min(max(asked, answered) - theirs, 0.0)


class Queries:
    """The base class of tables. Calls raise `StoreError` if the store cannot be read or written."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def _one(
        self, kind: Callable[..., T], statement: sa.Executable, parameters: Parameters | None = None
    ) -> T | None:
        """Return the first row of a query as an object, or None."""
        rows = await self._database.read(statement, parameters)
        return kind(**rows[0]) if rows else None

    async def _all(
        self, kind: Callable[..., T], statement: sa.Executable, parameters: Parameters | None = None
    ) -> list[T]:
        """Return the rows of a query as objects."""
        return [kind(**row) for row in await self._database.read(statement, parameters)]

    async def _find(self, kind: Callable[..., T], table: sa.Table, **key: object) -> T | None:
        """Return the row with these values as an object, or None."""
        return await self._one(kind, _select_by(table, *key), key)

    async def _value(self, statement: sa.Executable, parameters: Parameters | None = None) -> Any:
        """Return the first value of a query, or None."""
        rows = await self._database.read(statement, parameters)
        return next(iter(rows[0].values())) if rows else None

    async def _values(self, statement: sa.Executable, parameters: Parameters | None = None) -> list[Any]:
        """Return the values of a query with one column."""
        return [value for row in await self._database.read(statement, parameters) for value in row.values()]

    async def _tuples(self, statement: sa.Executable, parameters: Parameters | None = None) -> list[tuple[Any, ...]]:
        """Return the rows of a query as tuples."""
        return [tuple(row.values()) for row in await self._database.read(statement, parameters)]

    async def _newest(
        self,
        kind: Callable[..., T],
        table: sa.Table,
        where: Sequence[sa.ColumnElement[bool]],
        order: Sequence[sa.Column[Any]],
        after: T | None,
        limit: int,
        *,
        oldest_first: bool = False,
    ) -> list[T]:
        """Return a page of a table, the last in an order first; `after` is the last of the page before."""
        columns = order if oldest_first else [column.desc() for column in order]
        statement = sa.select(table).where(*where).order_by(*columns).limit(limit)
        if after is not None:
            place = tuple(getattr(after, column.name) for column in order)
            statement = statement.where(sa.tuple_(*order) > place if oldest_first else sa.tuple_(*order) < place)
        return await self._all(kind, statement)

    async def _count_rows(self, table: sa.Table, *where: sa.ColumnElement[bool]) -> int:
        return await self._value(sa.select(sa.func.count()).select_from(table).where(*where))

    async def _counts_by(
        self, key: sa.Column[str], keys: Sequence[str], state: sa.ColumnElement[str]
    ) -> dict[str, dict[str, int]]:
        """Count the rows with these keys, by key and state."""
        counts: dict[str, dict[str, int]] = {one: {} for one in keys}
        if keys:
            statement = sa.select(key, state.label("state"), sa.func.count()).where(key.in_(keys))
            for one, word, n in await self._tuples(statement.group_by(key, "state")):
                counts[one][word] = n
        return counts

    async def _change(self, table: sa.Table, *where: sa.ColumnElement[bool], **values: object) -> bool:
        """Set columns of the rows that match. Return True if there are any."""
        changing = sa.update(table).where(*where).values(values).returning(*table.primary_key)
        return bool(await self._database.write(changing))

    async def _delete(self, table: sa.Table, *where: sa.ColumnElement[bool]) -> bool:
        """Delete the rows that match. Return True if there are any."""
        return bool(await self._database.write(sa.delete(table).where(*where).returning(*table.primary_key)))

    async def _put(self, table: sa.Table, row: Mapping[str, object], **changes: object) -> None:
        """Insert a row. If its key is taken, set the given columns of the stored row, or else all of them."""
        adding = self._database.insert(table).values(row)
        key = table.primary_key.columns
        changed = changes or {name: adding.excluded[name] for name in row if name not in key}
        await self._database.write(adding.on_conflict_do_update(index_elements=key, set_=changed))

    async def _add(self, table: sa.Table, item: object) -> bool:
        """Insert an object with all columns of a table as attributes. Return False if its key is taken."""
        statement = insert_new(self._database.insert, table)
        return bool(await self._database.write(statement, row_of(table, item)))


@cache
def _select_by(table: sa.Table, *key: str) -> sa.Executable:
    return sa.select(table).where(*(table.c[name] == sa.bindparam(name) for name in key))


@cache
def insert_new(insert: InsertFactory, table: sa.Table) -> sa.Executable:
    """Insert a row unless its key is taken, and return its key."""
    return insert(table).on_conflict_do_nothing().returning(*table.primary_key)


def in_chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield the items in lists of at most `size`, each for one statement."""
    rest = iter(items)
    while some := list(islice(rest, size)):
        yield some


def row_of(table: sa.Table, item: object) -> dict[str, Any]:
    """Return an object's attributes that are columns of a table."""
    return {column.name: getattr(item, column.name) for column in table.columns}


def matching(table: sa.Table, **wanted: object) -> list[sa.ColumnElement[bool]]:
    """Return the conditions that columns have these values. None matches any."""
    return [table.c[name] == value for name, value in wanted.items() if value is not None]


def execute(
    statement: sa.Executable, parameters: Parameters | Sequence[Parameters] | None, connection: sa.Connection
) -> Sequence[sa.RowMapping]:
    result = connection.execute(statement, parameters)
    return result.mappings().all() if result.returns_rows else ()


def in_transaction(connection: sa.Connection, begin: str, work: Callable[[sa.Connection], T]) -> T:
    connection.exec_driver_sql(begin)
    try:
        done = work(connection)
    except BaseException:
        if not connection.invalidated:
            connection.exec_driver_sql("ROLLBACK")
        raise
    connection.exec_driver_sql("COMMIT")
    return done


def invalidate_read_only(context: ExceptionContext) -> None:
    """Invalidate the connection pool if a connection is read-only; a listener of the event ``handle_error``.

    New connections reach the server that has taken over after a failover, or a file that was repaired.
    """
    if (_code(context.original_exception) or "").startswith(_READ_ONLY):
        context.is_disconnect = True


@contextmanager
def translated_errors(name: str) -> Generator[None]:
    """Translate errors of SQLAlchemy and its drivers: transient ones to StoreUnavailable, others to StoreFault."""
    try:
        yield
    except SQLAlchemyError as error:
        if isinstance(error, StatementError) and not isinstance(error, DBAPIError) and error.orig is not None:
            raise error.orig from None  # refused by one of our column types
        # Without its cause, in which drivers quote users, statements and values.
        raise translate(error, name) from None


def translate(error: SQLAlchemyError, name: str) -> StoreUnavailable | StoreFault:
    driver = error.orig if isinstance(error, DBAPIError) else None
    code = _code(driver)
    sign = " ".join(filter(None, (type(driver or error).__name__, code)))
    said = str(driver or "").lower()
    passing = isinstance(error, OperationalError | InterfaceError | PoolTimeout) or (
        isinstance(error, DBAPIError) and error.connection_invalidated
    )
    if passing and (cause := _meaning(said, _PASSING) or (None if _meaning(said, _LASTING) else sign)):
        advice = _ADVICE.get(cause, "check that it is running and that SCENARIO_STORE is right")
        return StoreUnavailable(f"The store {name} cannot be used now ({cause}): {advice}.")
    cause = _meaning(said, _LASTING) or "the database's own log may say why"
    return StoreFault(f"The store {name} refused a statement ({sign}): {cause}.")


def _code(error: BaseException | None) -> str | None:
    return getattr(error, "sqlstate", None) or getattr(error, "sqlite_errorname", None)


def _meaning(said: str, table: Sequence[tuple[str, str]]) -> str | None:
    return next((meaning for words, meaning in table if words in said), None)
