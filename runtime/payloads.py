"""How values and errors become payloads.

Plain JSON by pydantic, one clear failure for an argument that is none, no stack traces of what is expected to happen.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Final

from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.contrib.pydantic import PydanticPayloadConverter, pydantic_data_converter
from temporalio.converter import DefaultFailureConverter, PayloadConverter
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory


class JsonPayloads(PydanticPayloadConverter):
    """Pydantic's converter, which fails a workflow whose arguments cannot be decoded.

    The SDK would fail the workflow *task* instead, and try it again for ever. It tells the two apart by the kind of
    exception. What our own activities answer is decoded with type hints; should that ever fail, the journey must stay
    where it is until the code is mended.
    """

    def from_payloads(self, payloads: Sequence[Payload], type_hints: list[type] | None = None) -> list[Any]:
        """Decodes payloads.

        Raises:
            ApplicationError: They came from outside and are not JSON.
        """
        try:
            return super().from_payloads(payloads, type_hints)
        except Exception:
            if type_hints is None:
                raise ApplicationError(
                    "The argument cannot be read: it must be plain JSON, not encrypted or compressed",
                    type="NotJson",
                    non_retryable=True,
                ) from None
            raise


class BriefFailures(DefaultFailureConverter):
    """The SDK's converter, without the stack trace where nothing is wrong with our code.

    A receiver that answers 503 is a BENIGN failure. Its sentence says all there is to say; a trace through the worker
    would fill the operator's screen, and a kilobyte of the journey's history.
    """

    def to_failure(self, exception: BaseException, payload_converter: PayloadConverter, failure: Failure) -> None:
        """See the base class."""
        super().to_failure(exception, payload_converter, failure)
        if isinstance(exception, ApplicationError) and exception.category is ApplicationErrorCategory.BENIGN:
            failure.stack_trace = ""


CONVERTER: Final = dataclasses.replace(
    pydantic_data_converter, payload_converter_class=JsonPayloads, failure_converter_class=BriefFailures
)
"""The data converter of every client and worker."""
