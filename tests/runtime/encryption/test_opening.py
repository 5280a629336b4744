"""Contacts' keys are wrapped anew; what they have encrypted stays as it is."""

from __future__ import annotations

import asyncio
import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from runtime.encryption import keyring, opening
from runtime.encryption.keyring import Keyring, KeyWrapping
from runtime.encryption.opening import EXPIRES, check_keys, recording_keys, rotate
from runtime.errors import SettingsError, StoreUnavailable
from runtime.store import Store

OLD, NEW = b"o" * 32, b"n" * 32


async def test_the_old_key_is_needed_no_more(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "_TOGETHER", 3)
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
    monkeypatch.setattr(opening, "EVERY", 0.0)
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
    monkeypatch.setattr(opening, "EVERY", 0.0)
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
