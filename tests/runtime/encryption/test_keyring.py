"""Keys of contacts: made once, wrapped anew with other keys, remembered for a while, destroyed for good."""

from __future__ import annotations

import asyncio
import base64
import itertools
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from pydantic import SecretStr

from runtime.encryption import codec, keyring
from runtime.encryption.codec import EXPIRES, check_keys, keyring_of, recording_keys, rotate
from runtime.encryption.keyring import REMEMBERED, Erased, Keyring, KeyWrapping, UnknownKey
from runtime.errors import SettingsError, StoreUnavailable
from runtime.settings import Settings
from runtime.store import Store
from runtime.store.contact_keys import WrappedKey
from tests.factories import present


def content(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


OLD, NEW = b"o" * 32, b"n" * 32


@pytest.fixture
def keys(store: Store) -> Keyring:
    return Keyring(store, KeyWrapping([OLD]))


def test_entries_in_plain_text_are_refused_with_encryption_only(store: Store) -> None:
    with pytest.raises(SettingsError, match="would refuse every entry without encryption"):
        keyring_of(Settings(plain_entries="refuse"), store)
    encrypting = SecretStr(base64.b64encode(OLD).decode())
    assert keyring_of(Settings(plain_entries="refuse", encryption_keys=encrypting), store).encrypts


async def test_a_contact_has_one_key_in_every_process_also_where_both_ask_at_once(store: Store) -> None:
    rings = [Keyring(store, KeyWrapping([OLD])) for _ in range(5)]
    made = await asyncio.gather(*(ring.key_of("3028687") for ring in rings))
    assert len({key.id for key in made}) == 1
    sealed = made[0].encrypt(b"hello")
    assert (await Keyring(store, KeyWrapping([OLD])).key(made[0].id)).decrypt(sealed) == b"hello"
    assert [key.decrypt(sealed) for key in made] == [b"hello"] * 5


async def test_contacts_have_different_keys_and_what_is_nobodys_has_one(keys: Keyring) -> None:
    identifiers = [(await keys.key_of(contact)).id for contact in ("1", "2", None, None, "1")]
    assert identifiers[0] == identifiers[4] != identifiers[1]
    assert identifiers[2] == identifiers[3]


async def test_the_store_holds_neither_the_contacts_id_nor_the_key(keys: Keyring, tmp_path: Path) -> None:
    await keys.key_of("contact-3028687")
    assert b"contact-3028687" not in await asyncio.to_thread(content, tmp_path)


async def test_a_destroyed_key_is_gone_and_no_other_is_made(store: Store, keys: Keyring) -> None:
    key = await keys.key_of("1")
    await keys.destroy("1")
    for ring in (keys, Keyring(store, KeyWrapping([OLD]))):
        with pytest.raises(Erased, match="the contact was erased"):
            await ring.key_of("1")
        with pytest.raises(Erased):
            await ring.key(key.id)
        assert await ring.is_erased("1")
    assert not await keys.is_erased("2")
    for _ in range(2):
        await keys.destroy("3")  # which has no key
    with pytest.raises(Erased):
        await keys.key_of("3")
    row = present(await store.contact_key(key.id))
    assert row.wrapped_key == ""


class Away:
    """A store that can be away or another, and counts what it is asked."""

    def __init__(self, store: Store) -> None:
        self.store, self.away, self.asked = store, False, 0

    def __getattr__(self, name: str) -> Any:
        self.asked += 1
        if self.away:
            raise StoreUnavailable("nothing listens there")
        return getattr(self.store, name)


Row = TypeVar("Row")


class Late:
    """A store that answers some turns of the loop after it has looked."""

    def __init__(self, chance: random.Random) -> None:
        self.rows: dict[str, WrappedKey] = {}
        self.chance = chance

    async def contact_key_of(self, contact: str) -> WrappedKey | None:
        return await self._answer(self.rows.get(contact))

    async def add_contact_key(self, key: WrappedKey) -> WrappedKey:
        return await self._answer(self.rows.setdefault(key.owner, key))

    async def _answer(self, row: Row) -> Row:
        for _ in range(self.chance.randrange(6)):
            await asyncio.sleep(0)
        return row


@pytest.mark.parametrize("seed", range(10))
async def test_who_asks_while_others_make_the_first_keys_gets_the_same(seed: int) -> None:
    late: Any = Late(random.Random(seed))
    ring = Keyring(late, KeyWrapping([OLD]))
    made = await asyncio.gather(*(ring.key_of(contact) for contact in ("1", "2", None) * 7))
    assert len({key.id for key in made}) == 3
    assert len(late.rows) == 4


async def test_no_key_is_made_in_another_store_than_it_was(store: Store) -> None:
    """Where a name in the network leads to another database: journeys go on in memory, for some time."""
    now, away = 0.0, Away(store)
    leads: Any = away
    ring = Keyring(leads, KeyWrapping([OLD]), clock=lambda: now)
    await ring.key_of("1")
    async with Store.open("sqlite:///:memory:") as other:
        away.store, now = other, REMEMBERED
        for contact in ("1", "2"):
            with pytest.raises(UnknownKey, match="names another store"):
                await ring.key_of(contact)
        with pytest.raises(UnknownKey, match="names another store"):
            await ring.destroy("1")
        assert await other.wrapped_keys() == []
        await Keyring(other, KeyWrapping([OLD])).key_of("1")
        with pytest.raises(UnknownKey, match="names another store"):
            await ring.key_of("2")
    async with Store.open("sqlite:///:memory:") as copy_of_before:
        [index] = [row for row in await store.wrapped_keys() if row.owner == "index"]
        await copy_of_before.add_contact_key(index)
        away.store = copy_of_before
        with pytest.raises(UnknownKey, match="names another store"):
            await ring.key_of("1")
    away.store = store
    again = Keyring(store, KeyWrapping([OLD]))
    for contact in ("1", "2"):
        assert (await ring.key_of(contact)).id == (await again.key_of(contact)).id


async def test_what_was_decrypted_by_its_keys_id_is_answered_without_asking_the_store_again(store: Store) -> None:
    identifier = (await Keyring(store, KeyWrapping([OLD])).key_of("1")).id
    asked: Any = Away(store)
    ring = Keyring(asked, KeyWrapping([OLD]))
    await ring.name_of("")
    before = asked.asked
    assert await ring.key(identifier) is await ring.key_of("1")
    assert asked.asked == before + 1


async def test_keys_that_are_known_serve_while_the_store_is_away(store: Store) -> None:
    now = 0.0
    away: Any = Away(store)
    ring = Keyring(away, KeyWrapping([OLD]), clock=lambda: now)
    known, nobodys = await ring.key_of("1"), await ring.key_of(None)
    now, away.away = 10 * REMEMBERED, True
    assert [await ring.key_of("1"), await ring.key(known.id), await ring.key_of(None)] == [known, known, nobodys]
    for unknown in (ring.key_of("2"), ring.key("another")):
        with pytest.raises(StoreUnavailable):
            await unknown


@pytest.mark.parametrize("by_id", [True, False])
async def test_a_key_that_is_known_to_be_destroyed_does_not_serve_while_the_store_is_away(
    store: Store, keys: Keyring, by_id: bool
) -> None:
    now = 0.0
    away: Any = Away(store)
    ring = Keyring(away, KeyWrapping([OLD]), clock=lambda: now)
    known = await ring.key_of("1")
    await keys.destroy("1")
    now = REMEMBERED - 1
    assert await ring.key_of("1") == known, "another process learns of it within a minute"
    now = REMEMBERED
    with pytest.raises(Erased):
        await (ring.key(known.id) if by_id else ring.key_of("1"))
    away.away = True
    for gone in (ring.key(known.id), ring.key_of("1")):
        with pytest.raises(StoreUnavailable):
            await gone


async def test_a_new_key_of_the_settings_reads_what_the_one_before_wrapped(store: Store, keys: Keyring) -> None:
    key = await keys.key_of("1")
    both = Keyring(store, KeyWrapping([NEW, OLD]))
    assert (await both.key_of("1")).id == key.id
    with pytest.raises(SettingsError, match="SCENARIO_ENCRYPTION_KEYS lacks a key"):
        await Keyring(store, KeyWrapping([NEW])).key_of("1")


async def test_what_is_damaged_or_from_elsewhere_is_said(store: Store, keys: Keyring) -> None:
    key = await keys.key_of("1")
    with pytest.raises(UnknownKey, match="damaged"):
        key.decrypt(key.encrypt(b"hello")[:-1] + b"x")
    with pytest.raises(UnknownKey, match="damaged"):
        key.decrypt(b"")
    with pytest.raises(UnknownKey, match="another store"):
        await keys.key("0" * 32)
    row = present(await store.contact_key(key.id))
    before = row.wrapped_key
    for damaged in (before[:-8] + "AAAAAAA=", before[:-9]):
        await store.rewrap(key.id, before, damaged)
        with pytest.raises(SettingsError, match="damaged: restore it from a backup"):
            await Keyring(store, KeyWrapping([OLD])).key(key.id)
        before = damaged


async def test_a_text_is_sealed_for_the_store_and_opened(store: Store, keys: Keyring) -> None:
    sealed = present(await keys.seal("1", "Zoé said yes"))
    assert "Zoé" not in sealed
    assert await keys.unseal(sealed) == "Zoé said yes"
    looks_sealed = f"e1.{'0' * 32}.AAAA"  # what a receiver has answered, before anything was encrypted
    for text in ("in clear", looks_sealed):
        assert [await ring.unseal(text) for ring in (keys, Keyring(store, None))] == [text, text]
    with pytest.raises(UnknownKey, match="set the workers' SCENARIO_ENCRYPTION_KEYS here"):
        await Keyring(store, None).unseal(sealed)
    await keys.destroy("1")
    assert await keys.unseal(sealed) is None
    assert await keys.seal("1", "more") is None


def test_the_settings_give_keys_or_a_file_with_them(tmp_path: Path) -> None:
    assert KeyWrapping.configured(Settings()) is None
    texts = [base64.b64encode(key).decode() for key in (NEW, OLD)]
    path = tmp_path / "keys"
    # As editors write it: with a byte order mark, comments, blank lines and other line ends.
    path.write_bytes(f"\ufeff# la clé de novembre\r\n{texts[0]} # in use\r\n\r\n{texts[1]},\r\n".encode())
    by_file = KeyWrapping.configured(Settings(encryption_keys_file=path))
    by_value = KeyWrapping.configured(Settings(encryption_keys=",".join(texts)))
    assert by_file is not None
    assert by_value is not None
    assert by_file.names == by_value.names
    assert texts[0] not in repr(by_file)
    with pytest.raises(SettingsError, match="SCENARIO_ENCRYPTION_KEYS_FILE lacks a key"):
        by_file.open(KeyWrapping([b"l" * 32]).close(b"", ""), "")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"# one\n\nsecret-but-short", ", line 3: must be a key in base64, of at least 32 random bytes"),
        (b"# none yet\n", " names a file without a key"),
        ("secret".encode("utf-16"), " must name a text file in UTF-8"),
    ],
)
def test_a_file_that_holds_no_keys_is_said(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "keys"
    path.write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        KeyWrapping.configured(Settings(encryption_keys_file=path))
    assert str(caught.value).startswith(f"SCENARIO_ENCRYPTION_KEYS_FILE{said}")
    assert "secret" not in str(caught.value)


async def test_the_old_key_is_needed_no_more(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "_TOGETHER", 3)
    old = Keyring(store, KeyWrapping([OLD]))
    sealed = [await old.seal(str(contact), f"text {contact}") for contact in range(7)]
    await old.destroy("6")
    with pytest.raises(SettingsError, match="lacks a key"):
        await rotate(store, KeyWrapping([NEW]))
    with pytest.raises(SettingsError, match="lacks a key"):
        await check_keys(Keyring(store, KeyWrapping([NEW])), store)
    both = KeyWrapping([NEW, OLD])
    assert await rotate(store, both) == (7, 0)  # six contacts, and what contacts are known by
    assert await rotate(store, both) == (0, 7)
    new = Keyring(store, KeyWrapping([NEW]))
    assert [await new.unseal(text or "") for text in sealed] == [*(f"text {n}" for n in range(6)), None]
    assert (await new.key_of("5")).id == (await old.key_of("5")).id


async def test_contacts_that_were_erased_before_anything_was_encrypted_stay_so(store: Store) -> None:
    bare = Keyring(store, None)
    await bare.destroy("1")
    await check_keys(bare, store)
    assert (await bare.is_erased("1"), await bare.is_erased("2")) == (True, False)
    assert await bare.seal("2", "in clear") == "in clear"
    assert await rotate(store, KeyWrapping([NEW])) == (1, 0)
    later = Keyring(store, KeyWrapping([NEW]))
    await check_keys(later, store)
    with pytest.raises(SettingsError, match="the store has keys of contacts"):
        await check_keys(bare, store)
    assert (await later.is_erased("1"), await later.is_erased("2")) == (True, False)


async def test_who_has_the_wrong_keys_wraps_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = itertools.count()
    monkeypatch.setattr(keyring, "_identifier", lambda: f"{next(numbers):032x}")  # what contacts are known by is first
    await Keyring(store, None).destroy("1")
    ring = Keyring(store, KeyWrapping([OLD]))
    await ring.key_of("2")
    before = await store.wrapped_keys()
    with pytest.raises(SettingsError, match="lacks a key"):
        await rotate(store, KeyWrapping([NEW]))
    assert await store.wrapped_keys() == before


async def test_nothing_is_wrapped_while_a_running_process_lacks_the_newest_key(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codec, "EVERY", 0.0)
    old, both = Keyring(store, KeyWrapping([OLD])), KeyWrapping([NEW, OLD])
    await old.key_of("1")
    before = await store.wrapped_keys()
    async with recording_keys(Keyring(store, both), store, "gateway"), recording_keys(old, store, "worker"):
        with pytest.raises(SettingsError, match=r"1 running processes .* such as the worker on .* Restart them"):
            await rotate(store, both)
        assert await store.wrapped_keys() == before
    async with recording_keys(Keyring(store, both), store, "gateway"):
        assert await rotate(store, both) == (2, 0)


async def test_a_process_that_was_killed_counts_for_a_while(store: Store) -> None:
    now = datetime.now(UTC)
    for seconds, left in ((-1, ["a"]), (1, ["a", "b"])):
        await store.hold_keys("a", ["k"], now=now, expires_at=now + EXPIRES)
        await store.hold_keys("b", [], now=now, expires_at=now + timedelta(seconds=seconds))
        assert [holder.process for holder in await store.key_holders(now)] == left


async def test_a_failure_does_not_end_the_telling(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(codec, "EVERY", 0.0)
    hold, calls = store.hold_keys, 0
    again = asyncio.Event()

    async def away(*given: Any, **more: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise StoreUnavailable("away")
        if calls == 3:
            raise RuntimeError("a mistake in the program")
        await hold(*given, **more)
        if calls > 3:
            again.set()

    monkeypatch.setattr(store, "hold_keys", away)
    async with recording_keys(Keyring(store, None), store, "worker"):
        await asyncio.wait_for(again.wait(), 30)
    assert await store.key_holders(datetime.now(UTC)) == []
    assert [record.getMessage() for record in caplog.records] == [
        "the encryption keys of this process cannot be recorded in the store: away",
        "the encryption keys of this process cannot be recorded in the store",
    ]
