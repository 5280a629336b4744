"""The payload codec: each payload is encrypted by the key of its journey's contact.

An encrypted payload names its key, which suffices to decode it: a codec server needs no workflow. A payload in clear is
passed on unchanged, such as those of journeys that started before encryption, or of a client without a codec.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from copy import copy
from typing import Final, Self

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.client import Client, HeaderCodecBehavior
from temporalio.converter import (
    ActivitySerializationContext,
    DataConverter,
    PayloadCodec,
    PayloadConverter,
    SerializationContext,
    WithSerializationContext,
    WorkflowSerializationContext,
)
from temporalio.exceptions import ApplicationError
from typing_extensions import override

from runtime.data_converter import CONVERTER, ENCODING, KEY_ID, BriefFailures, is_ours
from runtime.encryption.keyring import DataKey, Erased, Keyring, UnknownKey
from runtime.errors import SetupError, StoreError

_PLAIN: Final = (SetupError, StoreError, Erased)
_GONE: Final = "gone-"  # ids of keys that only a worker's process has


class EncryptionCodec(PayloadCodec, WithSerializationContext):
    """Encrypts and decrypts payloads.

    Args:
        gone: A worker's key for erased contacts, which only its process knows. A workflow task that cannot be encoded
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
        if not self._keys.encrypts:
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

        Raises:
            UnknownKey: They were encrypted elsewhere, or encryption is not configured here.
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


class EncodedFailures(BriefFailures):
    """Failures with encrypted messages and stack traces.

    The reason why something cannot be encoded is in clear: it quotes nothing, and could not be encrypted either.
    """

    def __init__(self) -> None:
        super().__init__(encode_common_attributes=True)

    @override
    def to_failure(self, exception: BaseException, payload_converter: PayloadConverter, failure: Failure) -> None:
        cause = exception.__cause__
        # The SDK wraps it in "Failed decoding arguments".
        bare = isinstance(exception, ApplicationError) and not exception.type
        around = bare or isinstance(exception, RuntimeError)
        why = cause if around and isinstance(cause, _PLAIN) else exception
        if isinstance(why, _PLAIN):
            failure.message = str(why)
            failure.application_failure_info.type = type(why).__name__
        else:
            super().to_failure(exception, payload_converter, failure)


def contact_of(workflow: str) -> str | None:
    """Return the contact id in a journey's workflow id, or None (see `scenario.entry.entry.journey_id`)."""
    _, slash, rest = workflow.partition("/")
    contact = rest.partition("/")[0]
    return contact.replace("%2F", "/") if slash and contact else None


def encrypting_converter(keys: Keyring, *, worker: bool = False) -> DataConverter:
    """Return the data converter with encryption; `worker` as for `EncryptionCodec`."""
    codec = EncryptionCodec.of_a_worker(keys) if worker else EncryptionCodec(keys)
    failures = EncodedFailures if keys.encrypts else CONVERTER.failure_converter_class
    return _Converter(CONVERTER.payload_converter_class, codec, failures)


class _Converter(DataConverter):
    """Avoids the SDK's full construction of a converter for each context, of which there is one for each payload."""

    @override
    def with_context(self, context: SerializationContext) -> Self:
        codec = self.payload_codec
        if not isinstance(codec, EncryptionCodec):
            raise TypeError(codec)
        known = copy(self)
        object.__setattr__(known, "payload_codec", codec.with_context(context))
        return known


def encrypt_client(client: Client, keys: Keyring, *, worker: bool = False) -> Client:
    """Return a client on the same connection that encrypts, or the same client if encryption is not configured.

    A worker without keys has a codec too: others may encrypt, and it must not skip payloads that they can read.
    """
    if not keys.encrypts and not worker:
        return client
    config = client.config()
    config["data_converter"] = encrypting_converter(keys, worker=worker)
    config["header_codec_behavior"] = HeaderCodecBehavior.CODEC
    return Client(**config)
