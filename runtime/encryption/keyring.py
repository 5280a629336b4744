"""The keys of contacts, made when they are first needed and remembered for a minute.

A contact is known in the store by an HMAC of its id, under a key that is itself kept there, wrapped: the settings' keys
may so change without anybody being looked for in vain. What belongs to no contact (the name of a campaign, say) has one
key for all.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from runtime.encryption.wrapping import NONCE, KeyWrapping, plain, read_plain
from runtime.errors import SetupError, StoreUnavailable
from runtime.store.contact_keys import WrappedKey
from runtime.store.erasure import ERASED

REMEMBERED: Final = 60.0
"""Seconds after which a process has forgotten a key that was destroyed elsewhere, unless the store is away: then nobody
can destroy one either, and those that are known go on to serve."""
_KEPT: Final = 20_000  # keys
_SHARED: Final = "shared"
_INDEX: Final = "index"
"""What the keys are called that are nobody's. An HMAC is longer."""
_SEALED: Final = re.compile(r"e1\.([0-9a-f]{32})\.([A-Za-z0-9_=-]+)", re.ASCII)


class Erased(Exception):
    """Something is to be encrypted for a contact that was erased, or was encrypted for one."""

    def __init__(self) -> None:
        super().__init__(ERASED)


class UnknownKey(SetupError):
    """Something was encrypted by a key that is not in this store."""


class KeyStore(Protocol):
    """Where keys are kept: `runtime.store.contact_keys.ContactKeys`."""

    async def add_contact_key(self, key: WrappedKey) -> WrappedKey:
        """Keep a new key; returns the one that is kept."""
        ...

    async def contact_key_of(self, contact: str) -> WrappedKey | None:
        """A contact's key."""
        ...

    async def destroyed(self, contacts: Collection[str]) -> list[str]:
        """Those of these contacts whose keys are destroyed."""
        ...

    async def contact_key(self, key_id: str) -> WrappedKey | None:
        """The key of an id."""
        ...

    async def destroy_contact_key(self, key: WrappedKey) -> None:
        """Destroy a contact's key."""
        ...


@dataclass(frozen=True)
class DataKey:
    """A key that encrypts."""

    id: str
    _cipher: AESGCM = field(repr=False)

    def encrypt(self, data: bytes) -> bytes:
        """Encrypts under a random nonce, which stands before what comes out.

        One key encrypts far fewer than 2^32 messages (NIST SP 800-38D §8.3): it is one contact's.
        """
        nonce = secrets.token_bytes(NONCE)
        return nonce + self._cipher.encrypt(nonce, data, self.id.encode())

    def decrypt(self, data: bytes) -> bytes:
        """What was encrypted.

        Raises:
            UnknownKey: It was not, by this key.
        """
        try:
            return self._cipher.decrypt(data[:NONCE], data[NONCE:], self.id.encode())
        except (InvalidTag, ValueError):
            raise UnknownKey("something encrypted is damaged, or was encrypted elsewhere") from None


