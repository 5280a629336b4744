"""The codec of all payloads: each is encrypted by the key of the contact whose journey it belongs to.

What is encrypted names its key, and is decoded by that alone: a codec server knows no workflow. What is not encrypted
is passed on as it is: journeys that began before encryption was turned on stay readable, and so is what an engine sends
that knows no codec.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from copy import copy
from typing import Final, Self, cast

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
_GONE: Final = "gone-"  # ids of keys that workers alone know


class EncryptionCodec(PayloadCodec, WithSerializationContext):
    """Encrypts payloads, and decrypts them.

    Args:
        gone: What a worker encrypts by for a contact that was erased, instead of refusing: nobody can read it, the
            worker's own process excepted. A workflow task that cannot be encoded would be tried again and again.
        answers: Whether they are what an activity is given and answers.
    """

    def __init__(
        self, keys: Keyring, *, gone: DataKey | None = None, contact: str | None = None, answers: bool = False
    ) -> None:
        self._keys, self._gone, self._contact, self._answers = keys, gone, contact, answers

    @classmethod
    def of_a_worker(cls, keys: Keyring) -> Self:
        """A codec that never refuses."""
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
        """Encrypts payloads, if anything is encrypted.

        Raises:
            Erased: The contact was erased.
        """
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
        """Decrypts those that are encrypted.

        A worker passes some on to a journey as they are, see `_is_passed_on`.

        Raises:
            Erased: The contact was erased.
            UnknownKey: They were encrypted elsewhere, or nothing is encrypted here.
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
        """Whether a worker takes what it cannot decrypt for something that nobody can, as all else that is no JSON.

        Whoever can send a journey signals must not be able to stop it. But what another worker can read, it must not
        pass over: the journey would go another way there. That is what an activity has answered; what came for a
        contact who has no key here; and where nothing is encrypted here, what the store has a key for.
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
            raise UnknownKey("something was encrypted elsewhere: send it through our own client, or in clear")
        else:
            key = await self._keys.key(identifier)
        return Payload.FromString(key.decrypt(payload.data))


class EncodedFailures(BriefFailures):
    """Failures with messages and stack traces where a codec reaches them.

    Why something cannot be encrypted is said in clear: our own sentences quote nothing, and this one could not be
    encrypted either.
    """

    def __init__(self) -> None:
        super().__init__(encode_common_attributes=True)

    @override
    def to_failure(self, exception: BaseException, payload_converter: PayloadConverter, failure: Failure) -> None:
        cause = exception.__cause__
        # The SDK's own words around it: "Failed decoding arguments".
        bare = isinstance(exception, ApplicationError) and not exception.type
        around = bare or isinstance(exception, RuntimeError)
        why = cause if around and isinstance(cause, _PLAIN) else exception
        if isinstance(why, _PLAIN):
            failure.message = str(why)
            failure.application_failure_info.type = type(why).__name__
        else:
            super().to_failure(exception, payload_converter, failure)


def contact_of(workflow: str) -> str | None:
    """The id of the contact whose journey a workflow is, or None (see `scenario.entry.entry.journey_id`)."""
    _, slash, rest = workflow.partition("/")
    contact = rest.partition("/")[0]
    return contact.replace("%2F", "/") if slash and contact else None


def encrypting_converter(keys: Keyring, *, worker: bool = False) -> DataConverter:
    """The data converter where something is to be encrypted, or has been."""
    codec = EncryptionCodec.of_a_worker(keys) if worker else EncryptionCodec(keys)
    failures = EncodedFailures if keys.encrypts else CONVERTER.failure_converter_class
    return _Converter(CONVERTER.payload_converter_class, codec, failures)


class _Converter(DataConverter):
    """One that is copied for a context. The SDK's makes all that it has anew, and is asked for every payload."""

    @override
    def with_context(self, context: SerializationContext) -> Self:
        codec = cast("EncryptionCodec", self.payload_codec)
        known = copy(self)
        object.__setattr__(known, "payload_codec", codec.with_context(context))
        return known


def encrypt_client(client: Client, keys: Keyring, *, worker: bool = False) -> Client:
    """A client over the same connection that encrypts, or the same where nothing is to be encrypted.

    A worker that encrypts nothing has a codec, too: others may have begun to encrypt, and what it cannot read it must
    not pass over.
    """
    if not keys.encrypts and not worker:
        return client
    config = client.config()
    config["data_converter"] = encrypting_converter(keys, worker=worker)
    config["header_codec_behavior"] = HeaderCodecBehavior.CODEC
    return Client(**config)
