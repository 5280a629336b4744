"""A store and a namespace belong together, or nothing is done with them."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from pathlib import Path
from urllib.parse import quote

import pytest
from sqlalchemy import text
from temporalio.api.common.v1 import Payload, Payloads, WorkflowExecution
from temporalio.api.workflowservice.v1 import SignalWorkflowExecutionRequest
from temporalio.client import Client, WorkflowExecutionDescription, WorkflowExecutionStatus

from runtime import identity as module
from runtime.identity import StoreIdentity, mismatch, read_record, read_run, write_record
from runtime.store import NamespaceClaim, Store, StoreMismatch
from tests.claims import free
from tests.factories import present
from tests.fakes import Clock
from tests.runtime.store.conftest import Server

THEN = "2026-11-29T03:00:00+00:00"
LATER = "2026-11-29T04:00:00+00:00"
CLAIM = NamespaceClaim("b", "a", 7, THEN, "1/5", THEN, "worker 1")


@pytest.fixture
async def client(client: Client) -> AsyncIterator[Client]:
    yield client
    await free(client)


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BETWEEN_LOOKS", 0.0)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store.open(url_of(tmp_path / "store.db")) as opened:
        yield opened


def url_of(file: Path) -> str:
    return f"sqlite:///{file}"


def eager(client: Client, store: Store) -> StoreIdentity:
    return StoreIdentity(client, store, every=0.0)


async def row(store: Store) -> NamespaceClaim:
    return present(await store.namespace_claim("default"))


@asynccontextmanager
async def copied(file: Path, name: str = "copy.db") -> AsyncGenerator[Store]:
    """A copy of a store's file, as `cp` makes it, with what is still in its log."""
    copy = file.with_name(name)
    for suffix in ("", "-wal"):
        if (part := file.with_name(file.name + suffix)).exists():
            shutil.copyfile(part, copy.with_name(copy.name + suffix))
    async with Store.open(url_of(copy), migrate=False) as store:
        yield store


OTHERS = "the namespace has belonged to another store since 2026-11-29T"
COPY = "this database is a copy of the one that the namespace belongs to"
BEHIND = "as it was at 2026-11-29T03:00, and the"
OLD_STORE = f"the store is {BEHIND} namespace went on until 2026-11-29T04:00: it is a copy or a backup"
OLD_TEMPORAL = f"the namespace is {BEHIND} store went on until 2026-11-29T03:00: Temporal is a copy or a backup"


@pytest.mark.parametrize(
    ("record", "claim", "database", "why"),
    [
        (None, None, "1/5", None),
        (CLAIM, CLAIM, "1/5", None),
        (CLAIM, CLAIM, "", None),
        (CLAIM, replace(CLAIM, database=""), "1/5", None),
        (None, CLAIM, "1/5", None),
        # The worker died between the two, or a standby that has taken over lacks the last write.
        (CLAIM, replace(CLAIM, token="c", previous_token="b", rotation=8), "1/5", None),
        (CLAIM, replace(CLAIM, token="a", previous_token="z", rotation=6), "1/5", None),
        (replace(CLAIM, token="d", claimed_at=LATER), CLAIM, "1/5", f"{OTHERS}04:00"),
        (CLAIM, None, "1/5", f"{OTHERS}03:00"),
        (CLAIM, CLAIM, "1/6", COPY),
        (None, CLAIM, "1/6", COPY),
        (replace(CLAIM, token="d", previous_token="c", rotation=9, rotated_at=LATER), CLAIM, "1/5", OLD_STORE),
        (replace(CLAIM, token="0", previous_token="", rotation=2), CLAIM, "1/5", OLD_TEMPORAL),
    ],
)
def test_a_store_and_a_namespace_are_compared(
    record: NamespaceClaim | None, claim: NamespaceClaim | None, database: str, why: str | None
) -> None:
    assert mismatch(record, claim, database) == why


async def test_a_namespace_belongs_to_the_store_whose_worker_claimed_it_first(
    client: Client, store: Store, tmp_path: Path
) -> None:
    await StoreIdentity(client, store).verify()
    assert await store.has_claims() is False
    await asyncio.gather(*(StoreIdentity(client, store).ensure() for _ in range(5)))
    await StoreIdentity(client, store).verify()
    record = present(await read_record(client))
    assert (record.token, record.claimed_by) == ((await row(store)).token, client.identity)
    async with Store.open(url_of(tmp_path / "other.db")) as other:
        for ask in (StoreIdentity(client, other).verify(), StoreIdentity(client, other).ensure()):
            with pytest.raises(
                StoreMismatch, match=r"the namespace has belonged to another store since.*store claim --force"
            ):
                await ask
        assert await other.has_claims() is False


