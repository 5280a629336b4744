import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from runtime.store import Store, StoreMissing, StoreOutdated, StoreTooNew, migration, migrations
from runtime.store.migrations import HEAD, v0001_store, v0002_next_try
from runtime.store.schema import metadata
from runtime.store.store import connect
from tests.runtime.store.conftest import Server, migrate

pytestmark = pytest.mark.usefixtures("_migrating")
ROOT = Path(__file__).parents[3]
MIGRATE = """
import asyncio, sys
from runtime.store import Store
async def migrate():
    async with Store.open(sys.argv[1]): pass
"""


async def on(url: str, work: Any) -> Any:
    database = connect(url)
    try:
        return await database.alone(work)
    finally:
        await database.close()


def tables(connection: Connection) -> set[str]:
    return set(inspect(connection).get_table_names())


async def test_a_new_database_gets_its_tables(url: str) -> None:
    await migrate(url)
    expected = {"scenario_versions", "entries", "closed_scenarios", "deliveries", "scenario_store_version"}
    expected |= {"claims", "suppressions", "soft_bounces", "passages", "api_keys", "api_answers"}
    expected |= {"operations", "operation_items", "contact_keys", "leases"}
    assert await on(url, tables) == expected


async def test_migrations_make_what_the_schema_says(url: str) -> None:
    await migrate(url)

    def differences(connection: Connection) -> list[Any]:
        options = {"compare_type": True, "version_table": "scenario_store_version"}
        return compare_metadata(MigrationContext.configure(connection, opts=options), metadata)

    assert await on(url, differences) == []


async def test_a_database_of_the_first_release_is_brought_up_to_date_and_keeps_what_it_holds(url: str) -> None:
    def first(connection: Connection) -> None:
        v0001_store.upgrade(Operations(MigrationContext.configure(connection)))
        connection.execute(text("CREATE TABLE scenario_store_version (version_num TEXT)"))
        connection.execute(text("INSERT INTO scenario_store_version VALUES ('0001')"))
        row = "'welcome', 1, 'digest', '{}', '{}', '2026-03-29 01:30:00.000000', 'ann'"
        connection.execute(text(f"INSERT INTO scenario_versions VALUES ({row})"))

    await on(url, first)
    await migrate(url)
    async with Store.open(url, migrate=False) as store:
        assert await store.newest("welcome") == 1

    def indexes(connection: Connection) -> set[str | None]:
        return {index["name"] for index in inspect(connection).get_indexes("deliveries")}

    assert "ix_deliveries_destination_next_try_at" in await on(url, indexes)


def second(connection: Connection) -> None:
    """The tables of the second release."""
    operations = Operations(MigrationContext.configure(connection))
    v0001_store.upgrade(operations)
    v0002_next_try.upgrade(operations)
    connection.execute(text("CREATE TABLE scenario_store_version (version_num TEXT)"))
    connection.execute(text("INSERT INTO scenario_store_version VALUES ('0002')"))


def row(number: int) -> str:
    return f"INSERT INTO entries VALUES ('w', 'r{number}', 'a', 1, '7', '', {number}, 'order', now())"


async def test_journeys_come_in_while_an_index_is_made(postgresql: Server, postgresql_url: str) -> None:
    """The index waits for those who are writing, and nobody waits for the index."""
    await on(postgresql_url, second)
    schema = postgresql_url.rpartition("%3D")[2]
    with postgresql.connect() as writing, postgresql.connect() as another, postgresql.connect() as looking:
        for connection in (writing, another):
            connection.execute(f"SET search_path = {schema}".encode())
        writing.execute(b"BEGIN")
        writing.execute(row(1).encode())
        migrating = asyncio.create_task(migrate(postgresql_url))
        waits = b"SELECT 1 FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX%' AND wait_event_type = 'Lock'"
        while not migrating.done() and not looking.execute(waits).fetchall():
            await asyncio.sleep(0.01)
        assert not migrating.done()
        another.execute(b"SET lock_timeout = '10s'")
        another.execute(row(2).encode())
        assert not migrating.done()
        writing.execute(b"COMMIT")
        await migrating
    async with Store.open(postgresql_url, migrate=False) as store:
        assert len(await store.entries(running=True)) == 2


