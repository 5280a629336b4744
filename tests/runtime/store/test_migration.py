import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from runtime.errors import StoreMissing, StoreOutdated, StoreTooNew
from runtime.store import Store, connect, migrations
from runtime.store.migrations import HEAD
from runtime.store.schema import metadata
from tests.runtime.store.conftest import both, migrate

pytestmark = pytest.mark.usefixtures("_migrating")


async def on(url: str, work: Any) -> Any:
    database = connect(url)
    try:
        return await database.alone(work)
    finally:
        await database.close()


def tables(connection: Connection) -> set[str]:
    return set(inspect(connection).get_table_names())


@both
async def test_migrations_make_what_the_schema_says(url: str) -> None:
    await migrate(url)

    def differences(connection: Connection) -> list[Any]:
        options = {"compare_type": True, "version_table": "scenario_store_version"}
        return compare_metadata(MigrationContext.configure(connection, opts=options), metadata)

    assert await on(url, differences) == []


async def test_a_current_database_is_left_alone_and_keeps_what_it_holds(url: str, monkeypatch: pytest.MonkeyPatch):
    async with Store.open(url) as store:
        await store.publish("welcome", {}, {}, "digest")
    monkeypatch.delattr(migrations, "_apply")
    for name in [name for name in sys.modules if name.startswith("alembic")]:
        monkeypatch.setitem(sys.modules, name, None)  # it is slow to load: nothing imports it here
    await migrate(url)
    async with Store.open(url) as store:
        assert await store.newest("welcome") == 1


async def test_a_database_of_a_later_release_is_refused_and_left_alone(url: str) -> None:
    await migrate(url)

    def upgrade(connection: Connection) -> None:
        connection.execute(text("UPDATE scenario_store_version SET version_num = '0099'"))

    await on(url, upgrade)
    for mode in (True, False):
        with pytest.raises(StoreTooNew, match=f"revision 0099 by a later release, and this one knows {HEAD}"):
            await migrate(url, migrate=mode)


async def test_tables_are_not_made_where_the_caller_says_no(url: str) -> None:
    with pytest.raises(StoreMissing, match=r"^There is no store at "):
        await migrate(url, migrate=False)
    assert await on(url, tables) == set()  # SQLite makes a file for it
    for may_upgrade in (False, True):
        with pytest.raises(StoreOutdated, match="has no tables yet: run `scenario store upgrade` to create them"):
            await migrate(url, make=False, migrate=may_upgrade)
    assert await on(url, tables) == set()
    await migrate(url)
    async with Store.open(url, migrate=False) as store:
        assert await store.scenarios() == []


async def test_tables_of_an_earlier_release_are_waited_for_where_the_caller_says_no_and_has_patience(
    url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    await migrate(url)

    def downgrade(connection: Connection) -> None:
        connection.execute(text("UPDATE scenario_store_version SET version_num = '0000'"))

    def upgraded(connection: Connection) -> None:
        connection.execute(text(f"UPDATE scenario_store_version SET version_num = '{HEAD}'"))

    await on(url, downgrade)
    with pytest.raises(StoreOutdated, match="has the tables of an earlier release: start a worker of this release"):
        await migrate(url, migrate=False)
    monkeypatch.setattr("runtime.store.PAUSE", 0.01)
    waiting = asyncio.create_task(migrate(url, migrate=False, patience=60))
    while "tables of an earlier release" not in caplog.text:
        await asyncio.sleep(0.01)
    await on(url, upgraded)
    await waiting


@both
async def test_a_migration_that_fails_leaves_nothing_behind(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def stamp(*_: object) -> None:
        raise KeyError("a mistake")

    monkeypatch.setattr(MigrationContext, "stamp", stamp)
    with pytest.raises(KeyError):
        await migrate(url)
    monkeypatch.undo()
    assert await on(url, tables) == set()
    await migrate(url)


@both
async def test_several_may_start_at_once(url: str) -> None:
    await asyncio.gather(*(migrate(url) for _ in range(3)))
    async with Store.open(url) as store:
        assert await store.publish("welcome", {}, {}, "digest") == 1


def test_the_newest_revision_is_the_one_that_the_code_names_and_numbers_rise_by_one() -> None:
    folder = str(Path(migrations.__file__).parent)
    script = ScriptDirectory(folder, version_locations=[folder])
    assert script.get_heads() == [HEAD]
    numbers = [revision.revision for revision in script.walk_revisions()]
    assert numbers[::-1] == [f"{number:04}" for number in range(1, len(numbers) + 1)]
