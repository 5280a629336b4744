"""One database, whichever it is: what the tables' modules ask of it, and its errors made readable."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from sqlalchemy import Connection, Executable, RowMapping, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from runtime.store.errors import StoreFault, StoreUnavailable

T = TypeVar("T")
Inserting = Callable[[Table], sqlite.Insert | postgresql.Insert]
Parameters = Mapping[str, Any]

# Words of the drivers that tell a person what to mend. The messages themselves are not passed on: they may hold
# user names, statements and values.
_CAUSES = (
    ("password authentication failed", "the user or the password is wrong"),
    ("no password supplied", "a password is needed"),
    ("does not exist", "there is no such database or user"),
    ("connection refused", "nothing listens there"),
    ("no such file", "nothing listens there"),
    ("failed to resolve", "the host's name is unknown"),
    ("could not translate host name", "the host's name is unknown"),
    ("timeout", "there was no answer in time"),
    ("too many clients", "it has no connection left"),
    ("server closed the connection", "it closed the connection"),
    ("terminating connection", "it closed the connection"),
    ("database is locked", "another process has been writing to it for too long"),
    ("unable to open database file", "the file cannot be opened or made: look at its folder's rights"),
    ("readonly database", "the file is read-only: look at its rights"),
    ("disk is full", "the disk is full"),
    ("no space left", "the disk is full"),
    ("is not a database", "the file is not an SQLite database"),
    ("malformed", "the file is damaged: restore it from a backup"),
)


class Database(ABC):
    """A database engine, in the few movements that the store needs.

    Every statement stands alone and is committed by itself: what must be atomic is written as one statement. So
    there is no transaction to hold open, and every call may be repeated after a failure.

    Attributes:
        name: The file, or host, port and database name, for messages.
        insert: The dialect's INSERT, which knows ON CONFLICT.
    """

    name: str
    insert: Inserting

    @abstractmethod
    async def read(self, statement: Executable, parameters: Parameters | None = None) -> Sequence[RowMapping]:
        """Run one statement that changes nothing.

        Raises:
            StoreUnavailable: The database cannot be reached now.
            StoreFault: The database refused the statement.
        """

    @abstractmethod
    async def write(self, statement: Executable, parameters: Parameters | None = None) -> Sequence[RowMapping]:
        """Run one statement that changes something, and commit. Returns the rows of its RETURNING, if any.

        Raises:
            StoreUnavailable: The database cannot be reached now, or is busy for too long.
            StoreFault: The database refused the statement.
        """

    @abstractmethod
    async def write_many(self, statement: Executable, parameters: Sequence[Parameters]) -> None:
        """Run one statement once for each of the parameters.

        Raises:
            StoreUnavailable: As for ``write``. Some of the rows may have been written.
            StoreFault: As for ``write``. Some of the rows may have been written.
        """

    @abstractmethod
    async def inspect(self, work: Callable[[Connection], T]) -> T:
        """Run a function that only reads on a connection."""

    @abstractmethod
    async def alone(self, work: Callable[[Connection], T]) -> T:
        """Run a function in one transaction, while no other process does the same.

        Raises:
            StoreUnavailable: As for ``write``.
            StoreFault: As for ``write``.
        """

    @abstractmethod
    async def close(self) -> None:
        """Close all connections."""


@contextmanager
def readable(name: str) -> Generator[None]:
    """Turn the errors of SQLAlchemy and its drivers into the store's own.

    Args:
        name: The database, as messages name it.

    Raises:
        StoreUnavailable: For what may pass: no connection, a lock held for too long.
        StoreFault: For everything else.
    """
    try:
        yield
    except SQLAlchemyError as error:
        if isinstance(error, StatementError) and not isinstance(error, DBAPIError) and error.orig is not None:
            raise error.orig from None  # a value that one of our own column types refused
        # Without its cause: drivers quote users, statements and values.
        raise translated(error, name) from None


def translated(error: SQLAlchemyError, name: str) -> StoreUnavailable | StoreFault:
    """The store's error for one of SQLAlchemy's."""
    driver = error.orig if isinstance(error, DBAPIError) else None
    code = getattr(driver, "sqlstate", None) or getattr(driver, "sqlite_errorname", None)
    said = str(driver or "").lower()
    cause = next((words for needle, words in _CAUSES if needle in said), None)
    sign = ", ".join(filter(None, (type(driver or error).__name__, code)))
    passing = isinstance(error, OperationalError | InterfaceError | PoolTimeout) or (
        isinstance(error, DBAPIError) and error.connection_invalidated
    )
    if passing:
        why = f" ({cause})" if cause else f" ({sign})"
        return StoreUnavailable(
            f"The store {name} cannot be used now{why}: check that the database runs and that SCENARIO_STORE is right."
        )
    why = cause or "look at the database's own log for the statement"
    return StoreFault(f"The store {name} refused a statement [{sign}]: {why}.")
