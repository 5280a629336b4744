"""A store that was restored from a backup forgets neither erasures nor unsubscriptions."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import AsyncMock

import pytest
from pydantic import SecretStr

import worker
from activities.journal import journal as journal_module
from activities.journal import namespace as namespace_module
from activities.journal.journal import Journal
from activities.journal.namespace import NamespacePlace
from activities.journal.replay import replay
from authoring.publishing import publish
from cli import program
from gateway import serving
from gateway.serving import Parts
from runtime.derived_keys import AddressHashes
from runtime.errors import JournalUnavailable
from runtime.local.receiver import Inbox
from runtime.process.shutdown import Deadline
from runtime.settings import Settings
from runtime.store import Store
from scenario.policies.suppression import Suppression
from service.client import ScenarioClient
from service.errors import NotEntered
from tests.e2e.conftest import Server, entry
from tests.e2e.test_store_identity import KEY, SCENARIO, copy_store, refused, settings_of, working
from tests.factories import present

AT = datetime(2026, 3, 31, 8, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _hasty(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in server.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(journal_module, "EVERY", 0.2)


def suppression(address: str) -> Suppression:
    return Suppression("email", hashes().of("email", address)[0], "unsub", AT)


def hashes() -> AddressHashes:
    return present(AddressHashes.configured(Settings(suppression_key=SecretStr(KEY))))


@pytest.mark.parametrize("place", ["namespace", "file"])
async def test_a_dump_is_restored_after_an_erasure_and_an_unsubscription(
    inbox: Inbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    place: str,
) -> None:
    if place == "file":
        monkeypatch.setenv("SCENARIO_JOURNAL", f"file:{tmp_path / 'journal'}")
    file, dump = tmp_path / "store.db", tmp_path / "dump.db"
    settings = settings_of(file, inbox)
    scenario = tmp_path / "hello.yaml"
    scenario.write_text(SCENARIO, "utf-8")
    async with Store.open(settings.store.get_secret_value()) as store:
        await publish(scenario, store)
    async with working(settings), ScenarioClient.open(settings) as client:
        entered = await client.enter(entry("hello", 1, email="1@example.com"))
        assert (await entered.result())["outcome"] == "finished"
        await client.store.suppress(suppression("3@example.com"))
        while (await client.store.outbox(9))[1]:
            await asyncio.sleep(0.05)
        copy_store(file, dump)
        erased = await client.erase("1", operator="ann", reason="request")
        assert (await client.store.outbox(9))[1] == []  # it was in the journal before the answer
        await client.store.suppress(suppression("2@example.com"))
        await client.store.unsuppress("email", [suppression("3@example.com").address_hash])
        while (await client.store.outbox(9))[1]:
            await asyncio.sleep(0.05)

    copy_store(dump, file)  # into the same file: the tokens match, so only the journal shows that it is a backup
    monkeypatch.setenv("SCENARIO_STORE", settings.store.get_secret_value())
    monkeypatch.setenv("SCENARIO_SUPPRESSION_KEY", KEY)
    for said in (
        await refused(worker.serve(settings, ["journeys", "email"], Deadline(1))),
        await refused(serving.serve(settings, "127.0.0.1", 0, Parts(api=True))),
        await refused(ScenarioClient.open(settings).__aenter__()),
    ):
        assert "lacks entries of its journal, such as erasures and unsubscriptions" in said
    capsys.readouterr()
    arguments = ["store", "claim", "--force", "--reason", "the disk was lost", "--operator", "ann"]
    assert await asyncio.to_thread(program.run, arguments) == 0
    said = capsys.readouterr().out
    assert "added 3 entries of the journal" in said
    assert "1 erased contacts, 1 suppressions, 1 removed suppressions" in said
    assert "1 of the erased contacts are in the store: workers erase them again" in said

    async with working(settings), ScenarioClient.open(settings) as client:
        with pytest.raises(NotEntered, match="the contact was erased"):
            await client.enter(entry("hello", 1, email="1@example.com"))
        for number, outcome in ((2, 0), (3, 1)):
            before = len(inbox.messages())
            entered = await client.enter(entry("hello", number, email=f"{number}@example.com"))
            assert (await entered.result())["outcome"] == "finished"
            assert len(inbox.messages()) - before == outcome
        assert await asyncio.to_thread(program.run, ["store", "reconcile"]) == 0
        while present(await client.store.stored_erasure(present(erased.id))).state == "requested":
            await asyncio.sleep(0.1)


async def test_the_namespace_keeps_a_journal_that_is_longer_than_a_history(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(namespace_module, "LONGEST", 6)
    client = await server.connect()
    async with Store.open(f"sqlite:///{tmp_path / 'live.db'}") as store:
        clock = [datetime.now(UTC)]
        journals = [Journal(store, NamespacePlace(client), now=lambda: clock[0]) for _ in range(2)]
        assert await journals[0].place.last() == 0
        await journals[0].begin()
        for number in range(12):
            if number == 9:  # a clock that is a month ahead, and then right again
                clock[0] += timedelta(days=31)
            if number == 10:
                clock[0] -= timedelta(days=31)
            await store.suppress(suppression(f"{number}@example.com"))
            await journals[number % 2].deliver()
            assert [await journal.place.last() for journal in journals] == [number + 1] * 2
        assert [entry.number async for entry in journals[0].entries()] == [*range(1, 13)]
        assert len(await NamespacePlace(client).workflows()) == 3
    async with Store.open(f"sqlite:///{tmp_path / 'restored.db'}") as restored:
        done = await replay(Journal(restored, NamespacePlace(client)))
        assert (done.suppressed, done.gaps) == (12, [])


async def test_an_erasure_that_the_journal_does_not_have_is_not_acknowledged(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "PATIENCE", 0.2)
    monkeypatch.setattr(journal_module, "_LOOK", 0.05)
    settings = Settings(store=SecretStr(f"sqlite:///{tmp_path / 'store.db'}"), suppression_key=SecretStr(KEY))
    async with Store.open(settings.store.get_secret_value()):
        pass
    async with ScenarioClient.open(settings) as client:
        with monkeypatch.context() as patch:
            patch.setattr(NamespacePlace, "append", AsyncMock(side_effect=JournalUnavailable("it is away")))
            with pytest.raises(JournalUnavailable, match=r"recorded, but not in the journal yet.*\(it is away\)"):
                await client.erase("1", operator="ann", reason="request")
        assert await client.store.is_erased("1") is True
        again = await client.erase("1", operator="ann", reason="request")
        assert [one.id async for one in Journal(client.store, NamespacePlace(client.temporal)).entries()] == [again.id]
