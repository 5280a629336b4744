"""Encryption of a process: from its settings and its store."""

from __future__ import annotations

from runtime.encryption.keyring import Keyring
from runtime.encryption.wrapping import Wrapping
from runtime.settings import Settings
from runtime.store import Store


def keyring_of(settings: Settings, store: Store) -> Keyring:
    """The keys of contacts, by which the store then encrypts what it keeps, where something is to be encrypted.

    Raises:
        SettingsError: The setting cannot be used.
    """
    keys = store.sealing = Keyring(store, Wrapping.configured(settings))
    return keys
