"""The body of an external request, with limits."""

from __future__ import annotations

from starlette.requests import ClientDisconnect, Request


async def body(request: Request, *, keep: int, most: int) -> tuple[bytes, int]:
    """Return the beginning of a body and its length. Content-Length is not trusted.

    Args:
        request: The request.
        keep: Bytes to return.
        most: Bytes after which reading stops.

    Returns:
        The beginning, and the number of bytes, more than `most` if it is too large. Nothing of an interrupted body.
    """
    kept, length = bytearray(), 0
    try:
        async for chunk in request.stream():
            length += len(chunk)
            kept += chunk[: max(0, keep - len(kept))]
            if length > most:
                break
    except ClientDisconnect:
        return b"", 0
    return bytes(kept), length
