"""A store that is gone, replaced, full or away is noticed, named and waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import event, text

from runtime.process.health import Watch
from runtime.store import Store, StoreUnavailable, postgresql
from runtime.store.database import Database
from runtime.store.sqlite import SQLite
from tests.runtime.store.conftest import Server, both, migrate

SECRET = "s3cr3t-pa55"
Away = tuple[Callable[[], None], Callable[[], None]]
LARGE = {"text": "x" * 100_000}


def move(source: Path | str, target: Path | str) -> None:
    Path(source).replace(target)


def there(path: Path) -> bool:
    return path.exists()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


async def test_a_file_that_is_removed_is_neither_written_to_nor_made_anew(file: Path) -> None:
    async with Store.open(f"sqlite:///{file}") as store:
        await store.publish("welcome", {}, {}, "digest")
        move(file, elsewhere := f"{file}-elsewhere")
        for use in (store.check(), store.newest("welcome"), store.publish("welcome", {"n": 2}, {}, "digest-2")):
            with pytest.raises(StoreUnavailable) as caught:
                await use
            assert str(caught.value) == (
                f"The store {file} is gone, its file was removed in use: put it back, or restart this process."
            )
        await asyncio.gather(*(store.newest("welcome") for _ in range(9)), return_exceptions=True)
        assert not there(file)
        move(elsewhere, file)
        await store.check()
        assert await store.publish("welcome", {"n": 2}, {}, "digest-2") == 2


async def test_a_file_in_the_place_of_another_is_not_written_to(file: Path) -> None:
    async with Store.open(f"sqlite:///{file}") as store:
        async with Store.open(f"sqlite:///{file}-2") as other:
            await other.publish("other", {}, {}, "digest")
        move(f"{file}-2", file)
        for use in (store.check(), store.publish("welcome", {}, {}, "digest")):
            with pytest.raises(StoreUnavailable, match="is another file than the one in use: restart this process"):
                await use


@pytest.fixture
async def full(file: Path) -> Any:
    """A store, and what fills its disk and frees it."""
    async with Store.open(f"sqlite:///{file}") as store:
        pages = [1 << 30]
        database = store._database  # pyright: ignore[reportPrivateUsage]
        assert isinstance(database, SQLite)

        def limit(connection: Any, *_: object) -> None:
            connection.execute(f"PRAGMA max_page_count = {pages[0]}").close()

        event.listen(database._engine, "checkout", limit)  # pyright: ignore[reportPrivateUsage]

        def fill(yes: bool) -> None:
            pages[0] = 1 if yes else 1 << 30  # less than there are means what there are

        yield store, fill


async def test_a_full_disk_is_noticed_by_the_first_write_and_until_one_succeeds(
    full: tuple[Store, Callable[[bool], None]], file: Path
) -> None:
    store, fill = full
    await store.check()
    fill(True)
    await store.check()  # it can be read, and nobody has tried to write
    with pytest.raises(StoreUnavailable, match="its disk is full"):
        await store.check(writing=True)
    for _ in range(2):
        with pytest.raises(StoreUnavailable) as caught:
            await store.check()
        assert str(caught.value) == f"The store {file} cannot be used now (its disk is full): make room on it."
    assert await store.newest("welcome") is None, "reading goes on"
    fill(False)
    await store.check()
    fill(True)
    with pytest.raises(StoreUnavailable, match="its disk is full"):
        await store.publish("welcome", LARGE, {}, "digest")
    fill(False)
    await store.publish("welcome", LARGE, {}, "digest")
    await store.check()


@both
async def test_looking_leaves_nothing_behind(url: str) -> None:
    async with Store.open(url) as store:
        for _ in range(3):
            await store.check(writing=True)
            await store.check()
        assert await store.publish("welcome", {}, {}, "digest") == 1


@both
async def test_a_connection_that_takes_no_writes_is_not_kept(url: str) -> None:
    """Else a process would stay with a server that another one has taken over from, or a file that was read-only."""
    closed = "PRAGMA query_only = ON" if url.startswith("sqlite") else "SET default_transaction_read_only = on"
    async with Store.open(url) as store:
        database = store._database  # pyright: ignore[reportPrivateUsage]
        for use in (partial(store.publish, "welcome", {}, {}, "digest"), partial(write_alone, database)):
            await database.write(text(closed))
            with suppress(StoreUnavailable):
                await use()
            await use()
        await store.check()


async def write_alone(database: Database) -> None:
    await database.alone(
        lambda connection: connection.exec_driver_sql("UPDATE scenario_store_version SET version_num = version_num")
    )


@pytest.fixture
def away(postgresql: Server, postgresql_url: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Lets nobody reach PostgreSQL, and lets them again."""
    monkeypatch.setattr("runtime.store.PAUSE", 0.0)
    socket, hidden = postgresql.folder / ".s.PGSQL.5432", postgresql.folder / "hidden"

    def leave() -> None:
        with psycopg.connect(postgresql_url) as connection:
            socket.rename(hidden)
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )

    def come_back() -> None:
        if hidden.exists():
            hidden.rename(socket)

    yield leave, come_back
    come_back()


async def test_a_server_that_is_away_is_named_without_its_password(postgresql_url: str, away: Away):
    leave, come_back = away
    url = postgresql_url.replace("postgres@", f"postgres:{SECRET}@")
    async with Store.open(url) as store:
        watch = Watch(store)
        await watch.look()
        assert watch.trouble is None
        leave()
        await watch.look()
        assert watch.trouble is not None
        assert "/postgres cannot be used now (" in watch.trouble
        assert SECRET not in watch.trouble
        come_back()
        await watch.look()
        assert watch.trouble is None


@pytest.mark.parametrize(("options", "limit"), [("", 0.02), ("%20-clock_timeout%3D20ms", 3600)])
async def test_a_locked_table_is_unavailable_after_a_moment(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch, options: str, limit: float
) -> None:
    monkeypatch.setattr(postgresql, "LOCK_SECONDS", limit)
    async with Store.open(postgresql_url + options) as store:
        with psycopg.connect(postgresql_url) as connection:
            connection.execute("LOCK TABLE scenario_versions")
            with pytest.raises(StoreUnavailable) as caught:
                await store.publish("welcome", {}, {}, "digest")
            assert "another program has locked a table for too long): end the transaction" in str(caught.value)
        assert await store.publish("welcome", {}, {}, "digest") == 1


async def test_one_that_is_away_at_the_start_is_waited_for(
    postgresql_url: str, away: Away, caplog: pytest.LogCaptureFixture
) -> None:
    leave, come_back = away
    leave()
    stores = Store.open(postgresql_url, patience=60)
    opening = asyncio.ensure_future(stores.__aenter__())
    while not caplog.records:
        await asyncio.sleep(0.001)
    come_back()
    assert await (await opening).scenarios() == []
    await stores.__aexit__(None, None, None)
    [said] = [record.getMessage() for record in caplog.records]
    assert said.endswith("that SCENARIO_STORE is right. Trying for 60 s more.")


async def test_one_that_stays_away_is_not_waited_for_for_ever(postgresql_url: str, away: Away):
    away[0]()
    with pytest.raises(StoreUnavailable, match="nothing listens there"):
        await migrate(postgresql_url, patience=0.01)
