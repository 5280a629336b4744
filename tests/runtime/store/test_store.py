import asyncio
import sqlite3
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from runtime.errors import StoreAddressError, StoreFault
from runtime.process import free_port
from runtime.store import Store, StoreError, StoreUnavailable, connect, sqlite
from runtime.store.database import Database
from tests.runtime.store.conftest import Server, both, migrate

SECRET = "s3cr3t-pa55"


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("store.db", "is not a database's URL: write sqlite:///path/to/file or postgresql://"),
        ("", "is not a database's URL"),
        (f"postgresql://user:{SECRET}@host:port/name", "is not a database's URL"),
        (f"mysql://user:{SECRET}@host/name", "mysql is not supported as a store: set SCENARIO_STORE to an sqlite://"),
    ],
)
async def test_what_is_no_address_is_refused_without_quoting_it(url: str, says: str) -> None:
    with pytest.raises(StoreAddressError) as caught:
        await migrate(url)
    assert says in str(caught.value)
    assert SECRET not in repr(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("url", ["sqlite:///{folder}/a/b/store.db", "sqlite+aiosqlite:///a/b/store.db"])
async def test_a_file_and_its_folders_are_made_on_first_use(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with Store.open(url.format(folder=tmp_path)) as store:
        assert store.name.endswith("a/b/store.db")
    assert (tmp_path / "a" / "b" / "store.db").exists()


@pytest.mark.parametrize("scheme", ["postgres", "postgresql+asyncpg"])
async def test_postgresql_is_reached_by_psycopg_whatever_driver_is_named(scheme: str) -> None:
    database = connect(f"{scheme}://user:{SECRET}@db.example/name")
    assert database.name == "db.example:5432/name"
    await database.close()


async def test_a_store_in_memory_lives_as_long_as_it_is_open() -> None:
    async with Store.open("sqlite://") as store:
        assert await store.publish("welcome", {}, {}, "digest") == 1
        assert await store.newest("welcome") == 1
    async with Store.open("sqlite+aiosqlite:///:memory:") as store:
        assert await store.newest("welcome") is None


async def test_a_server_that_is_not_there_is_named_without_the_password() -> None:
    port = free_port()
    with pytest.raises(StoreUnavailable) as caught:
        await migrate(f"postgresql://user:{SECRET}@127.0.0.1:{port}/scenarios")
    assert str(caught.value) == (
        f"The store 127.0.0.1:{port}/scenarios cannot be used now (nothing listens there): "
        "check that it is running and that SCENARIO_STORE is right."
    )
    assert caught.value.__cause__ is None


async def test_a_database_that_is_not_there_or_cannot_hold_what_people_write_is_refused(
    postgresql: Server, postgresql_url: str
):
    with postgresql.connect() as connection:
        connection.execute("CREATE DATABASE ascii ENCODING 'SQL_ASCII' TEMPLATE template0")
    with pytest.raises(StoreUnavailable, match="there is no such database or user"):
        await migrate(postgresql_url.replace("/postgres?", "/nothing?"))
    with pytest.raises(StoreAddressError) as caught:
        await migrate(postgresql_url.replace("/postgres?", "/ascii?"))
    assert "/ascii keeps text as SQL_ASCII, which cannot hold what people write: " in str(caught.value)


@pytest.mark.parametrize(
    ("path", "error", "says"),
    [
        ("", StoreUnavailable, "its file cannot be opened or created"),
        ("/file", StoreFault, "its file is not an SQLite database"),
        ("/file/store.db", StoreAddressError, r"folder of the store .*/file/store.db cannot be made"),
    ],
)
async def test_what_is_in_the_way_of_a_file_is_said(path: str, error: type[StoreError], says: str, tmp_path: Path):
    (tmp_path / "file").write_text("not a database" * 100)
    with pytest.raises(error, match=says):
        await migrate(f"sqlite:///{tmp_path}{path}")


async def test_a_file_that_another_process_keeps_locked_is_unavailable_for_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.05)
    async with Store.open(f"sqlite:///{tmp_path}/store.db") as store:
        other = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="another process has been writing to it for too long"):
            await store.publish("welcome", {}, {}, "digest")
        assert await store.newest("welcome") is None, "reading goes on"
        other.execute("ROLLBACK")
        other.close()
        assert await store.publish("welcome", {}, {}, "digest") == 1


