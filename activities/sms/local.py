"""Text messages into the local inbox: one JSON file each, beside the e-mails. For a machine where nothing is sent."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from activities.sms.errors import BusyError
from activities.sms.provider import Receipt, TextMessage
from runtime.local.folder import make_private


class LocalSms:
    """The local inbox.

    Args:
        inbox: Its folder; made when the first message comes.
    """

    name = "local"
    connections = 50

    def __init__(self, inbox: Path) -> None:
        self._inbox = inbox

    async def send(self, message: TextMessage) -> Receipt:
        """Writes a message: ``{"id", "to", "text", "at"}``. Whoever reads the folder sees it whole or not at all.

        Raises:
            BusyError: The file cannot be written.
        """
        try:
            name = await asyncio.to_thread(self._write, message)
        except OSError as error:
            raise BusyError(
                f"The local inbox cannot be written ({error.strerror}): check its folder", error="inbox_failed"
            ) from None
        return Receipt(reference=name)

    async def close(self, within: float) -> None:
        """Do nothing."""

    def _write(self, message: TextMessage) -> str:
        now = datetime.now(UTC)
        # The time first, so that names are in the order of sending; an attempt that is repeated gets its own file.
        name = f"{now:%Y%m%dT%H%M%S.%fZ}-{message.id}.json"
        content = {"id": message.id, "to": message.to, "text": message.body, "at": now.isoformat()}
        make_private(self._inbox)
        handle, path = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=self._inbox)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(content, file, ensure_ascii=False, indent=2)
            Path(path).replace(self._inbox / name)
        except BaseException:
            Path(path).unlink(missing_ok=True)
            raise
        return name
