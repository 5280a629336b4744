"""Limits of requests before they are parsed: bytes, seconds, form."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.api.problem import Problem, again, answer

MOST: Final = 1024 * 1024 + 64 * 1024
"""Maximum bytes of a body: the largest entry and what surrounds it."""
PATIENCE: Final = 10.0
"""Seconds for a body to arrive."""
TOGETHER: Final = 64 * 1024 * 1024
"""Maximum bytes of all bodies in progress, which are kept until their requests are answered."""
SHARE: Final = 4
"""One key's bodies may use this fraction of `TOGETHER`."""


class Bounds:
    """An ASGI application that protects another one from bodies that are too large or too slow.

    Args:
        application: The guarded application.
        larger: Maximum bytes by path, or by prefix if it ends in ``/``, that differ from `MOST`.
        patience: See `PATIENCE`.
        together: See `TOGETHER`.
        refuse: Makes an answer of a problem.
    """

    def __init__(
        self,
        application: ASGIApp,
        *,
        larger: Mapping[str, int] | None = None,
        patience: float = PATIENCE,
        together: int = TOGETHER,
        refuse: Callable[[Problem], ASGIApp] = answer,
    ) -> None:
        self._application, self._larger, self._patience, self._refuse = application, larger or {}, patience, refuse
        self._together, self._under_way = together, 0
        self._of_key: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        most = self._most(scope["path"])
        headers = dict(scope["headers"])
        said = headers.get(b"content-length", b"0")
        if headers.get(b"content-encoding", b"identity").strip().lower() != b"identity":
            problem = Problem("unsupported-media", "send the body as it is, without a content-encoding", headers=_CLOSE)
            await self._refuse(problem)(scope, receive, send)
            return
        if not said.isdigit() or int(said) > most:
            await self._refuse(_too_large(most))(scope, receive, send)
            return
        came = 0
        key = ""
        end = asyncio.get_running_loop().time() + self._patience
        whole = False

        async def bounded() -> Message:
            nonlocal came, key, whole
            if whole:
                return await receive()
            try:
                async with asyncio.timeout_at(end):
                    message = await receive()
            except TimeoutError:
                raise Problem("too-slow", "the body did not arrive in time", headers=_CLOSE) from None
            if message["type"] == "http.request":
                size = len(message.get("body", b""))
                came += size
                self._under_way += size
                if caller := scope.get("state", {}).get("caller"):  # whoever it is, is known before a body is read
                    key = caller.id
                    self._of_key[key] += size
                whole = not message.get("more_body", False)
                if came > most:
                    raise _too_large(most)
                if self._of_key[key] > self._together // SHARE:
                    raise _later("too-many", "this key sends too much at once: wait for the answers")
                if self._under_way > self._together:
                    raise _later("unavailable", "too much is being sent at once: try again")
            return message

        try:
            await self._application(scope, bounded, send)
        finally:
            self._under_way -= came
            if key:
                self._of_key[key] -= came

    def _most(self, path: str) -> int:
        begins = (most for name, most in self._larger.items() if name.endswith("/") and path.startswith(name))
        return self._larger.get(path) or next(begins, MOST)


_CLOSE: Final = {"connection": "close"}


def _later(code: str, sentence: str) -> Problem:
    problem = again(code, sentence)
    return Problem(problem.code, problem.detail, headers={**(problem.headers or {}), **_CLOSE})


def _too_large(most: int) -> Problem:
    return Problem("too-large", f"the body may have {most:,} bytes at most", headers=_CLOSE)
