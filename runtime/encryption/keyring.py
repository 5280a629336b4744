"""The encryption keys of contacts, created on demand, cached for a minute, and stored wrapped.

The store identifies a contact by an HMAC of its id, under a key that is itself stored wrapped, so the settings' keys
can be rotated. Data of no contact, such as the name of a campaign, has one shared key.

The keys of SCENARIO_ENCRYPTION_KEYS wrap by AES-256-GCM (NIST SP 800-38D) with a random nonce, bound to the id of the
wrapped key, so that keys of two rows cannot be exchanged. A wrapped key names its wrapping key by the start of that
key's SHA-256, so that a missing key is reported.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import SecretStr

from runtime.derived_keys import derive_key
from runtime.errors import SettingsError, SetupError, StoreUnavailable
from runtime.settings import MIN_KEY, Settings, parse_keys
from runtime.store.contact_keys import ContactKeys, WrappedKey
from runtime.store.erasures import ERASED

NONCE: Final = 12  # bytes of a nonce (NIST SP 800-38D §8.2.2)
_FORM: Final = re.compile(r"w1\.([0-9a-f]{8})\.([A-Za-z0-9_=-]{16,})", re.ASCII)


def read_plain(text: str) -> bytes | None:
    """Return the key in an unwrapped text (the index key, without encryption), or None if it is wrapped."""
    return base64.urlsafe_b64decode(text[3:]) if text.startswith("p1.") else None


def plain_text(key: bytes) -> str:
    """Return the text of an unwrapped key."""
    return f"p1.{base64.urlsafe_b64encode(key).decode()}"


class KeyWrapping:
    """Wraps and unwraps keys."""

    def __init__(self, keys: Sequence[bytes], setting: str = "SCENARIO_ENCRYPTION_KEYS") -> None:
        self._setting = setting
        derivatives = [derive_key(key, "contact keys") for key in keys]
        self._ciphers = {hashlib.sha256(key).hexdigest()[:8]: AESGCM(key) for key in derivatives}
        self.names = list(self._ciphers)  # names of the keys, the newest first. They reveal nothing of the keys
        self._newest = self.names[0]

    @classmethod
    def configured(cls, settings: Settings) -> Self | None:
        """Return the settings' wrapping, or None without encryption keys."""
        if settings.encryption_keys is not None:
            return cls(parse_keys(settings.encryption_keys))
        path, setting = settings.encryption_keys_file, "SCENARIO_ENCRYPTION_KEYS_FILE"
        return cls(_keys_of(path, setting), setting) if path is not None else None

    def close(self, key: bytes, name: str) -> str:
        """Wrap the key with an id."""
        nonce = secrets.token_bytes(NONCE)
        sealed = nonce + self._ciphers[self._newest].encrypt(nonce, key, name.encode())
        return f"w1.{self._newest}.{base64.urlsafe_b64encode(sealed).decode()}"

    def open(self, text: str, name: str) -> bytes:
        """Unwrap the key with an id. Raise SettingsError if the key that wrapped it is missing, or is another."""
        found = _FORM.fullmatch(text)
        cipher = self._ciphers.get(found[1]) if found else None
        if found is None or cipher is None:
            which = f" ({found[1]})" if found else ""
            raise SettingsError(
                f"{self._setting} lacks a key{which} that wraps keys of contacts: add it after the others"
            )
        try:
            sealed = base64.urlsafe_b64decode(found[2])
            return cipher.decrypt(sealed[:NONCE], sealed[NONCE:], name.encode())
        except (InvalidTag, ValueError):
            raise SettingsError("a contact's key in the store is damaged: restore it from a backup") from None

    def is_current(self, text: str) -> bool:
        """Return True if a text is wrapped by the current key."""
        found = _FORM.fullmatch(text)
        return found is not None and found[1] == self._newest


def _keys_of(path: Path, setting: str) -> list[bytes]:
    """Read a file with one or, separated by commas, several keys on a line, and comments after #."""
    try:
        text = path.read_text("utf-8-sig")  # some editors write a byte order mark
    except OSError:
        raise SettingsError(f"{setting} cannot be read: check its permissions") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{setting} must name a text file in UTF-8: this one is something else") from None
    keys: list[bytes] = []
    for number, line in enumerate(text.splitlines(), 1):
        for word in re.findall(r"[^\s,]+", line.partition("#")[0]):
            keys += parse_keys(SecretStr(word))
            if len(keys[-1]) < MIN_KEY:
                raise SettingsError(
                    f"{setting}, line {number}: must be a key in base64, of at least {MIN_KEY} random bytes, as "
                    "`openssl rand -base64 32` writes it"
                )
    if not keys:
        raise SettingsError(f"{setting} names a file without a key: write one that `openssl rand -base64 32` makes")
    return keys


