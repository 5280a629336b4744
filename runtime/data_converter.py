"""How values and errors become payloads.

Plain JSON by pydantic, one clear failure for an argument that is none, no stack traces of what is expected to happen.
What a journey is handed never fails its workflow task for being unreadable, unless another worker could decrypt it.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import Any, Final

from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.contrib.pydantic import (
    PydanticJSONPlainPayloadConverter,
    PydanticPayloadConverter,
    pydantic_data_converter,
)
from temporalio.converter import CompositePayloadConverter, DefaultFailureConverter, PayloadConverter
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from typing_extensions import override

from runtime.errors import SettingsError
from scenario.entry.plain_json import unread

ENCODING: Final = b"binary/encrypted"
"""What the metadata `encoding` says of an encrypted payload, as in Temporal's samples."""
KEY_ID: Final = "encryption-key-id"
"""The metadata that name its key."""
_OUR_KEYS: Final = re.compile(rb"[0-9a-f]{32}")  # their ids; Temporal's samples have words


class _Json(PydanticJSONPlainPayloadConverter):
    """Writes dataclasses without the fields that have their default values: histories keep every byte."""

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
"""For the whole process. The SDK makes a converter for every workflow, and pydantic's keeps the schemas that it has
built: each journey would build them again, in its workflow's thread."""


class JsonPayloads(CompositePayloadConverter):
    """Pydantic's converter, which fails a workflow whose arguments cannot be decoded.

    The SDK would fail the workflow *task* instead, and try it again forever. It tells the two apart by the kind of
    exception. What activities answer, journeys take as it comes (`workflows.primitives`): reading it cannot fail.

    What is encrypted as we do it has come to a worker without its key, or with another store: the task does fail then,
    and the journey waits for a worker that can read it. A signal that nobody can read is passed over, as before.
    """

    def __init__(self) -> None:
        super().__init__(*_SHARED)

    def from_payloads(self, payloads: Sequence[Payload], type_hints: list[type] | None = None) -> list[Any]:
        """Decodes payloads.

        Raises:
            ApplicationError: They came from outside and are not JSON.
            SettingsError: They are encrypted, as we do it.
        """
        try:
            return super().from_payloads(payloads, type_hints)
        except Exception:
            if any(map(is_ours, payloads)):
                raise SettingsError(
                    "something is encrypted, and its key is not here: set SCENARIO_STORE and SCENARIO_ENCRYPTION_KEYS "
                    "alike for all processes"
                ) from None
            if type_hints is None:
                raise ApplicationError(
                    f"The argument cannot be read: {_cause(payloads)}", type="NotJson", non_retryable=True
                ) from None
            raise


def is_ours(payload: Payload) -> bool:
    """Whether a payload is encrypted as we do it (`runtime.encryption.codec`), by its metadata."""
    return payload.metadata.get("encoding") == ENCODING and bool(_OUR_KEYS.fullmatch(payload.metadata.get(KEY_ID, b"")))


def _cause(payloads: Sequence[Payload]) -> str:
    for payload in payloads:
        if payload.metadata.get("encoding") == b"json/plain" and (cause := unread(payload.data, "it")):
            return cause
    return "it must be plain JSON, not encrypted or compressed"


class BriefFailures(DefaultFailureConverter):
    """The SDK's converter, without details that cannot be read, nor the stack trace where our code is not at fault.

    A receiver that answers 503 is a BENIGN failure. Its sentence says all there is to say; a trace through the worker
    would fill the operator's screen, and a kilobyte of the journey's history.
    """

    @override
    def from_failure(self, failure: Failure, payload_converter: PayloadConverter) -> BaseException:
        """Details may be anybody's (`temporal activity fail --detail`), and are not an argument."""
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
"""The data converter of every client and worker that encrypt nothing."""
