"""Conversion of values and errors to payloads.

Plain JSON by pydantic, one clear failure for unreadable arguments, and expected failures without stack traces.
Unreadable input never fails a journey's workflow task, unless another worker could decrypt it.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import Any, Final

from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.common import RawValue
from temporalio.contrib.pydantic import (
    PydanticJSONPlainPayloadConverter,
    PydanticPayloadConverter,
    pydantic_data_converter,
)
from temporalio.converter import CompositePayloadConverter, DefaultFailureConverter, PayloadConverter
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from typing_extensions import override

from runtime.errors import SettingsError
from scenario.entry.entry import unread

ENCODING: Final = b"binary/encrypted"  # metadata `encoding` of an encrypted payload, as in Temporal's samples
KEY_ID: Final = "encryption-key-id"  # metadata with the name of its key
IN_CLEAR: Final = "scenario-clear"  # metadata of a payload that is not encrypted, see `in_clear`
_OUR_KEYS: Final = re.compile(rb"[0-9a-f]{32}")  # their ids; Temporal's samples have words


class _Json(PydanticJSONPlainPayloadConverter):
    """Omits fields of dataclasses that have their default values, to keep histories small."""

    @override
    def to_payload(self, value: Any) -> Payload | None:
        if dataclasses.is_dataclass(value):
            said = {one.name: (getattr(value, one.name), one.default) for one in dataclasses.fields(value)}
            value = {name: now for name, (now, default) in said.items() if now != default}
        return super().to_payload(value)


_JSON: Final = _Json()
_JSON.from_payload(Payload(data=b"{}"))  # builds the schema for plain JSON
_SHARED: Final = [
    _JSON if one.encoding == _JSON.encoding else one for one in PydanticPayloadConverter().converters.values()
]
"""Shared by the process. The SDK makes a converter for every workflow, and pydantic's caches schemas: each journey
would build them again, in its workflow's thread.
"""


class JsonPayloads(CompositePayloadConverter):
    """Pydantic's converter, which fails a workflow with undecodable arguments.

    The SDK would fail the workflow *task* instead, and retry it forever. It distinguishes the two by the class of the
    exception. Decoding the results of activities cannot fail (`workflows.primitives`).

    A payload with our encryption has reached a worker without its key or with another store: the task fails, and the
    journey waits for a worker that can read it. An unreadable signal is ignored.
    """

    def __init__(self) -> None:
        super().__init__(*_SHARED)

    def from_payloads(self, payloads: Sequence[Payload], type_hints: list[type] | None = None) -> list[Any]:
        try:
            return super().from_payloads(payloads, type_hints)
        except Exception:
            if any(map(is_ours, payloads)):
                raise SettingsError(
                    "a payload is encrypted with a key that this process lacks: set the same SCENARIO_STORE and "
                    "SCENARIO_ENCRYPTION_KEYS for all processes"
                ) from None
            if type_hints is None:
                raise ApplicationError(
                    f"The argument cannot be read: {_cause(payloads)}", type="NotJson", non_retryable=True
                ) from None
            raise


def in_clear(value: str | float) -> RawValue:
    """Return a value that is never encrypted, and so can be written and read while the store is unavailable."""
    payload = _JSON.to_payload(value)
    assert payload is not None  # noqa: S101 pydantic writes any value, or raises
    payload.metadata[IN_CLEAR] = b"1"
    return RawValue(payload)


def is_ours(payload: Payload) -> bool:
    """Return True if a payload's metadata are those of `runtime.encryption.codec`."""
    return payload.metadata.get("encoding") == ENCODING and bool(_OUR_KEYS.fullmatch(payload.metadata.get(KEY_ID, b"")))


def _cause(payloads: Sequence[Payload]) -> str:
    for payload in payloads:
        if payload.metadata.get("encoding") == b"json/plain" and (cause := unread(payload.data, "it")):
            return cause
    return "it must be plain JSON, not encrypted or compressed"


class BriefFailures(DefaultFailureConverter):
    """The SDK's converter without unreadable details, and without stack traces of BENIGN failures.

    A receiver that answers 503 is such a failure. A stack trace through the worker would only hide its message, and add
    a kilobyte to the history.
    """

    @override
    def from_failure(self, failure: Failure, payload_converter: PayloadConverter) -> BaseException:
        """Anyone may write details (`temporal activity fail --detail`), and they are not arguments."""
        try:
            return super().from_failure(failure, payload_converter)
        except (ApplicationError, SettingsError):  # of `JsonPayloads`
            bare = Failure()
            bare.CopyFrom(failure)
            match bare.WhichOneof("failure_info"):
                case "timeout_failure_info":
                    bare.timeout_failure_info.ClearField("last_heartbeat_details")
                case "canceled_failure_info":
                    bare.canceled_failure_info.ClearField("details")
                case _:
                    bare.application_failure_info.ClearField("details")
            return super().from_failure(bare, payload_converter)

    @override
    def to_failure(self, exception: BaseException, payload_converter: PayloadConverter, failure: Failure) -> None:
        super().to_failure(exception, payload_converter, failure)
        if isinstance(exception, ApplicationError) and exception.category is ApplicationErrorCategory.BENIGN:
            failure.stack_trace = ""


CONVERTER: Final = dataclasses.replace(
    pydantic_data_converter, payload_converter_class=JsonPayloads, failure_converter_class=BriefFailures
)
"""The data converter of clients and workers without encryption."""