async def test_who_waits_behind_a_write_that_waited_in_vain_does_not_wait_as_long_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.2)
    tries: list[object] = []
    connected = sqlite.SQLite._connected  # pyright: ignore[reportPrivateUsage]

    def counted(database: sqlite.SQLite, *given: Any) -> Any:
        tries.append(given)
        return connected(database, *given)

    async with Store.open(f"sqlite+aiosqlite:///{tmp_path}/store.db") as store:
        other = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        monkeypatch.setattr(sqlite.SQLite, "_connected", counted)
        writes = (store.set_operation_trouble("op", f"{number}") for number in range(5))
        failures = await asyncio.gather(*writes, return_exceptions=True)
        assert {type(failure) for failure in failures} == {StoreUnavailable}
        assert len({str(failure) for failure in failures}) == 1
        assert len(tries) == 1
        other.close()
        await store.set_operation_trouble("op", None)


async def test_a_file_is_in_wal_mode_and_survives_the_death_of_a_process(tmp_path: Path) -> None:
    async with Store.open(f"sqlite:///{tmp_path}/store.db") as store:
        modes = await store._database.read(text("PRAGMA journal_mode"))  # pyright: ignore[reportPrivateUsage]
        level = await store._database.read(text("PRAGMA synchronous"))  # pyright: ignore[reportPrivateUsage]
    assert (modes[0]["journal_mode"], level[0]["synchronous"]) == ("wal", 1)


async def test_a_connection_that_the_server_ended_is_replaced_unnoticed(postgresql_url: str):
    async with Store.open(postgresql_url) as store:
        await store.publish("welcome", {}, {}, "digest")
        with psycopg.connect(postgresql_url) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )
        assert await store.newest("welcome") == 1
        assert await store.publish("welcome", {"n": 2}, {}, "digest-2") == 2


@both
async def test_a_statement_that_is_refused_shows_neither_itself_nor_its_values(store: Store) -> None:
    database: Database = store._database  # pyright: ignore[reportPrivateUsage]
    with pytest.raises(StoreFault) as caught:
        await database.write(text("INSERT INTO missing VALUES (:value)"), {"value": SECRET})
    assert "its tables are missing" in str(caught.value)
    assert SECRET not in str(caught.value)
    assert "INSERT" not in str(caught.value)
    assert caught.value.__cause__ is None


@both
async def test_callers_that_are_cancelled_leave_a_store_that_works(store: Store) -> None:
    for turn in range(16):
        task = asyncio.create_task(store.publish("welcome", {"n": turn}, {}, f"digest-{turn}"))
        for _ in range(turn % 8):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
    numbers = [await store.publish("welcome", {"n": turn}, {}, f"digest-{turn}") for turn in range(16)]
    assert sorted(numbers) == list(range(1, 17))


async def test_a_server_that_takes_no_writes_for_now_is_unavailable(postgresql_url: str) -> None:
    async with Store.open(postgresql_url) as store:
        await store.publish("welcome", {}, {}, "digest")
    async with Store.open(
        postgresql_url.replace("options=", "options=-cdefault_transaction_read_only%3Don%20")
    ) as store:
        assert await store.newest("welcome") == 1
        with pytest.raises(StoreUnavailable, match="it is read-only, as a standby is"):
            await store.publish("welcome", {"n": 2}, {}, "digest-2")


@both
async def test_a_check_compares_the_clocks_of_two_machines(store: Store, url: str, monkeypatch: pytest.MonkeyPatch):
    await store.check()
    if url.startswith("sqlite"):
        assert store.clock_offset is None
        return
    assert store.clock_offset == 0.0
    monkeypatch.setattr("runtime.store.postgresql.time", SimpleNamespace(time=lambda: time.time() + 7200.0))
    await store.check()
    assert store.clock_offset == pytest.approx(7200.0, abs=5.0)
