"""Style sheets, script and icon of pages. A file's URL changes with its content."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.map.style import STYLE

FOLDER: Final = Path(__file__).with_name("static")
_KINDS: Final = {
    "pages.css": "text/css; charset=utf-8",
    "map.css": "text/css; charset=utf-8",
    "htmx.min.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
"""All files and their media types."""
_FOREVER: Final = {"cache-control": "public, max-age=31536000, immutable"}
_NOT_YET: Final = {"cache-control": "no-cache"}


@cache
def _read(name: str) -> tuple[bytes, str]:
    content = STYLE.encode() if name == "map.css" else (FOLDER / name).read_bytes()
    return content, hashlib.sha256(content).hexdigest()[:12]


def asset(name: str) -> str:
    """Return a file's URL."""
    return f"/static/{_read(name)[1]}/{name}"


async def _serve(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in _KINDS:
        raise HTTPException(404)
    content, version = _read(name)
    # Another release may be behind the same address for a while: what it asks for is not kept.
    kept = _FOREVER if request.path_params["version"] == version else _NOT_YET
    return Response(content, headers=kept, media_type=_KINDS[name])


ROUTES: Final = (Route("/static/{version}/{name}", _serve, methods=["GET"]),)