async def test_of_two_stores_that_claim_a_namespace_at_once_one_gets_it(client: Client, store: Store, tmp_path: Path):
    async with Store.open(url_of(tmp_path / "other.db")) as other:
        claiming = [StoreIdentity(client, one).ensure() for one in (store, other)]
        ended = await asyncio.gather(*claiming, return_exceptions=True)
    assert [type(one) for one in ended if one is not None] == [StoreMismatch]


async def test_a_copy_of_a_file_is_refused_at_once_and_the_original_goes_on(
    client: Client, store: Store, tmp_path: Path
) -> None:
    original = eager(client, store)
    await original.ensure()
    async with copied(tmp_path / "store.db") as copy:
        with pytest.raises(StoreMismatch, match="this database is a copy"):
            await StoreIdentity(client, copy).ensure()
        assert await row(copy) == await row(store)
    for _ in range(3):
        await original.tend()
    assert (await row(store)).rotation == 4


async def test_a_backup_that_is_put_back_is_refused(client: Client, store: Store, tmp_path: Path) -> None:
    original = eager(client, store)
    await original.ensure()
    before = await row(store)
    for _ in range(3):
        await original.tend()
    await store.claim_namespace("default", before, replace=True)  # the file keeps its inode
    with pytest.raises(StoreMismatch, match=r"the store is as it was at .*: it is a copy or a backup"):
        await original.tend()


async def test_a_copy_by_dump_and_restore_is_refused_at_once(client: Client, postgresql: Server) -> None:
    def url(database: str) -> str:
        return f"postgresql://postgres@/{database}?host={quote(str(postgresql.folder), safe='')}"

    with postgresql.connect() as connection:
        connection.execute(b"CREATE DATABASE original")
        async with Store.open(url("original")) as store:
            await StoreIdentity(client, store).ensure()
        connection.execute(b"CREATE DATABASE copy TEMPLATE original")
        async with Store.open(url("original")) as store, Store.open(url("copy")) as copy:
            with pytest.raises(StoreMismatch, match="this database is a copy"):
                await StoreIdentity(client, copy).ensure()
            await StoreIdentity(client, store).ensure()
        await free(client)
        async with Store.open(url("copy")) as copy:
            with pytest.raises(StoreMismatch, match="this database is a copy"):
                await StoreIdentity(client, copy).ensure()


