"""Contacts' keys are wrapped anew; what they have encrypted stays as it is."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from runtime.encryption import keyring, rotation
from runtime.encryption.keyring import Keyring
from runtime.encryption.opening import check_keys
from runtime.encryption.rotation import rotate
from runtime.encryption.wrapping import Wrapping
from runtime.errors import SettingsError
from runtime.store import Store

OLD, NEW = b"o" * 32, b"n" * 32


async def test_the_old_key_is_needed_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "_TOGETHER", 3)
    async with Store.open(f"sqlite:///{tmp_path / 'store.db'}") as store:
        old = Keyring(store, Wrapping([OLD]))
        sealed = [await old.seal(str(contact), f"text {contact}") for contact in range(7)]
        await old.destroy("6")
        with pytest.raises(SettingsError, match="lacks a key"):
            await rotate(store, Wrapping([NEW]))
        with pytest.raises(SettingsError, match="lacks a key"):
            await check_keys(Keyring(store, Wrapping([NEW])), store)
        both = Wrapping([NEW, OLD])
        assert await rotate(store, both) == (7, 0)  # six contacts, and what contacts are known by
        assert await rotate(store, both) == (0, 7)
        new = Keyring(store, Wrapping([NEW]))
        assert [await new.unseal(text or "") for text in sealed] == [*(f"text {n}" for n in range(6)), None]
        assert (await new.key_of("5")).id == (await old.key_of("5")).id


async def test_contacts_that_were_erased_before_anything_was_encrypted_stay_so(tmp_path: Path) -> None:
    async with Store.open(f"sqlite:///{tmp_path / 'store.db'}") as store:
        bare = Keyring(store, None)
        await bare.destroy("1")
        await check_keys(bare, store)
        assert (await bare.is_erased("1"), await bare.is_erased("2")) == (True, False)
        assert await bare.seal("2", "in clear") == "in clear"
        assert await rotate(store, Wrapping([NEW])) == (1, 0)
        later = Keyring(store, Wrapping([NEW]))
        await check_keys(later, store)
        with pytest.raises(SettingsError, match="the store has keys of contacts"):
            await check_keys(bare, store)
        assert (await later.is_erased("1"), await later.is_erased("2")) == (True, False)


async def test_who_has_the_wrong_keys_wraps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = itertools.count()
    monkeypatch.setattr(keyring, "_identifier", lambda: f"{next(numbers):032x}")  # what contacts are known by is first
    async with Store.open(f"sqlite:///{tmp_path / 'store.db'}") as store:
        await Keyring(store, None).destroy("1")
        ring = Keyring(store, Wrapping([OLD]))
        await ring.key_of("2")
        before = await store.wrapped_keys()
        with pytest.raises(SettingsError, match="lacks a key"):
            await rotate(store, Wrapping([NEW]))
        assert await store.wrapped_keys() == before
