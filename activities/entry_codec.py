"""Entries of a campaign's lines, as the store keeps them until they have an outcome."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from temporalio.api.common.v1 import Payload
from temporalio.client import Client
from temporalio.converter import WorkflowSerializationContext


class EntryCodec:
    """Encodes entries for the store as Temporal would get them: encrypted by the contact's key if payloads are."""

    def __init__(self, temporal: Client) -> None:
        self._temporal = temporal

    async def encode(self, journey: str, entry: Mapping[str, Any]) -> str:
        """Return an entry as text. Raise `Erased` if the contact was erased."""
        [payload] = await self._converter(journey).encode([dict(entry)])
        return base64.b64encode(payload.SerializeToString()).decode()

    async def decode(self, journey: str, text: str) -> dict[str, Any]:
        """Return the entry of a text. Raise `Erased` if the contact was erased."""
        payload = Payload.FromString(base64.b64decode(text))
        [entry] = await self._converter(journey).decode([payload], [dict])
        return entry

    def _converter(self, journey: str) -> Any:
        context = WorkflowSerializationContext(self._temporal.namespace, journey)
        return self._temporal.data_converter.with_context(context)