class Keyring:
    """The keys of contacts.

    Args:
        wrapping: What they are wrapped by; None where nothing is encrypted: then it knows who was erased, and no more.
        clock: Seconds that only go forward.
    """

    def __init__(
        self, store: KeyStore, wrapping: KeyWrapping | None, *, clock: Callable[[], float] = monotonic
    ) -> None:
        self._store, self._wrapping, self._clock = store, wrapping, clock
        self._by_id: OrderedDict[str, tuple[float, DataKey]] = OrderedDict()
        self._of: OrderedDict[str, tuple[float, DataKey]] = OrderedDict()
        self._index: bytes = b""
        self._index_id = ""

    @property
    def encrypts(self) -> bool:
        """Whether anything is encrypted."""
        return self._wrapping is not None

    @property
    def wrapping_keys(self) -> list[str]:
        """Names of the settings' keys; none if nothing is encrypted."""
        return self._wrapping.names if self._wrapping is not None else []

    async def key_of(self, contact: str | None) -> DataKey:
        """A contact's key, made where there is none yet; None: that of what belongs to no contact.

        Raises:
            Erased: The contact was erased.
            SettingsError: Its key cannot be unwrapped.
        """
        name = _SHARED if contact is None else await self.name_of(contact)
        if (known := self._remembered(self._of, name)) is not None:
            return known
        try:
            return self._opened(await self._kept(name))
        except StoreUnavailable:
            if name in self._of:
                return self._of[name][1]
            raise

    async def key(self, identifier: str) -> DataKey:
        """The key of an id.

        Raises:
            Erased: It was destroyed.
            UnknownKey: There is none.
            SettingsError: It cannot be unwrapped.
        """
        if (known := self._remembered(self._by_id, identifier)) is not None:
            return known
        try:
            row = await self._store.contact_key(identifier)
        except StoreUnavailable:
            if identifier in self._by_id:
                return self._by_id[identifier][1]
            raise
        if row is None:
            raise UnknownKey("something was encrypted with another store than SCENARIO_STORE: set the one it was")
        return self._opened(row)

    async def is_erased(self, contact: str) -> bool:
        """Whether a contact was erased: asked of the store."""
        row = await self._row_of(contact)
        return row is not None and row.destroyed_at is not None

    async def erased(self, contacts: Collection[str]) -> dict[str, str]:
        """Those of these contacts that were erased, and what each is known by: asked of the store."""
        if not await self._knows_any():
            return {}
        names = {await self.name_of(contact): contact for contact in contacts}
        return {names[name]: name for name in await self._store.destroyed(names)}

    async def has(self, contact: str) -> bool:
        """Whether a contact has a key, which is not destroyed."""
        row = await self._row_of(contact)
        return row is not None and row.destroyed_at is None

    async def holds(self, identifier: str) -> bool:
        """Whether the store has a key of an id, destroyed or not, be it that it cannot be unwrapped here."""
        return await self._store.contact_key(identifier) is not None

    async def destroy(self, contact: str) -> None:
        """Destroys a contact's key, for good: whatever it has encrypted cannot be read any more.

        A copy of the store from before has it still, wrapped: see `runtime.encryption.opening`. Other processes may
        remember it for `REMEMBERED` seconds.
        """
        now = datetime.now(UTC)
        row = WrappedKey(_identifier(), await self.name_of(contact), "", now, now)
        await self._check_store(known=False)
        await self._store.destroy_contact_key(row)
        self._of.pop(row.owner, None)
        self._by_id.clear()

    async def seal(self, contact: str, text: str) -> str | None:
        """A text, encrypted for the store if anything is; None where the contact was erased."""
        if not self.encrypts:
            return text
        try:
            key = await self.key_of(contact)
        except Erased:
            return None
        return f"e1.{key.id}.{base64.urlsafe_b64encode(key.encrypt(text.encode())).decode()}"

    async def unseal(self, text: str) -> str | None:
        """What a sealed text says; None where its contact was erased. A text that is not sealed stands for itself."""
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
            return text  # it only looks like one: receivers answer anything
        return key.decrypt(base64.urlsafe_b64decode(found[2])).decode()

    async def name_of(self, contact: str) -> str:
        """What a contact is known by where its id must not stand: an HMAC, in hex."""
        if not self._index:
            row = await self._kept(_INDEX)
            self._index, self._index_id = self.unwrapped(row), row.key_id
        return hmac.digest(self._index, contact.encode("utf-8", "surrogatepass"), hashlib.sha256).hex()

    def unwrapped(self, row: WrappedKey) -> bytes:
        """The key that a row has.

        Raises:
            UnknownKey: Nothing is encrypted here, and it is wrapped.
            SettingsError: It cannot be unwrapped.
        """
        if (key := read_plain(row.wrapped_key)) is not None:
            return key
        if self._wrapping is None:
            raise UnknownKey("something is encrypted: set SCENARIO_ENCRYPTION_KEYS here, as for the workers")
        return self._wrapping.open(row.wrapped_key, row.owner)

    async def _row_of(self, contact: str) -> WrappedKey | None:
        return await self._store.contact_key_of(await self.name_of(contact)) if await self._knows_any() else None

    async def _knows_any(self) -> bool:
        # Who only asks writes nothing: before anybody is known, there is nothing yet that contacts are known by.
        return bool(self._index) or await self._store.contact_key_of(_INDEX) is not None

    async def _kept(self, name: str) -> WrappedKey:
        known = name in self._of  # before the store answers: it may be made meanwhile
        row = await self._store.contact_key_of(name)
        if row is None:
            await self._check_store(known=known)
            wrapped = self._wrapped(secrets.token_bytes(32), name)
            row = await self._store.add_contact_key(WrappedKey(_identifier(), name, wrapped, datetime.now(UTC)))
        return row

    async def _check_store(self, *, known: bool) -> None:
        """Makes sure that the store is the one it was: what another's keys encrypt is lost with that one.

        Args:
            known: Whether a key was there before that is not there now, as in an older copy.

        Raises:
            UnknownKey: It is another.
        """
        before = self._index_id  # as above
        index = await self._store.contact_key_of(_INDEX)
        if known or (before and (index is None or index.key_id != before)):
            raise UnknownKey(
                "SCENARIO_STORE leads to another store than when this process started: lead it back, or restart this "
                "process"
            )

    def _opened(self, row: WrappedKey) -> DataKey:
        if row.destroyed_at is not None:
            if (known := self._of.pop(row.owner, None)) is not None:
                self._by_id.pop(known[1].id, None)
            raise Erased
        key = DataKey(row.key_id, AESGCM(self.unwrapped(row)))
        # Whatever it was asked for by: what has been read for a journey is written for it next.
        self._remember(self._of, row.owner, key)
        self._remember(self._by_id, row.key_id, key)
        return key

    def _wrapped(self, key: bytes, name: str) -> str:
        if self._wrapping is not None:
            return self._wrapping.close(key, name)
        if name != _INDEX:
            raise UnknownKey("something is to be encrypted: set SCENARIO_ENCRYPTION_KEYS here, as for the workers")
        return plain(key)

    def _remembered(self, known: OrderedDict[str, tuple[float, DataKey]], name: str) -> DataKey | None:
        found = known.get(name)
        return found[1] if found is not None and self._clock() - found[0] < REMEMBERED else None

    def _remember(self, known: OrderedDict[str, tuple[float, DataKey]], name: str, key: DataKey) -> None:
        known[name] = (self._clock(), key)
        known.move_to_end(name)
        while len(known) > _KEPT:
            known.popitem(last=False)


def _identifier() -> str:
    return secrets.token_hex(16)
