"""The body of a request from outside, bounded."""

from __future__ import annotations

from starlette.requests import ClientDisconnect, Request


async def body(request: Request, *, keep: int, most: int) -> tuple[bytes, int]:
    """How a body begins, and how long it is. What Content-Length says is not believed, or missing.

    Args:
        request: The request.
        keep: Bytes that are kept.
        most: Bytes after which no more is read.

    Returns:
        What is kept, and how much came: more than `most` where that is too much; nothing of one that broke off.
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
