"""Encryption of a process: its codecs of payloads and of stored data, and its keys in the settings and in the store.

Each payload is encrypted by the key of its journey's contact.

An encrypted payload names its key, which suffices to decode it: a codec server needs no workflow. A payload in clear is
passed on unchanged, such as those of journeys that started before encryption, or of a client without a codec.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import secrets
import socket
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Self
from uuid import uuid4

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from temporalio.api.common.v1 import Payload
from temporalio.client import Client
from temporalio.converter import (
    ActivitySerializationContext,
    PayloadCodec,
    SerializationContext,
    WithSerializationContext,
    WorkflowSerializationContext,
)
from typing_extensions import override

from runtime.data_converter import ENCODING, IN_CLEAR, KEY_ID, is_ours
from runtime.encryption.keyring import DataKey, Erased, Keyring, KeyWrapping, UnknownKey, read_plain
from runtime.errors import SettingsError, StoreError
from runtime.process.shutdown import background_task
from runtime.settings import Settings
from runtime.store import Store
from runtime.store.contact_keys import WrappedKey

logger = logging.getLogger(__name__)

_GONE: Final = "gone-"  # ids of keys that only a worker's process has


class EncryptionCodec(PayloadCodec, WithSerializationContext):
    """Encrypts and decrypts payloads.

    A worker has a key for erased contacts, `gone`, which only its process knows: a workflow task that cannot be encoded
    would be retried forever.
    """

    def __init__(
        self, keys: Keyring, *, gone: DataKey | None = None, contact: str | None = None, answers: bool = False
    ) -> None:
        self._keys, self._gone, self._contact, self._answers = keys, gone, contact, answers

    @classmethod
    def of_a_worker(cls, keys: Keyring) -> Self:
        """Return a codec that never refuses to encode."""
        return cls(keys, gone=DataKey(f"{_GONE}{secrets.token_hex(8)}", AESGCM(secrets.token_bytes(32))))

    @property
    def is_of_activity(self) -> bool:
        """True for arguments, results and heartbeats of one activity."""
        return self._answers

    @override
    def with_context(self, context: SerializationContext) -> EncryptionCodec:
        match context:
            case (
                WorkflowSerializationContext(workflow_id=workflow)
                | ActivitySerializationContext(workflow_id=str(workflow))
            ):
                answers = isinstance(context, ActivitySerializationContext)
                return EncryptionCodec(self._keys, gone=self._gone, contact=contact_of(workflow), answers=answers)
            case _:
                return self

    @override
    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Encrypt payloads, if encryption is configured."""
        if not self._keys.encrypts or all(IN_CLEAR in payload.metadata for payload in payloads):
            return list(payloads)
        try:
            key = await self._keys.key_of(self._contact)
        except Erased:
            if self._gone is None:
                raise
            key = self._gone
        metadata = {"encoding": ENCODING, KEY_ID: key.id.encode()}
        return [Payload(metadata=metadata, data=key.encrypt(payload.SerializeToString())) for payload in payloads]

    @override
    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Decrypt encrypted payloads. A worker passes on some that it cannot decrypt, see `_is_passed_on`.

        Raise UnknownKey if they were encrypted elsewhere, or encryption is not configured here.
        """
        return [await self._read(payload) for payload in payloads]

    async def _read(self, payload: Payload) -> Payload:
        try:
            return await self._decoded(payload)
        except (UnknownKey, Erased):
            if await self._is_passed_on(payload):
                return payload
            raise

    async def _is_passed_on(self, payload: Payload) -> bool:
        """Return True if a worker passes on an undecryptable payload, which then counts as malformed input.

        A client that may signal a journey must not be able to stop it. But a payload that another worker can read must
        not be skipped, since the journey would decide otherwise there: results of activities, payloads for a contact
        without a key here, and, if encryption is not configured here, payloads encrypted by a key in the store.
        """
        if self._gone is None or (self._answers and is_ours(payload)):
            return False
        if self._keys.encrypts:
            return self._contact is not None and await self._keys.has(self._contact)
        return not is_ours(payload) or not await self._keys.holds(payload.metadata[KEY_ID].decode())

    async def _decoded(self, payload: Payload) -> Payload:
        if payload.metadata.get("encoding") != ENCODING:
            return payload
        identifier = payload.metadata.get(KEY_ID, b"").decode(errors="replace")
        if self._gone is not None and identifier == self._gone.id:
            key = self._gone
        elif identifier.startswith(_GONE):  # another worker's
            raise Erased
        elif not is_ours(payload):
            raise UnknownKey(
                "a payload was encrypted by another program: send it in clear, or with this project's client"
            )
        else:
            key = await self._keys.key(identifier)
        return Payload.FromString(key.decrypt(payload.data))


def contact_of(workflow: str) -> str | None:
    """Return the contact id in a journey's workflow id (see `scenario.entry.entry.journey_id`).

    None for other workflows, whose ids have no slash.
    """
    _, slash, rest = workflow.partition("/")
    contact = rest.partition("/")[0]
    return contact.replace("%2F", "/") if slash and contact else None


EVERY: Final = 20.0  # seconds between records of this process's keys
EXPIRES: Final = timedelta(seconds=90)  # time for which a killed process still counts as running


def keyring_of(settings: Settings, store: Store) -> Keyring:
    """Return the keyring of the settings. The store encrypts with it, if encryption is configured."""
    wrapping = KeyWrapping.configured(settings)
    if wrapping is None and settings.plain_entries == "refuse":
        raise SettingsError(
            "SCENARIO_PLAIN_ENTRIES=refuse would refuse every entry without encryption: set SCENARIO_ENCRYPTION_KEYS"
        )
    keys = store.sealing = Keyring(store, wrapping)
    return keys


def keyring_in(store: Store) -> Keyring:
    """Return the keyring a store encrypts with, or else one that only knows the erased contacts."""
    return store.sealing if isinstance(store.sealing, Keyring) else Keyring(store, None)


async def check_keys(keys: Keyring, store: Store) -> None:
    """Check that this process can decrypt, as far as a few keys of the store show, or raise SettingsError.

    A worker without keys could read no journey, and a gateway would send in clear what should be encrypted. With wrong
    keys, each journey would fail while the process seemed healthy.
    """
    # One of two may be the index key, which is in clear without encryption.
    some = await store.wrapped_keys(limit=2)
    if not keys.encrypts and any(read_plain(key.wrapped_key) is None for key in some):
        raise SettingsError(
            "the store has keys of contacts, so journeys are encrypted: set SCENARIO_ENCRYPTION_KEYS here, too"
        )
    for key in some:
        keys.unwrapped(key)
    await keys.is_erased("")  # unwraps the index key


@asynccontextmanager
async def recording_keys(keys: Keyring, store: Store, role: str) -> AsyncGenerator[None]:
    """Record in the store which keys this process has, until it ends; see `rotate`."""
    process = f"{role} on {socket.gethostname()} (process {os.getpid()}, {uuid4().hex[:4]})"

    async def tell() -> None:
        now = datetime.now(UTC)
        await store.hold_keys(process, keys.wrapping_keys, now=now, expires_at=now + EXPIRES)

    async def run() -> None:
        while True:
            await asyncio.sleep(EVERY)
            try:
                await tell()
            except StoreError as error:
                logger.warning("the encryption keys of this process cannot be recorded in the store: %s", error)
            except Exception:  # any error: a rotation would ignore a process without a record
                logger.exception("the encryption keys of this process cannot be recorded in the store")

    await tell()
    try:
        async with background_task(run(), "telling keys"):
            yield
    finally:
        with suppress(StoreError):
            await store.release_keys(process)


_TOGETHER = 500


async def rotate(store: Store, wrapping: KeyWrapping) -> tuple[int, int]:
    """Wrap every key with the newest of the settings' keys. Return the numbers of rewrapped and of current keys.

    Once the older key is destroyed, erased data stays unreadable in copies of the store too. May be interrupted and
    repeated, also while keys are created or destroyed. Raise SettingsError if a key that wrapped one is missing in the
    settings, or a running process lacks the newest key.
    """
    newest = wrapping.names[0]
    if lacking := [
        holder.process for holder in await store.key_holders(datetime.now(UTC)) if newest not in holder.keys
    ]:
        raise SettingsError(
            f"nothing was rewrapped: {len(lacking)} running processes lack the newest key, such as the "
            f"{lacking[0]}. Restart them with that key first in the list. A killed process counts for 90 seconds"
        )
    done = before = 0
    last = ""
    clear: list[tuple[WrappedKey, bytes]] = []
    while keys := await store.wrapped_keys(last, _TOGETHER):
        for key in keys:
            if wrapping.is_current(key.wrapped_key):
                before += 1
            elif (bare := read_plain(key.wrapped_key)) is not None:
                clear.append((key, bare))  # the index key
            else:
                wrapped = wrapping.close(wrapping.open(key.wrapped_key, key.owner), key.owner)
                done += await store.rewrap(key.key_id, key.wrapped_key, wrapped)
        last = keys[-1].key_id
    # Last: with wrong keys the loop above has failed, while this one could still be wrapped.
    for key, bare in clear:
        done += await store.rewrap(key.key_id, key.wrapped_key, wrapping.close(bare, key.owner))
    return done, before


_NO_CONTACT: Final = "audience"  # without a slash, so that the shared key encrypts it


class EntryCodec:
    """Encodes data of campaigns and batch calls for the store: as Temporal would get it, encrypted if payloads are.

    The contact's key encrypts entries, and the shared key parts of files.
    """

    def __init__(self, temporal: Client) -> None:
        self._temporal = temporal

    async def encode(self, journey: str, entry: Mapping[str, Any]) -> str:
        """Return an entry as text. Raise `Erased` if the contact was erased."""
        return await self._encode(journey, dict(entry))

    async def decode(self, journey: str, text: str) -> dict[str, Any]:
        """Return the entry of a text. Raise `Erased` if the contact was erased."""
        return await self._decode(journey, text, dict)

    async def encode_part(self, part: bytes) -> str:
        return await self._encode(_NO_CONTACT, part)

    async def decode_part(self, text: str) -> bytes:
        return await self._decode(_NO_CONTACT, text, bytes)

    async def _encode(self, workflow: str, value: Any) -> str:
        [payload] = await self._converter(workflow).encode([value])
        return base64.b64encode(payload.SerializeToString()).decode()

    async def _decode(self, workflow: str, text: str, kind: type[Any]) -> Any:
        payload = Payload.FromString(base64.b64decode(text))
        [value] = await self._converter(workflow).decode([payload], [kind])
        return value

    def _converter(self, workflow: str) -> Any:
        context = WorkflowSerializationContext(self._temporal.namespace, workflow)
        return self._temporal.data_converter.with_context(context)
