"""Data converters with encryption, and how they behave while the store with the keys is unavailable."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from copy import copy
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic
from typing import Any, Final, Self, cast

from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.client import Client, HeaderCodecBehavior
from temporalio.converter import DataConverter, PayloadConverter, SerializationContext
from temporalio.exceptions import ApplicationError
from typing_extensions import override

from runtime.data_converter import CONVERTER, BriefFailures
from runtime.encryption.codec import EncryptionCodec
from runtime.encryption.keyring import Erased, Keyring
from runtime.errors import SetupError, StoreError, StoreUnavailable

_PLAIN: Final = (SetupError, StoreError, Erased)
PAUSE: Final = 5.0  # average seconds until an activity is retried whose arguments the store made unreadable
_ARGUMENTS: Final = 5.0  # seconds for the keys of an activity's arguments
_TASK: Final = 130.0
"""Seconds for the keys of a workflow task. Its timeout at the server is 120 s at most, after several attempts."""


class EncodedFailures(BriefFailures):
    """Failures with encrypted messages and stack traces.

    The reason why something cannot be encoded is in clear: it quotes nothing, and could not be encrypted either. If an
    activity's arguments cannot be decoded because of the store, the activity is retried after a short pause, without
    back-off.
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
            info = failure.application_failure_info
            failure.message, info.type = str(why), type(why).__name__
            if bare and isinstance(why, StoreError):
                # At random, so that activities which one outage has delayed do not all return at the same time.
                info.next_retry_delay.FromTimedelta(timedelta(seconds=PAUSE * random.uniform(0.5, 1.5)))  # noqa: S311
        else:
            super().to_failure(exception, payload_converter, failure)


def encrypting_converter(keys: Keyring, *, worker: bool = False) -> DataConverter:
    """Return the data converter with encryption; `worker` as for `EncryptionCodec`."""
    codec = EncryptionCodec.of_a_worker(keys) if worker else EncryptionCodec(keys)
    failures = EncodedFailures if keys.encrypts else CONVERTER.failure_converter_class
    return (_WorkerConverter if worker else _Converter)(CONVERTER.payload_converter_class, codec, failures)


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


@dataclass(frozen=True)
class Undecoded:
    """Stands for each argument and heartbeat detail of an activity that the store's failure made unreadable.

    The SDK would fail the attempt before the activity begins, so that it would count.
    """

    error: StoreError


class _WorkerConverter(_Converter):
    """Outlasts an outage of the store. Workflow tasks wait for it; activities get `Undecoded` arguments.

    A failed workflow task is retried, but the SDK reports its first failure only. Later ones time out at the server, up
    to two minutes after the store's return.
    """

    @override
    async def encode(self, values: Sequence[Any]) -> list[Payload]:
        return await self._codec.encode(self.payload_converter.to_payloads(values))

    @override
    async def decode(self, payloads: Sequence[Payload], type_hints: list[type] | None = None) -> list[Any]:
        try:
            async with asyncio.timeout(_ARGUMENTS if self._codec.is_of_activity else None):
                known = await self._codec.decode(payloads)
        except (StoreError, TimeoutError) as error:
            if not self._codec.is_of_activity:
                raise
            if not isinstance(error, StoreError):
                error = StoreUnavailable("The store did not answer in time.")
            return [Undecoded(error)] * len(payloads)
        return self.payload_converter.from_payloads(known, type_hints)

    # The SDK calls these two for workflow tasks.

    @override
    async def _encode_payload_sequence(self, payloads: Sequence[Payload]) -> list[Payload]:
        return await _with_patience(lambda: self._codec.encode(payloads))

    @override
    async def _decode_payload_sequence(self, payloads: Sequence[Payload]) -> list[Payload]:
        return await _with_patience(lambda: self._codec.decode(payloads))

    @property
    def _codec(self) -> EncryptionCodec:
        return cast("EncryptionCodec", self.payload_codec)


async def _with_patience(work: Callable[[], Awaitable[list[Payload]]]) -> list[Payload]:
    """Repeat the work while the store is unavailable, for as long as a workflow task may last."""
    end = monotonic() + _TASK
    while True:
        try:
            return await work()
        except StoreUnavailable:
            if monotonic() >= end:
                raise
        await asyncio.sleep(random.uniform(0.5, 1.5))  # noqa: S311 - no secret


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
