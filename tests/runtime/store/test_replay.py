"""A store that was restored from a backup gets from the journal what came in since, and no process uses it before."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import pytest
from pydantic import SecretStr
from temporalio.client import Client

from activities.journal import journal as module
from activities.journal.folder import FolderPlace
from activities.journal.journal import Journal
from activities.journal.replay import lacking, replay
from runtime.encryption.keyring import INDEX, Keyring, KeyWrapping
from runtime.errors import JournalUnavailable, SettingsError, StoreMismatch
from runtime.settings import Settings
from runtime.store import Closure, Store
from runtime.store.contact_keys import contact_keys
from runtime.store.journal import journal_outbox
from runtime.store.schema import StoredErasure
from scenario.policies.suppression import Suppression
from tests.factories import admission_request, present
from tests.fakes import ERASURE, RefusingService
from tests.runtime.store.conftest import both

NOW = datetime(2026, 3, 31, 8, 0, 0, 5, tzinfo=UTC)
KEY = b"k" * 32
UNSUB = Suppression("email", "ab" * 32, "unsub", NOW, "newsletter", "one click")
STOP = Suppression("sms", "cd" * 32, "stop", NOW)


@pytest.fixture
async def restored(tmp_path: Path) -> AsyncIterator[Store]:
    """A store that was restored from an empty backup."""
    async with Store.open(f"sqlite:///{tmp_path / 'restored.db'}") as opened:
        opened.sealing = Keyring(opened, None)
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def journal_of(store: Store, folder: Path, **given: Any) -> Journal:
    if store.sealing is None:
        store.sealing = Keyring(store, None)
    given = {"wrapping": KeyWrapping([KEY], "SCENARIO_SUPPRESSION_KEY"), "suppression_keys": ["current"], **given}
    return Journal(store, FolderPlace(folder), **given)


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


async def erase(store: Store, contact: str, identifier: str) -> StoredErasure:
    """Erase a contact, as the service does."""
    keyring = Keyring(store, None)
    wanted = replace(ERASURE, id=identifier, contact_id=contact, contact_hash=await keyring.name_of(contact))
    await keyring.destroy(contact)
    return await store.add_erasure(wanted)


async def position(store: Store) -> int:
    return present(await store.journal_state()).position


@both
async def test_what_came_in_after_the_backup_is_replayed(store: Store, restored: Store, folder: Path) -> None:
    journal = journal_of(store, folder)
    await journal.begin()
    await erase(store, "7", "e7")
    await store.suppress_many([UNSUB, STOP])
    await journal.deliver()
    await store.unsuppress("sms", [STOP.address_hash])
    await store.close_scenario(Closure("sale", NOW, "ann", "why"))
    await store.suppress(replace(STOP, source="custom", imported=True))
    await store.add_journal_entry("imported", {"file": "people.csv", "sha256": "ee"})
    await journal.deliver()
    assert await store.outbox(9) == (0, [])
    assert await position(store) == 6

    await restored.admit(admission_request(contact_id="7"))
    done = await replay(journal_of(restored, folder))
    assert (done.entries, done.erased, done.again, done.suppressed, done.unsuppressed, done.scenarios) == (
        6,
        1,
        1,
        2,
        1,
        1,
    )
    assert (done.imports, done.gaps, done.store_only) == (["people.csv (SHA-256 ee)"], [], 0)
    assert await restored.is_erased("7") is True
    again = present(await restored.stored_erasure("e7"))
    assert (again.contact_id, again.finished_at) == ("7", None)
    assert await restored.suppressed("email", [UNSUB.address_hash]) == [
        replace(UNSUB, evidence="replayed from the journal")
    ]
    assert await restored.suppressed("sms", [STOP.address_hash]) == []
    assert (await restored.closures()).keys() == {"sale"}
    assert await restored.outbox(9) == (0, [])
    assert await position(restored) == 6
    await journal_of(restored, folder).verify()
    assert (await replay(journal_of(restored, folder))).entries == 0


@both
async def test_a_restored_store_is_refused_until_the_journal_is_replayed(tmp_path: Path, store: Store, folder: Path):
    async with Store.open(f"sqlite:///{tmp_path / 'live.db'}") as live:
        journal = journal_of(live, folder)
        await journal.begin()
        await live.suppress(UNSUB)
        await journal.deliver()
    journal = journal_of(store, folder)
    with pytest.raises(StoreMismatch, match=r"lacks entries of its journal.*store claim --force"):
        await journal.begin()
    assert present(await store.journal_state()).behind is True
    for call in (journal.verify, journal.deliver):
        await store.add_journal_entry("imported", {})
        with pytest.raises(StoreMismatch):
            await call()
    await replay(journal)
    assert len(await store.suppressed("email", [UNSUB.address_hash])) == 1
    await journal.deliver()
    assert await position(store) == 3


async def test_entries_that_a_killed_process_has_written_are_no_difference(store: Store, folder: Path) -> None:
    journal = journal_of(store, folder)
    await journal.begin()
    await store.suppress_many([UNSUB, STOP])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "remove_from_outbox", AsyncMock(side_effect=OSError("killed")))
        patch.setattr(module, "TOGETHER", 1)
        with pytest.raises(OSError, match="killed"):
            await journal.deliver()
    assert await journal.place.last() == 1
    await journal_of(store, folder).begin()
    await journal.deliver()
    assert [(entry.number, entry.kind) async for entry in journal.entries()] == [(1, "suppressed"), (2, "suppressed")]


async def test_concurrent_processes_write_each_entry_once(store: Store, another: Store, folder: Path) -> None:
    journals = [journal_of(one, folder) for one in (store, another) for _ in range(3)]
    await journals[0].begin()
    for number in range(20):
        await store.suppress(replace(UNSUB, scope=f"list {number}"))
        await asyncio.gather(*(journal.deliver() for journal in journals))
    entries = [entry async for entry in journals[0].entries()]
    assert [entry.data["scope"] for entry in entries] == [f"list {number}" for number in range(20)]
    assert await position(store) == 20


async def test_the_last_entry_of_an_address_counts_whatever_the_clocks_say(
    store: Store, restored: Store, folder: Path
) -> None:
    clock = [NOW]
    journal = journal_of(store, folder, now=lambda: clock[0])
    await journal.begin()
    await store.suppress(UNSUB)
    await journal.deliver()
    clock[0] -= timedelta(days=40)  # the month before
    await store.unsuppress("email", [UNSUB.address_hash])
    await journal.deliver()
    done = await replay(journal_of(restored, folder))
    assert (done.suppressed, done.unsuppressed) == (1, 1)
    assert await restored.suppressed("email", [UNSUB.address_hash]) == []


async def test_a_change_of_the_backup_that_was_journaled_later_is_not_written_again(
    store: Store, restored: Store, folder: Path
) -> None:
    """Otherwise the address would be suppressed again by the next replay, although it was released since."""
    journal = journal_of(store, folder)
    await journal.begin()
    await store.suppress(UNSUB)
    [entry] = (await store.outbox(9))[1]
    await journal.deliver()
    await store.unsuppress("email", [UNSUB.address_hash])
    await journal.deliver()
    await restored.suppress(UNSUB)
    await restored._change(journal_outbox, journal_outbox.c.number > 0, id=entry.id)  # pyright: ignore[reportPrivateUsage]
    await replay(journal_of(restored, folder))
    assert await restored.outbox(9) == (0, [])
    assert await restored.suppressed("email", [UNSUB.address_hash]) == []


async def test_a_contact_without_data_stays_erased(store: Store, restored: Store, folder: Path) -> None:
    journal = journal_of(store, folder)
    await journal.begin()
    await erase(store, "7", "e7")
    await journal.deliver()
    done = await replay(journal_of(restored, folder))
    assert (done.erased, done.again) == (1, 0)
    assert present(await restored.stored_erasure("e7")).state == "finished"
    # The backup is older than the key of contacts' names: the journal has it.
    assert present(await restored.contact_key_of(INDEX)).key_id == present(await store.contact_key_of(INDEX)).key_id
    assert await restored.is_erased("7") is True
    text = files(folder)[0].read_text()
    assert present(await store.contact_key_of(INDEX)).wrapped_key not in text
    assert '"7"' not in text


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"suppression_keys": ["other"]}, "addresses under the key current, which is neither"),
        ({"wrapping": KeyWrapping([b"o" * 32], "SCENARIO_SUPPRESSION_KEY")}, "SCENARIO_SUPPRESSION_KEY lacks a key"),
    ],
)
async def test_a_missing_key_is_named_and_the_store_stays_refused(
    store: Store, restored: Store, folder: Path, given: dict[str, Any], sentence: str
) -> None:
    journal = journal_of(store, folder)
    await journal.begin()
    await erase(store, "7", "e7")
    await store.suppress(UNSUB)
    await journal.deliver()
    with pytest.raises(SettingsError, match=sentence):
        await replay(journal_of(restored, folder, **given))
    assert present(await restored.journal_state()).behind is True
    assert (await replay(journal_of(restored, folder))).entries == 2


async def test_the_journal_of_another_store_is_refused(store: Store, restored: Store, folder: Path) -> None:
    journal = journal_of(store, folder)
    await journal.begin()
    await erase(store, "7", "e7")
    await journal.deliver()
    await Keyring(restored, None).name_of("8")
    with pytest.raises(SettingsError, match="belongs to another store"):
        await replay(journal_of(restored, folder))


async def test_lost_entries_are_listed(store: Store, restored: Store, folder: Path, tmp_path: Path) -> None:
    journal = journal_of(store, folder)
    await journal.begin()
    for scope in ("a", "b", "c"):
        await store.suppress(replace(UNSUB, scope=scope))
        await journal.deliver()
    [file] = files(folder)
    first, _, third = file.read_text().splitlines()
    file.write_text(f"{first}\n{third}\n")
    assert (await replay(journal_of(restored, folder))).gaps == [(2, 2)]
    # The journal itself was lost: only the store has its entries, and another folder is no journal of it.
    file.write_text(f"{first}\n")
    await store.suppress(UNSUB)
    with pytest.raises(JournalUnavailable, match="ends at entry 1, and the store at 3"):
        await journal.deliver()
    with pytest.raises(JournalUnavailable, match="the store's journal is 'file:/"):
        await journal_of(store, tmp_path / "elsewhere").deliver()
    done = await replay(journal_of(store, tmp_path / "elsewhere"))
    assert (done.entries, done.store_only) == (0, 3)
    await journal_of(store, tmp_path / "elsewhere").deliver()
    assert await position(store) == 4


async def test_half_a_line_of_a_killed_process_is_ignored(store: Store, folder: Path) -> None:
    journal = journal_of(store, folder)
    await journal.begin()
    await store.suppress(UNSUB)
    await journal.deliver()
    [file] = files(folder)
    with file.open("a") as written:
        written.write('{"at":"2026-')
    await store.suppress(STOP)
    await journal.deliver()
    assert [entry.number async for entry in journal.entries()] == [1, 2]
    assert all(json.loads(line) for line in file.read_text().splitlines() if "last" in line)
    assert file.stat().st_mode & 0o777 == 0o600


async def test_months_beyond_the_retention_are_deleted(store: Store, folder: Path) -> None:
    clock = [NOW]
    journal = journal_of(store, folder, now=lambda: clock[0])
    await journal.begin()
    for days in (0, 30, 430, 435):
        clock[0] = NOW + timedelta(days=days)
        await store.suppress(replace(UNSUB, scope=str(days)))
        await journal.deliver()
    assert [file.name for file in files(folder)] == ["2026-04.jsonl", "2027-06.jsonl"]


async def test_an_erasure_waits_until_it_is_in_the_journal(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = journal_of(store, folder)
    await store.keep_journal(journal.place.name)
    await erase(store, "7", "e7")
    monkeypatch.setattr(module, "_LOOK", 0.01)
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    with pytest.raises(JournalUnavailable, match=r"recorded, but not in the journal yet.*No such file.*repeat"):
        await journal.confirm("e7")
    monkeypatch.setattr(module, "PATIENCE", 20.0)
    waiting = asyncio.create_task(journal.confirm("e7"))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await journal_of(store, folder).begin()  # by a worker
    await waiting
    assert [entry.id async for entry in journal.entries()] == ["e7"]
    await journal.confirm("e7")


@both
async def test_what_the_store_has_forgotten_is_counted_and_added_by_a_repair(store: Store, folder: Path) -> None:
    journal = journal_of(store, folder)
    await journal.begin()
    await erase(store, "7", "e7")
    await store.suppress_many([UNSUB, STOP, replace(UNSUB, scope="other")])
    await store.unsuppress("email", [UNSUB.address_hash], scope="other")
    await journal.deliver()
    await store.unsuppress("sms", [STOP.address_hash])  # not in the journal yet
    assert await lacking(journal, repair=False) == 0
    await store.mark_behind(journal.place.name)  # without triggers, as if rows were lost
    await store.unsuppress("email", [UNSUB.address_hash])
    await store._delete(contact_keys, contact_keys.c.owner != INDEX)  # pyright: ignore[reportPrivateUsage]
    await store.catch_up(journal.place.name, await position(store))
    for repair in (False, True):
        assert await lacking(journal, repair=repair) == 2
    assert await lacking(journal, repair=False) == 0
    assert await store.is_erased("7") is True
    assert len(await store.suppressed("email", [UNSUB.address_hash])) == 1
    assert await store.suppressed("sms", [STOP.address_hash]) == []


async def test_a_journal_that_was_skipped_does_not_stop_the_store(store: Store, restored: Store, folder: Path) -> None:
    journal = journal_of(store, folder)
    await journal.begin()
    await store.suppress(UNSUB)
    await journal.deliver()
    later = journal_of(restored, folder)
    with pytest.raises(StoreMismatch):
        await later.begin()
    await later.begin_anew()
    assert (await position(restored), await restored.suppressed("email", [UNSUB.address_hash])) == (1, [])
    await later.begin()


async def test_a_journal_outside_temporal_needs_a_key(store: Store, folder: Path) -> None:
    client = Client(RefusingService())
    with pytest.raises(SettingsError, match="needs a key that protects what it holds: set SCENARIO_ENCRYPTION_KEYS or"):
        Journal.configured(Settings(journal=f"file:{folder}"), client, store)
    key = SecretStr(base64.b64encode(KEY).decode())
    made = Journal.configured(Settings(journal=f"file:{folder}", suppression_key=key), client, store)
    assert (made.place.name, len(made.suppression_keys)) == (f"file:{folder}", 1)
    assert Journal.configured(Settings(), client, store).place.name == "namespace"
