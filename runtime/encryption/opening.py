"""Encryption of a process: from its settings and its store."""

from __future__ import annotations

from runtime.encryption.keyring import Keyring
from runtime.encryption.wrapping import Wrapping
from runtime.settings import Settings
from runtime.store import Store


def keyring_of(settings: Settings, store: Store) -> Keyring | None:
    """The keys of contacts, by which the store then encrypts what it keeps; None where nothing is to be encrypted.

    Raises:
        SettingsError: The setting cannot be used.
    """
    wrapping = Wrapping.configured(settings)
    keys = None if wrapping is None else Keyring(store, wrapping)
    store.sealing = keys
    return keys