async def test_an_index_whose_making_was_broken_off_is_made_again(postgresql_url: str) -> None:
    def broken_off(connection: Connection) -> None:
        second(connection)
        connection.execute(text("CREATE INDEX ix_entries_under_way ON entries (key)"))

    def columns(connection: Connection) -> list[list[str | None]]:
        indexes = inspect(connection).get_indexes("entries")
        return [index["column_names"] for index in indexes if index["name"] == "ix_entries_under_way"]

    await on(postgresql_url, broken_off)
    await migrate(postgresql_url)
    assert await on(postgresql_url, columns) == [["admitted_at"]]


async def test_a_current_database_is_left_alone_and_keeps_what_it_holds(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Store.open(url) as store:
        await store.publish("welcome", {}, {}, "digest")
    monkeypatch.delattr(migration, "_apply")
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
    if url.startswith("sqlite"):
        with pytest.raises(StoreMissing, match=r"^There is no store at "):
            await migrate(url, migrate=False)
    assert await on(url, tables) == set()  # SQLite makes a file for it
    with pytest.raises(
        StoreOutdated, match="has no tables yet: start a worker, or run `scenario store upgrade`, to make"
    ):
        await migrate(url, migrate=False)
    assert await on(url, tables) == set()
    await migrate(url)
    async with Store.open(url, migrate=False) as store:
        assert await store.scenarios() == []


async def test_tables_of_an_earlier_release_are_not_brought_up_to_date_where_the_caller_says_no(url: str) -> None:
    await migrate(url)

    def downgrade(connection: Connection) -> None:
        connection.execute(text("UPDATE scenario_store_version SET version_num = '0001'"))

    await on(url, downgrade)
    with pytest.raises(StoreOutdated, match="has the tables of an earlier release: start a worker of this release"):
        await migrate(url, migrate=False)


async def test_tables_are_waited_for_where_the_caller_says_no_and_has_patience(
    url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    await migrate(url)

    def downgrade(connection: Connection) -> None:
        connection.execute(text("UPDATE scenario_store_version SET version_num = '0001'"))

    def upgraded(connection: Connection) -> None:
        connection.execute(text(f"UPDATE scenario_store_version SET version_num = '{HEAD}'"))

    await on(url, downgrade)
    monkeypatch.setattr("runtime.store.store.PAUSE", 0.01)
    waiting = asyncio.create_task(migrate(url, migrate=False, patience=60))
    while "tables of an earlier release" not in caplog.text:
        await asyncio.sleep(0.01)
    await on(url, upgraded)
    await waiting


async def test_a_migration_that_fails_leaves_nothing_behind(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def stamp(*_: object) -> None:
        raise KeyError("a mistake")

    monkeypatch.setattr(MigrationContext, "stamp", stamp)
    with pytest.raises(KeyError):
        await migrate(url)
    monkeypatch.undo()
    assert await on(url, tables) == set()
    await migrate(url)


async def test_several_may_start_at_once(url: str) -> None:
    await asyncio.gather(*(migrate(url) for _ in range(6)))
    async with Store.open(url) as store:
        assert await store.publish("welcome", {}, {}, "digest") == 1


def test_several_processes_may_start_at_once(url: str) -> None:
    program = f"{MIGRATE}asyncio.run(migrate())"
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", program, url],
            cwd=ROOT,
            stderr=subprocess.PIPE,
        )
        for _ in range(3)
    ]
    assert [process.communicate(timeout=60)[1].decode() for process in processes] == [""] * 3
    assert [process.returncode for process in processes] == [0] * 3


def test_the_newest_revision_is_the_one_that_the_code_names_and_numbers_rise_by_one() -> None:
    folder = str(Path(migrations.__file__).parent)
    script = ScriptDirectory(folder, version_locations=[folder])
    assert script.get_heads() == [HEAD]
    numbers = [revision.revision for revision in script.walk_revisions()]
    assert numbers[::-1] == [f"{number:04}" for number in range(1, len(numbers) + 1)]


async def test_alembic_is_loaded_only_where_something_is_to_migrate(tmp_path: Path) -> None:
    program = f"{MIGRATE}asyncio.run(migrate()); print('alembic' in sys.modules)"
    url = f"sqlite:///{tmp_path}/store.db"
    await migrate(url)
    assert "alembic" in sys.modules
    said = await asyncio.to_thread(
        subprocess.check_output,
        [sys.executable, "-c", program, url],
        cwd=ROOT,
        text=True,
    )
    assert said.strip() == "False"