REMEMBERED: Final = 20.0
"""Seconds that a key is cached after it was destroyed elsewhere. While the store is unavailable, cached keys stay in
use, since none can be destroyed either.
"""
_KEPT: Final = 20_000  # keys
_SHARED: Final = "shared"
INDEX: Final = "index"
"""Names of the keys that belong to no contact. An HMAC is longer."""
_SEALED: Final = re.compile(r"e1\.([0-9a-f]{32})\.([A-Za-z0-9_=-]+)", re.ASCII)


class Erased(Exception):
    """Something is to be encrypted for a contact that was erased, or was encrypted for one."""

    def __init__(self) -> None:
        super().__init__(ERASED)


class UnknownKey(SetupError):
    """Something was encrypted by a key that is not in this store."""


@dataclass(frozen=True)
class DataKey:
    """A key that encrypts; encrypted data carries its id."""

    id: str
    _cipher: AESGCM = field(repr=False)

    def encrypt(self, data: bytes) -> bytes:
        """Encrypt under a random nonce, which precedes the result.

        A contact's key encrypts far fewer than 2^32 messages (NIST SP 800-38D §8.3).
        """
        nonce = secrets.token_bytes(NONCE)
        return nonce + self._cipher.encrypt(nonce, data, self.id.encode())

    def decrypt(self, data: bytes) -> bytes:
        try:
            return self._cipher.decrypt(data[:NONCE], data[NONCE:], self.id.encode())
        except (InvalidTag, ValueError):
            raise UnknownKey("encrypted data is damaged, or was encrypted elsewhere") from None


_Cache = OrderedDict[str, tuple[float, DataKey]]  # with the time at which each was read


