"""Requests as the local receiver got them, and the files that it keeps of them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from runtime.local.folder import write_private


@dataclass(frozen=True)
class Received:
    """One request, as it came.

    Attributes:
        number: Counted from 1.
        at: When, in UTC.
        method: ``POST``.
        target: Path and query, as they were in the request line.
        headers: Names, in lower case, and values, in their order.
        body: The exact bytes.
        status: What was answered.
    """

    number: int
    at: datetime
    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    status: int

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    def header(self, name: str) -> str | None:
        """The header's first value, whatever the case of its name."""
        return next((value for known, value in self.headers if known.lower() == name.lower()), None)

    def json(self) -> Any:
        """The body as JSON.

        Raises:
            ValueError: It is none.
        """
        return json.loads(self.body)

    @property
    def place(self) -> str:
        """Where it was to go: the path's first part, which is a destination's name or a host."""
        return self.path.strip("/").partition("/")[0]


def keep(folder: Path, received: Received) -> None:
    """Writes a request to its file."""
    try:
        body: dict[str, str] = {"body": received.body.decode()}
    except UnicodeDecodeError:
        body = {"body_base64": base64.b64encode(received.body).decode()}
    text = {
        "at": received.at.isoformat(),
        "method": received.method,
        "target": received.target,
        "headers": received.headers,
        **body,
        "status": received.status,
    }
    name = f"{received.at:%Y%m%dT%H%M%S.%fZ}-{received.number}.json"
    write_private(folder / name, json.dumps(text, ensure_ascii=False, indent=2).encode())


def newest(folder: Path, limit: int) -> Iterator[Received]:
    """The requests of which a folder holds files, the newest first; none where there is no folder."""
    for number, path in enumerate(sorted(folder.glob("*.json"), reverse=True)[:limit]):
        try:
            content: dict[str, Any] = json.loads(path.read_bytes())
            yield Received(
                number=number,
                at=datetime.fromisoformat(content["at"]),
                method=content["method"],
                target=content["target"],
                headers=tuple((name, value) for name, value in content["headers"]),
                body=base64.b64decode(content["body_base64"]) if "body" not in content else content["body"].encode(),
                status=content["status"],
            )
        except (OSError, ValueError, KeyError, TypeError):
            continue  # somebody else's file
