"""Uploads of files of contacts, which campaigns read."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import uuid
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from temporalio.client import Client

from authoring.errors import BadInput
from runtime.encryption.codec import EntryCodec
from runtime.process.shutdown import background_task
from runtime.store import Store, StoreError
from runtime.store.campaign_lines import StoredAudience
from service.caller import Caller
from service.campaigns.audience_file import open_unchanged
from service.view import View

logger = logging.getLogger("gateway")

_NAME: Final = re.compile(r"[^\x00-\x1f\x7f/\\]{1,200}")
_PART: Final = 256 * 1024  # bytes of a part
_KEPT: Final = timedelta(days=1)  # time after which a file is deleted that no campaign has read
_PRUNED_EVERY: Final = 600.0  # seconds


class AudienceView(View):
    """An uploaded file of contacts. It is deleted when a campaign has read it, at an erasure, or after a day."""

    name: str
    """Its name, by which a campaign names it."""
    digest: str
    """SHA-256 of its bytes, in hex."""
    bytes: int
    """Number of bytes."""
    at: datetime
    """Time of the upload."""


class AudienceService:
    """Use cases about uploaded files."""

    def __init__(self, temporal: Client, store: Store) -> None:
        self._store, self._codec = store, EntryCodec(temporal)

    async def upload(self, caller: Caller, name: str, content: AsyncIterable[bytes]) -> AudienceView:
        """Store a file under a name, instead of an earlier one. Raise BadInput for an empty file or a bad name."""
        stored = await self.add(caller, name, content)
        return AudienceView.from_record(stored, at=stored.created_at)

    async def add(self, caller: Caller, name: str, content: AsyncIterable[bytes]) -> StoredAudience:
        if not _NAME.fullmatch(name):
            raise BadInput("a file's name has 1 to 200 characters without slashes: such as people.csv", at=["name"])
        audience = StoredAudience(id=uuid.uuid4().hex, name=name, owner=caller.id, created_at=datetime.now(UTC))
        await self._store.add_audience(audience)
        try:
            return await self._fill(audience, content)
        except BaseException:
            await asyncio.shield(self._store.delete_audience(audience.id))
            raise

    async def _fill(self, audience: StoredAudience, content: AsyncIterable[bytes]) -> StoredAudience:
        digest, size, number = hashlib.sha256(), 0, 0
        async for part in _in_parts(content):
            digest.update(part)
            size += len(part)
            await self._store.add_audience_part(audience.id, number, await self._codec.encode_part(part))
            number += 1
        if not size:
            raise BadInput(f"{audience.name} is empty")
        if not await self._store.complete_audience(audience.id, digest.hexdigest(), size, number, datetime.now(UTC)):
            raise BadInput("the file was deleted while it was uploaded, because a contact was erased: upload it again")
        return await self._store.stored_audience(audience.id) or audience

    @asynccontextmanager
    async def deleting_old(self) -> AsyncGenerator[None]:
        async def run() -> None:
            while True:
                try:
                    await self._store.delete_audiences(datetime.now(UTC) - _KEPT)
                except StoreError as error:
                    logger.warning("old files of contacts are not deleted: %s", error)
                await asyncio.sleep(_PRUNED_EVERY)

        async with background_task(run(), "audiences"):
            yield


async def file_parts(path: Path) -> AsyncIterator[bytes]:
    with open_unchanged(path) as file:
        while part := await asyncio.to_thread(file.read, _PART):
            yield part


async def _in_parts(content: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    waiting = bytearray()
    async for some in content:
        waiting += some
        while len(waiting) >= _PART:
            yield bytes(waiting[:_PART])
            del waiting[:_PART]
    if waiting:
        yield bytes(waiting)