class Keyring:
    """The keys of contacts. Without wrapping, encryption is not configured: it then only knows the erased contacts."""

    def __init__(
        self, store: ContactKeys, wrapping: KeyWrapping | None, *, clock: Callable[[], float] = monotonic
    ) -> None:
        self._store, self._wrapping, self._clock = store, wrapping, clock
        self.encrypts = wrapping is not None
        self.wrapping_keys = wrapping.names if wrapping is not None else []  # names of the settings' keys
        self._by_id, self._of = _Cache(), _Cache()
        self._index: bytes = b""
        self._index_id = ""

    async def key_of(self, contact: str | None) -> DataKey:
        """Return a contact's key, created if there is none, or the shared key for None."""
        return await self._cached(self._of, _SHARED if contact is None else await self.name_of(contact), self._kept)

    async def key(self, identifier: str) -> DataKey:
        return await self._cached(self._by_id, identifier, self._stored)

    async def is_erased(self, contact: str) -> bool:
        row = await self._row_of(contact)
        return row is not None and row.destroyed_at is not None

    async def erased(self, contacts: Collection[str]) -> dict[str, str]:
        """Return the erased ones of these contacts with their names in the store."""
        if not await self._knows_any():
            return {}
        names = {await self.name_of(contact): contact for contact in contacts}
        return {names[name]: name for name in await self._store.destroyed(names)}

    async def has(self, contact: str) -> bool:
        row = await self._row_of(contact)
        return row is not None and row.destroyed_at is None

    async def holds(self, identifier: str) -> bool:
        """Return True if the store has a key with this id, even if it is unusable here."""
        return await self._store.contact_key(identifier) is not None

    async def destroy(self, contact: str) -> None:
        """Destroy a contact's key irrevocably: nothing it has encrypted can be decrypted any longer.

        Earlier copies of the store still have it, wrapped: see `rotate`. Other processes may cache it for `REMEMBERED`
        seconds.
        """
        now = datetime.now(UTC)
        row = WrappedKey(_identifier(), await self.name_of(contact), "", now, now)
        await self._check_store(known=False)
        await self._store.destroy_contact_key(row)
        self._of.pop(row.owner, None)
        self._by_id.clear()

    async def seal(self, contact: str | None, text: str) -> str | None:
        """Encrypt a text for the store, if encryption is configured. Return None if the contact was erased.

        Without a contact, the shared key encrypts, which outlives every contact.
        """
        if not self.encrypts:
            return text
        try:
            key = await self.key_of(contact)
        except Erased:
            return None
        return f"e1.{key.id}.{base64.urlsafe_b64encode(key.encrypt(text.encode())).decode()}"

    async def unseal(self, text: str) -> str | None:
        """Decrypt a text, or return None if its contact was erased. A text that is not sealed is returned unchanged."""
        found = _SEALED.fullmatch(text)
        if found is None:
            return text
        try:
            key = await self.key(found[1])
        except Erased:
            return None
        except UnknownKey:
            if await self.holds(found[1]):
                raise
            return text  # a response that only looks sealed
        return key.decrypt(base64.urlsafe_b64decode(found[2])).decode()

    async def name_of(self, contact: str) -> str:
        """Return the name of a contact in the store: an HMAC of its id, in hex."""
        if not self._index:
            row = await self._kept(INDEX)
            self._index, self._index_id = self.unwrapped(row), row.key_id
        return hmac.digest(self._index, contact.encode("utf-8", "surrogatepass"), hashlib.sha256).hex()

    def unwrapped(self, row: WrappedKey) -> bytes:
        """Unwrap the key in a row, or raise UnknownKey if encryption is not configured here."""
        if (key := read_plain(row.wrapped_key)) is not None:
            return key
        if self._wrapping is None:
            raise UnknownKey("data is encrypted: set the workers' SCENARIO_ENCRYPTION_KEYS here, too")
        return self._wrapping.open(row.wrapped_key, row.owner)

    async def _row_of(self, contact: str) -> WrappedKey | None:
        return await self._store.contact_key_of(await self.name_of(contact)) if await self._knows_any() else None

    async def _knows_any(self) -> bool:
        # A query must not create the index key: without one, no contact is known.
        return bool(self._index) or await self._store.contact_key_of(INDEX) is not None

    async def _kept(self, name: str) -> WrappedKey:
        known = name in self._of  # before the read, since another task may create it meanwhile
        row = await self._store.contact_key_of(name)
        if row is None:
            await self._check_store(known=known)
            wrapped = self._wrapped(secrets.token_bytes(32), name)
            row = await self._store.add_contact_key(WrappedKey(_identifier(), name, wrapped, datetime.now(UTC)))
        return row

    async def _check_store(self, *, known: bool) -> None:
        """Check that the store is the same as before: data encrypted with another store's keys would be lost.

        A key that is `known`, but missing now, shows an older copy.
        """
        before = self._index_id  # as above
        index = await self._store.contact_key_of(INDEX)
        if known or (before and (index is None or index.key_id != before)):
            raise UnknownKey(
                "SCENARIO_STORE names another store than when this process started: correct it, or restart this process"
            )

    def _opened(self, row: WrappedKey) -> DataKey:
        if row.destroyed_at is not None:
            if (known := self._of.pop(row.owner, None)) is not None:
                self._by_id.pop(known[1].id, None)
            raise Erased
        key = DataKey(row.key_id, AESGCM(self.unwrapped(row)))
        # In both caches: a journey that reads a payload writes one next.
        self._remember(self._of, row.owner, key)
        self._remember(self._by_id, row.key_id, key)
        return key

    def _wrapped(self, key: bytes, name: str) -> str:
        if self._wrapping is not None:
            return self._wrapping.close(key, name)
        if name != INDEX:
            raise UnknownKey("data must be encrypted: set the workers' SCENARIO_ENCRYPTION_KEYS here, too")
        return plain_text(key)

    async def _stored(self, identifier: str) -> WrappedKey:
        row = await self._store.contact_key(identifier)
        if row is None:
            raise UnknownKey("a payload was encrypted with another store's keys: set SCENARIO_STORE to that store")
        return row

    async def _cached(self, known: _Cache, name: str, read: Callable[[str], Awaitable[WrappedKey]]) -> DataKey:
        found = known.get(name)
        if found is not None and self._clock() - found[0] < REMEMBERED:
            return found[1]
        try:
            row = await read(name)
        except StoreUnavailable:
            if name in known:
                return known[name][1]
            raise
        return self._opened(row)

    def _remember(self, known: _Cache, name: str, key: DataKey) -> None:
        known[name] = (self._clock(), key)
        known.move_to_end(name)
        while len(known) > _KEPT:
            known.popitem(last=False)


def _identifier() -> str:
    return secrets.token_hex(16)