async def test_a_role_that_may_not_ask_who_the_server_is_uses_the_store(
    client: Client, postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.store.postgresql._IDENTITY", text("SELECT refused()"))
    async with Store.open(postgresql_url) as store:
        await StoreIdentity(client, store).ensure()
        assert (await row(store)).database == ""
        await eager(client, store).tend()


async def test_a_worker_that_dies_between_the_two_sides_leaves_both_valid(
    client: Client, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await eager(client, store).ensure()

    async def dies(*_: object) -> None:
        raise ConnectionError

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_record", dies)
        for _ in range(3):
            with pytest.raises(ConnectionError):
                await eager(client, store).tend()
    assert (await row(store)).rotation == 2
    await StoreIdentity(client, store).verify()
    await eager(client, store).tend()
    record = present(await read_record(client))
    assert record.token == (await row(store)).token
    await eager(client, store).tend()
    await StoreIdentity(client, store).verify()
    assert (await row(store)).rotation == 3


async def test_a_standby_that_lacks_the_last_write_goes_on_once_nobody_else_does(client: Client, store: Store) -> None:
    await eager(client, store).ensure()
    before = await row(store)
    await eager(client, store).tend()
    await store.claim_namespace("default", before, replace=True)
    clock = Clock()
    worker = StoreIdentity(client, store, every=30.0, clock=clock)
    await worker.tend()
    clock.now = 80.0
    await worker.tend()
    assert await row(store) == before
    clock.now = 91.0
    await worker.tend()
    await worker.tend()
    assert (await row(store)).rotation == 3


async def test_a_token_is_rotated_when_it_is_due_and_by_one_worker(client: Client, store: Store) -> None:
    clock = Clock()
    workers = [StoreIdentity(client, store, every=30.0, clock=clock) for _ in range(5)]
    await workers[0].ensure()
    for now, rotation in ((0.0, 1), (29.0, 1), (3_600.0, 2), (3_610.0, 2), (3_700.0, 3)):  # away for an hour
        clock.now = now
        await asyncio.gather(*(worker.tend() for worker in workers))
        assert (await row(store)).rotation == rotation
        await StoreIdentity(client, store).verify()


@pytest.mark.parametrize("emptied", [False, True])
async def test_a_worker_that_another_one_overtakes_rotates_nothing(
    client: Client, store: Store, monkeypatch: pytest.MonkeyPatch, emptied: bool
) -> None:
    worker, other = eager(client, store), eager(client, store)
    await worker.ensure()

    async def overtaken(client: Client) -> WorkflowExecutionDescription | None:
        monkeypatch.undo()
        run = await read_run(client)
        await (free(client) if emptied else other.tend())
        return run

    monkeypatch.setattr(module, "read_run", overtaken)
    await worker.tend()
    assert (await row(store)).rotation == (1 if emptied else 2)
    assert (await read_record(client) is None) == emptied


async def test_what_a_worker_adds_that_was_paused_for_long_counts_no_more(client: Client, store: Store) -> None:
    worker = eager(client, store)
    await worker.ensure()
    await worker.tend()
    old, run = await read_record(client), await read_run(client)
    for _ in range(3):
        await worker.tend()
    assert old is not None
    assert run is not None
    await write_record(client, run, old)
    await worker.tend()
    for _ in range(4):
        await worker.tend()
    assert (await row(store)).rotation == 10


async def test_the_workflow_is_started_anew_once_it_is_long_or_somebody_has_ended_it(
    client: Client, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LONGEST", 4)
    worker = eager(client, store)
    await worker.ensure()
    runs = set[str]()
    for number in range(8):
        if number == 5:
            await client.get_workflow_handle(module.WORKFLOW).terminate()
        await worker.tend()
        run = present(await read_run(client))
        assert run.status is WorkflowExecutionStatus.RUNNING
        runs.add(run.run_id)
    assert len(runs) == 3
    assert (await row(store)).rotation == 9


async def test_foreign_signals_are_ignored_however_many_there_are(client: Client, store: Store) -> None:
    worker = eager(client, store)
    await worker.ensure()
    foreign = [b"", b"[", b"[" * 100_000, b'{"token": "x"}', json.dumps({**asdict(CLAIM), "rotation": "many"}).encode()]
    for data in (None, *foreign, *foreign, *foreign):
        request = SignalWorkflowExecutionRequest(
            namespace=client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=module.WORKFLOW),
            signal_name="hello",
            input=None if data is None else Payloads(payloads=[Payload(data=data)]),
        )
        await client.workflow_service.signal_workflow_execution(request)
    await StoreIdentity(client, store).verify()
    await worker.tend()
    assert (await row(store)).rotation == 2


async def test_a_namespace_that_was_emptied_is_claimed_again(
    client: Client, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    worker = eager(client, store)
    await worker.ensure()
    await worker.tend()
    assert caplog.text == ""
    await free(client)
    await StoreIdentity(client, store).verify()
    await worker.tend()
    assert "was emptied or replaced. It is claimed again. Run `scenario store reconcile`" in caplog.text
    await worker.tend()
    await worker.tend()
    assert (await row(store)).rotation == 4


async def test_a_claim_by_force_moves_the_namespace(client: Client, store: Store, tmp_path: Path) -> None:
    original = eager(client, store)
    await original.ensure()
    await original.tend()
    async with copied(tmp_path / "store.db") as copy:
        await StoreIdentity(client, copy).claim(by="ann", reason="the disk of the old one is gone")
        assert await copy.last_event() > 10**15, "readers of outgoing events may know some that the copy lacks"
        moved = StoreIdentity(client, copy, every=0.0)
        await moved.ensure()
        await moved.tend()
        claim = await row(copy)
        assert (claim.claimed_by, claim.reason, claim.rotation) == ("ann", "the disk of the old one is gone", 4)
        record = present(await read_record(client))
        assert (record.claimed_by, record.reason) == ("ann", "the disk of the old one is gone")
        with pytest.raises(StoreMismatch, match="the namespace has belonged to another store since"):
            await original.tend()


async def test_a_local_server_and_its_store_are_tied_whatever_was_deleted(client: Client, store: Store, tmp_path: Path):
    await StoreIdentity(client, store).settle()
    async with Store.open(url_of(tmp_path / "new.db")) as new:
        await StoreIdentity(client, new).settle()
        await StoreIdentity(client, new).verify()
