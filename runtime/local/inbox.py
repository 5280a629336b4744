"""A local mail server that stores every message as a file."""

from __future__ import annotations

import asyncio
import itertools
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.parser import BytesHeaderParser
from pathlib import Path
from typing import Any, Final, Self

from runtime.errors import NotInstalled
from runtime.local import make_folder, write_private
from runtime.process import HOST, port_error

MAX_BYTES: Final = 32 * 1024 * 1024  # maximum size of a message, as with most mail servers

_STAMP = "%Y%m%dT%H%M%S.%fZ"
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True)
class Mail:
    """A message in the inbox."""

    path: Path
    at: datetime
    data: bytes  # the exact bytes received

    @property
    def message(self) -> EmailMessage:
        return message_from_bytes(self.data, policy=policy.default)


class Inbox:
    """An SMTP server on loopback, as an asynchronous context manager. It needs `aiosmtpd`.

    Messages are written atomically as ``<time>-<message id>.eml``.
    """

    def __init__(self, folder: Path, *, port: int = 0) -> None:
        self.folder = folder
        self._port = port
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """The value for SCENARIO_SMTP."""
        return f"smtp://{HOST}:{self._port}"

    def messages(self) -> list[Mail]:
        return messages(self.folder)

    async def __aenter__(self) -> Self:
        try:
            from aiosmtpd.smtp import SMTP
        except ModuleNotFoundError:
            raise NotInstalled(
                "the local inbox is not installed: add it with `pip install aiosmtpd`, or set SCENARIO_SMTP"
            ) from None
        make_folder(self.folder)
        loop = asyncio.get_running_loop()

        def protocol() -> SMTP:
            return SMTP(self, data_size_limit=MAX_BYTES, enable_SMTPUTF8=True, hostname="localhost", loop=loop)

        try:
            self._server = await loop.create_server(protocol, HOST, self._port)
        except OSError as error:
            raise port_error(error, self._port, "the local inbox") from None
        self._port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def handle_DATA(self, _server: object, _session: object, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's
        keep(self.folder, envelope.original_content)
        return "250 2.0.0 kept"


def keep(folder: Path, data: bytes, at: datetime | None = None) -> Path:
    """Write a message to its file, and return the path."""
    time = (at or datetime.now(UTC)).astimezone(UTC).strftime(_STAMP)
    name = _UNSAFE.sub("-", str(BytesHeaderParser(policy=policy.compat32).parsebytes(data).get("message-id", "")))
    stem = f"{time}-{name.strip('-.')[:120] or 'message'}"
    again = ("" if number == 1 else f"-{number}" for number in itertools.count(1))
    path = next(path for path in (folder / f"{stem}{suffix}.eml" for suffix in again) if not path.exists())
    write_private(path, data)
    return path


def messages(folder: Path) -> list[Mail]:
    """Return all messages in a folder, in the order of their arrival."""
    found: list[Mail] = []
    for path in sorted(folder.glob("*.eml")):
        stamp = path.name.partition("-")[0]
        try:
            at = datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC)
        except ValueError:
            continue  # another program's file
        found.append(Mail(path, at, path.read_bytes()))
    return found
