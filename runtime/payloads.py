"""How values become payloads: plain JSON by pydantic, and one clear failure for an argument that is none."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Final

from temporalio.api.common.v1 import Payload
from temporalio.contrib.pydantic import PydanticPayloadConverter, pydantic_data_converter
from temporalio.exceptions import ApplicationError


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


CONVERTER: Final = dataclasses.replace(pydantic_data_converter, payload_converter_class=JsonPayloads)
"""The data converter of every client and worker."""
