"""The migrations of the schema: ``v<number>_<name>.py``, applied in order and never edited once released.

Until the first release there is one, edited in place. A migration is an Alembic revision with ``upgrade(op)`` alone,
since there is no downgrade. A released one uses plain SQL, since ``runtime.store.schema`` changes.

Several processes may start and upgrade concurrently.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from runtime.errors import StoreOutdated, StoreTooNew
from runtime.store.database import Database

HEAD = "0001"  # the newest revision, so that a current database is recognised without loading Alembic

# Not Alembic's default name: the database may hold other programs' tables and Alembic versions.
_VERSION_TABLE = "scenario_store_version"
_NUMBER: sa.Column[str] = sa.Column("version_num", sa.Text)
sa.Table(_VERSION_TABLE, sa.MetaData(), _NUMBER)


async def upgrade(database: Database, *, make: bool = True) -> None:
    """Create or upgrade the tables, if they are not current.

    The upgrade is one transaction under a lock. Processes that waited for the lock then find current tables.
    Raise StoreFault if the database refuses a change, for example for lack of permissions.
    """
    current = await database.inspect(_revision)
    if current is None and not make:
        raise _no_tables(database.name)
    if current != HEAD:
        await database.alone(lambda connection: _apply(connection, database.name))


async def ensure_current(database: Database) -> None:
    """Check that the tables are those of this release."""
    current = await database.inspect(_revision)
    if current != HEAD:
        _refuse_newer(current, database.name)
        if current is None:
            raise _no_tables(database.name)
        raise StoreOutdated(
            f"The store {database.name} has the tables of an earlier release: "
            "start a worker of this release, or run its `scenario store upgrade`, to bring them up to date."
        )


def _revision(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table(_VERSION_TABLE):
        return None
    return connection.execute(sa.select(_NUMBER)).scalar()


def _apply(connection: sa.Connection, name: str) -> None:
    current = _revision(connection)
    if current == HEAD:  # another process was faster
        return
    _refuse_newer(current, name)
    # Alembic is slow to load and rarely needed.
    from alembic.migration import MigrationContext
    from alembic.operations import Operations
    from alembic.script import ScriptDirectory

    folder = str(Path(__file__).parent)
    script = ScriptDirectory(folder, version_locations=[folder])
    # Alembic's env.py and ``alembic.op`` are process-wide globals; this context is not.
    context = MigrationContext.configure(connection, opts={"version_table": _VERSION_TABLE})
    operations = Operations(context)
    for revision in reversed(list(script.iterate_revisions(HEAD, current or "base"))):
        revision.module.upgrade(operations)
        context.stamp(script, revision.revision)


def _no_tables(name: str) -> StoreOutdated:
    return StoreOutdated(
        f"The store {name} has no tables yet: run `scenario store upgrade` to create them, or correct SCENARIO_STORE."
    )


def _refuse_newer(current: str | None, name: str) -> None:
    # Revisions are four-digit numbers, so they compare without knowing later ones.
    if current is not None and current > HEAD:
        raise StoreTooNew(
            f"The store {name} was brought to revision {current} by a later release, and this one knows {HEAD}: "
            "run that release, or give this one a store of its own with SCENARIO_STORE."
        )
