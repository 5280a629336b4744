"""A worker with a copy of the store writes nothing and sends nothing, and the original beside it goes on."""

import asyncio
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

import worker
from authoring.publishing import publish
from cli import program
from gateway import serving
from gateway.serving import Parts
from runtime.identity import StoreIdentity, guarding_identity
from runtime.local.receiver import Inbox
from runtime.process.shutdown import Deadline
from runtime.settings import Settings
from runtime.store import Store, StoreMismatch
from service.client import ScenarioClient
from tests.e2e.conftest import SENDER, Server, entry, is_ready
from tests.servers import reserved_port

SCENARIO = "scenario: hello\ntrigger: segment\nsteps:\n  - email: mail\n    subject: Hello\n    text: Hello\n"
KEY = "a2V5IG9mIDMyIGJ5dGVzLCBhcyBvcGVuc3NsIHdyaXRlcyE="


@pytest.fixture(autouse=True)
def _hasty(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in server.environ.items():
        monkeypatch.setenv(name, value)
    for module in (worker, serving):
        monkeypatch.setattr(module, "guarding_identity", partial(guarding_identity, every=0.1))
        monkeypatch.setattr(module, "StoreIdentity", partial(StoreIdentity, every=0.1))


def settings_of(file: Path, inbox: Inbox) -> Settings:
    return Settings(
        store=SecretStr(f"sqlite:///{file}"),
        smtp=SecretStr(inbox.url),
        mail_from=SENDER,
        suppression_key=SecretStr(KEY),
    )


def copy_store(file: Path, copy: Path) -> None:
    with closing(sqlite3.connect(file)) as read, closing(sqlite3.connect(copy)) as written:
        read.backup(written)


def rows(file: Path) -> list[str]:
    with closing(sqlite3.connect(file)) as connection:
        return list(connection.iterdump())


@asynccontextmanager
async def working(settings: Settings) -> AsyncGenerator[asyncio.Task[None]]:
    port = reserved_port()
    queues = ["journeys", "email"]
    task = asyncio.create_task(worker.serve(settings, queues, Deadline(1), health_port=port))
    try:
        while not await is_ready(f"http://127.0.0.1:{port}"):
            assert not task.done(), task.exception()
            await asyncio.sleep(0.05)
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def refused(coroutine: Any) -> str:
    with pytest.raises(StoreMismatch) as caught:
        await asyncio.wait_for(coroutine, 90)
    return str(caught.value)


async def test_a_copy_does_nothing_until_the_namespace_is_moved_to_it(
    inbox: Inbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    original, copy = settings_of(tmp_path / "store.db", inbox), settings_of(tmp_path / "copy.db", inbox)
    file = tmp_path / "hello.yaml"
    file.write_text(SCENARIO, "utf-8")
    async with Store.open(original.store.get_secret_value()) as store:
        await publish(file, store)
    async with working(original) as task:
        copy_store(tmp_path / "store.db", tmp_path / "copy.db")
        before = rows(tmp_path / "copy.db")
        beside = [refused(worker.serve(copy, ["journeys", "email"], Deadline(1))) for _ in range(2)]
        gateway = refused(serving.serve(copy, "127.0.0.1", 0, Parts(api=True)))
        for said in await asyncio.gather(*beside, gateway, refused(ScenarioClient.open(copy).__aenter__())):
            assert "this database is a copy of the one that the namespace belongs to" in said
        async with ScenarioClient.open(original) as client:
            entered = [await client.enter(entry("hello", number, email=f"{number}@example.com")) for number in range(5)]
            assert {(await journey.result())["outcome"] for journey in entered} == {"finished"}
            assert len(await client.journeys()) == 5
        assert len(inbox.messages()) == 5
        assert rows(tmp_path / "copy.db") == before

        monkeypatch.setenv("SCENARIO_STORE", copy.store.get_secret_value())
        arguments = ["store", "claim", "--force", "--reason", "the first disk is gone", "--operator", "ann"]
        assert await asyncio.to_thread(program.run, ["list"]) == 1
        assert await asyncio.to_thread(program.run, arguments) == 0
        assert "was restored, first follow 'After a loss' in docs/run/store.md" in capsys.readouterr().out
        assert "the namespace has belonged to another store since" in await refused(task)
    async with working(copy):
        assert await asyncio.to_thread(program.run, ["store", "claim"]) == 0
        assert "the namespace has belonged to another store since" in await refused(
            worker.serve(original, ["journeys"], Deadline(1))
        )
