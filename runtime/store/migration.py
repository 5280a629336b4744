"""Bring a database's schema up to date, safely when several processes start at once."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Column, Connection, MetaData, Table, Text, inspect, select

from runtime.errors import StoreOutdated, StoreTooNew
from runtime.store import migrations
from runtime.store.database import Database
from runtime.store.migrations import HEAD

# Not Alembic's default name: the database may hold other programs' tables, and their Alembic's.
_VERSION_TABLE = "scenario_store_version"
_NUMBER: Column[str] = Column("version_num", Text)
Table(_VERSION_TABLE, MetaData(), _NUMBER)


async def upgrade(database: Database, *, make: bool = True) -> None:
    """Make or upgrade the tables; when they are current, only look.

    The upgrade is one transaction under a lock that other processes wait for, who then find nothing left to do.

    Args:
        database: To upgrade.
        make: Make the tables if there are none.

    Raises:
        StoreOutdated: There are no tables, and none are to be made.
        StoreTooNew: A later release migrated the database.
        StoreUnavailable: The database cannot be reached.
        StoreFault: The database refused a change, e.g. for want of rights.
    """
    current = await database.inspect(_revision)
    if current is None and not make:
        raise _no_tables(database.name)
    if current != HEAD:
        await database.alone(lambda connection: _apply(connection, database.name))


async def ensure_current(database: Database) -> None:
    """Check that the tables are those of this release, and change nothing.

    Raises:
        StoreOutdated: They are older, or there are none.
        StoreTooNew: They are newer.
        StoreUnavailable: The database cannot be reached.
    """
    current = await database.inspect(_revision)
    if current != HEAD:
        _refuse_newer(current, database.name)
        if current is None:
            raise _no_tables(database.name)
        raise StoreOutdated(
            f"The store {database.name} has the tables of an earlier release: "
            "start a worker of this release, or run its `scenario store upgrade`, to bring them up to date."
        )


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(_VERSION_TABLE):
        return None
    return connection.execute(select(_NUMBER)).scalar()


def _apply(connection: Connection, name: str) -> None:
    current = _revision(connection)
    if current == HEAD:  # another process has been quicker
        return
    _refuse_newer(current, name)
    # Loading Alembic takes longer than everything else at a start, and is rarely needed.
    from alembic.migration import MigrationContext
    from alembic.operations import Operations
    from alembic.script import ScriptDirectory

    folder = str(Path(migrations.__file__).parent)
    script = ScriptDirectory(folder, version_locations=[folder])
    # Alembic's own env.py and ``alembic.op`` are globals of the process; a context of one's own is not.
    context = MigrationContext.configure(connection, opts={"version_table": _VERSION_TABLE})
    operations = Operations(context)
    for revision in reversed(list(script.iterate_revisions(HEAD, current or "base"))):
        revision.module.upgrade(operations)
        context.stamp(script, revision.revision)


def _no_tables(name: str) -> StoreOutdated:
    return StoreOutdated(
        f"The store {name} has no tables yet: run `scenario store upgrade` to make them, or correct SCENARIO_STORE."
    )


def _refuse_newer(current: str | None, name: str) -> None:
    # Revisions are numbers of four digits, so that a release need not know those that come after it.
    if current is not None and current > HEAD:
        raise StoreTooNew(
            f"The store {name} was brought to revision {current} by a later release, and this one knows {HEAD}: "
            "run that release, or give this one a store of its own with SCENARIO_STORE."
        )
