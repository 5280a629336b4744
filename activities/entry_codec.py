"""Encoding of data of campaigns and batch calls for the store: as Temporal would get it, encrypted if payloads are."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, Final

from temporalio.api.common.v1 import Payload
from temporalio.client import Client
from temporalio.converter import WorkflowSerializationContext

_NO_CONTACT: Final = "audience"  # without a slash, so that the shared key encrypts it


class EntryCodec:
    """Encodes entries by the contact's key, and parts of files by the shared key."""

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
