"""``Idempotency-Key``: a request that is sent again, since its answer was lost, is answered as before, and done once.

For a day, each key of the API remembers by these what it was answered (as the IETF's draft
``draft-ietf-httpapi-idempotency-key-header`` has it). The same key with another request is a mistake; while the first
is under way, the second has to wait. What failed here (5xx), or came too often (429), is not kept: it may go well the
next time.

A process that is killed in a request leaves it under way. After a while it is carried out anew, under the same request
id as before, by which Temporal and journeys know what they have been told already.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Annotated, Any, Final
from uuid import UUID, uuid5

from fastapi import Depends, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.api.authentication import Caller
from gateway.api.body import WRITING, read, replayed
from gateway.api.problem import Mistake, Problem, again
from runtime.store import Store, StoreError
from runtime.store.api_answers import LEASE, Answered, Taken

logger = logging.getLogger(__name__)

HEADER: Final = "Idempotency-Key"
REPLAYED: Final = "Idempotency-Replayed"
LARGEST: Final = 1024 * 1024
"""Bytes of an answer that is kept."""
_KEY: Final = re.compile(rb"[!-~]{1,255}")
_SPACE: Final = UUID("5b1f0a5e-2f4b-4b0e-9a53-6f5d0c3b7e11")
_SOON: Final = 2.0  # seconds after which a request under way is probably over
_PRUNING: Final = 60.0  # seconds between two looks for answers to forget


class Idempotency:
    """An ASGI application around another, which does nothing twice.

    Args:
        application: What is guarded. It finds the request's id as `RequestId`.
        store: Where answers are kept.
        lease: How long a request may be under way before it is carried out anew.
        now: The time.
    """

    def __init__(
        self,
        application: ASGIApp,
        store: Store,
        *,
        lease: timedelta = LEASE,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._application, self._store, self._lease, self._now = application, store, lease, now
        self._pruned = monotonic()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request, or lets it through.

        Raises:
            Problem: It cannot be done under its key.
            StoreError: It is not known what became of the key.
        """
        given = [value for name, value in scope.get("headers", ()) if name == b"idempotency-key"]
        if not given or scope["method"] not in WRITING:
            await self._application(scope, receive, send)
            return
        if len(given) > 1 or not _KEY.fullmatch(given[0]):
            raise _mistake("give one Idempotency-Key of 1 to 255 visible ASCII characters, such as a UUID")
        caller: Caller = scope["state"]["caller"]
        body = await read(receive)
        digest = hashlib.sha256(b"\n".join((_target(scope), body))).hexdigest()
        key = hashlib.sha256(given[0]).hexdigest()  # an engine may make its keys of ids
        told = await self._store.take_request(caller.key.id, key, digest, self._now(), lease=self._lease)
        if isinstance(told, Taken):
            await self._carry_out(told, scope, replayed(body, receive), send)
        else:
            await _replay(told, digest)(scope, receive, send)
        await self._prune()

    async def _carry_out(self, taken: Taken, scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["request_id"] = _id_of(taken)
        collected = _Collected()
        try:
            await self._application(scope, receive, collected)
        except (Exception, asyncio.CancelledError):  # the latter where the server stops: another may carry it out
            await self._settle(self._store.give_up_request(taken))
            raise
        if collected.is_kept and scope["state"].get("settled", True):
            await self._settle(self._store.keep_answer(taken, collected.status, collected.headers, collected.text))
        else:
            await self._settle(self._store.give_up_request(taken))
        for message in collected.messages:
            await send(message)

    async def _settle(self, writing: Coroutine[Any, Any, None]) -> None:
        """Notes how it went. Where that fails, the request is over all the same, and its key free after the lease."""
        try:
            await writing
        except StoreError as error:
            logger.warning("what a request was answered is not kept: %s", error)

    async def _prune(self) -> None:
        if monotonic() - self._pruned >= _PRUNING:
            self._pruned = monotonic()
            try:
                while await self._store.prune_answers(self._now()):
                    pass
            except StoreError as error:
                logger.warning("old answers are not forgotten: %s", error)


class _Collected:
    """An answer that is held back until it is kept: a callable in the place of `send`."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    async def __call__(self, message: Message) -> None:
        self.messages.append(message)

    @property
    def status(self) -> int:
        return int(self.messages[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        pairs = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in self.messages[0]["headers"])
        return {name: value for name, value in pairs if name != "content-length"}

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages[1:])

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def is_kept(self) -> bool:
        """Whether it stays the same, and can be kept."""
        if not self.messages or self.status >= 500 or self.status == 429 or len(self.body) > LARGEST:
            return False
        try:
            self.body.decode()
        except UnicodeDecodeError:
            return False
        return True


def _target(scope: Scope) -> bytes:
    return f"{scope['method']} {scope['path']}?".encode(errors="replace") + scope["query_string"]


def _replay(found: Answered, digest: str) -> Response:
    if found.digest != digest:
        raise _mistake("this Idempotency-Key was given with another request: take a new one for each")
    if found.status is None:
        raise again("conflict", "the request with this Idempotency-Key is under way: send it again later", _SOON)
    return Response(found.body, found.status, {**(found.headers or {}), REPLAYED: "true"})


def _mistake(sentence: str) -> Problem:
    where = Mistake(pointer="header:idempotency-key", code="idempotency-key", detail=sentence)
    return Problem("invalid", sentence, [where])


def _id_of(taken: Taken) -> UUID:
    # With the time, since the same key is another request when it is forgotten.
    return uuid5(_SPACE, f"{taken.key_id} {taken.requested_at.isoformat()} {taken.idempotency_key}")


def _request_id(request: Request) -> UUID | None:
    return getattr(request.state, "request_id", None)


RequestId = Annotated[UUID | None, Depends(_request_id)]
"""What tells a request with an Idempotency-Key from others, the same when it is carried out anew; else None."""


def unsettle(request: Request) -> None:
    """Lets nobody keep a request's answer: part of it has to be done again, which its caller may ask for."""
    request.state.settled = False
