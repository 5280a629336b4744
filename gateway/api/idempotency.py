"""``Idempotency-Key``: a repeated request is answered as before and carried out once.

Each API key's answers are kept for a day (see the IETF's ``draft-ietf-httpapi-idempotency-key-header``). The same key
with another request is a mistake. While the first request is in progress, the second waits. Answers 5xx, 429 and 415
are not kept, since a repetition may succeed.

A killed process leaves its request in progress. After the lease, a repetition is carried out under the same request id,
by which Temporal and journeys deduplicate.

Answers and digests are sealed with a key derived from the caller's API key, of which the store has only a digest. A
copy of the store therefore reveals neither requests nor answers.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import os
import re
from collections.abc import Collection, Coroutine, Mapping
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Annotated, Any, Final
from uuid import UUID, uuid5

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from fastapi import Depends, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.api.authentication import shown
from gateway.api.body import WRITING, read
from gateway.api.limits import UPLOADS
from gateway.api.problem import Problem, again, problem_at
from runtime.store import Store, StoreError
from runtime.store.api_access import LEASE, ClaimedRequest, StoredAnswer
from service.caller import Caller
from service.concurrency import RateLimit

logger = logging.getLogger(__name__)
HEADER: Final = "Idempotency-Key"
REPLAYED: Final = "Idempotency-Replayed"
LARGEST: Final = 1024 * 1024  # maximum bytes of a kept answer
KEPT_OF_KEY: Final = 256 * 1024 * 1024
"""Maximum bytes of answers kept for one API key per hour: more than 200 entries per second need."""
_KEY: Final = re.compile(rb"[!-~]{1,255}")
_SPACE: Final = UUID("5b1f0a5e-2f4b-4b0e-9a53-6f5d0c3b7e11")
_ABOUT_NOW: Final = (415, 429)  # the content type, which the digest lacks, and the rate
_NONCE: Final = 12  # bytes, as NIST SP 800-38D recommends
_SOON: Final = 2.0  # seconds after which a request in progress has probably ended
_PRUNING: Final = 60.0  # seconds between two looks for answers to forget


class Idempotency:
    """An ASGI application that carries out each request of another one once. It gets the request's id as `RequestId`.

    Requests to `unkept` paths change nothing, so no answer is kept. After the lease, a request in progress counts as
    killed.
    """

    def __init__(
        self, application: ASGIApp, store: Store, unkept: Collection[str] = (), *, lease: timedelta = LEASE
    ) -> None:
        self._application, self._store, self._unkept = application, store, unkept
        self._lease = lease
        self._kept = RateLimit(KEPT_OF_KEY, 3600.0)
        self._pruned = monotonic()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on.

        Raise Problem if it cannot be carried out under its key, or StoreError if the state of the key is unknown.
        """
        given = [value for name, value in scope.get("headers", ()) if name == b"idempotency-key"]
        unkept = scope["path"] in self._unkept or scope["path"].startswith(UPLOADS)
        if not given or scope["method"] not in WRITING or unkept:
            await self._application(scope, receive, send)
            return
        if len(given) > 1 or not _KEY.fullmatch(given[0]):
            raise _mistake("give one Idempotency-Key of 1 to 255 visible ASCII characters, such as a UUID")
        caller: Caller = scope["state"]["caller"]
        if seconds := self._kept.take(caller.id, 0):
            raise again("too-many", "too many answers are kept for this key: send smaller batches, or wait", seconds)
        body, receive = await read(scope, receive)
        seal = _Seal(shown(scope) or "", given[0])
        target = f"{scope['method']} {scope['path']}?".encode(errors="replace") + scope["query_string"]
        digest = seal.digest(target + b"\n" + body)
        told = await self._store.take_request(caller.id, seal.name, digest, datetime.now(UTC), lease=self._lease)
        if isinstance(told, ClaimedRequest):
            await self._carry_out(told, seal, scope, receive, send)
        else:
            await _replay(told, seal, digest)(scope, receive, send)
        await self._prune()

    async def _carry_out(self, taken: ClaimedRequest, seal: _Seal, scope: Scope, receive: Receive, send: Send) -> None:
        # With the time, since the same key is another request when it is forgotten.
        name = f"{taken.key_id} {taken.requested_at.isoformat()} {taken.idempotency_key}"
        scope["state"]["request_id"] = uuid5(_SPACE, name)
        collected = _Collected()
        renewing = asyncio.create_task(self._renew(taken))
        try:
            try:
                await self._application(scope, receive, collected)
            finally:
                renewing.cancel()
        except (Exception, asyncio.CancelledError):  # the latter where the server stops: another may carry it out
            await self._settle(self._store.give_up_request(taken))
            raise
        if collected.is_kept and scope["state"].get("settled", True):
            self._kept.take(taken.key_id, len(collected.body))
            answer = seal.close(collected.headers, collected.body)
            await self._settle(self._store.keep_answer(taken, collected.status, answer))
        else:
            await self._settle(self._store.give_up_request(taken))
        for message in collected.messages:
            await send(message)

    async def _renew(self, taken: ClaimedRequest) -> None:
        while True:
            await asyncio.sleep(self._lease.total_seconds() / 3)
            await self._settle(self._store.renew_request(taken, datetime.now(UTC)))

    async def _settle(self, writing: Coroutine[Any, Any, None]) -> None:
        """Record the outcome. If that fails, the request continues, and its key is free after the lease."""
        try:
            await writing
        except StoreError as error:
            logger.warning("the state of a request with an Idempotency-Key is not kept: %s", error)

    async def _prune(self) -> None:
        if monotonic() - self._pruned >= _PRUNING:
            self._pruned = monotonic()
            try:
                while await self._store.prune_answers(datetime.now(UTC)):
                    pass
            except StoreError as error:
                logger.warning("old answers are not forgotten: %s", error)


class _Collected:
    """An answer that is held back until it is stored: a replacement of `send`."""

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
    def is_kept(self) -> bool:
        """True if a repetition would get the same answer."""
        return bool(self.messages) and self.status < 500 and self.status not in _ABOUT_NOW and len(self.body) <= LARGEST


class _Seal:
    def __init__(self, token: str, key: bytes) -> None:
        self._secret = hmac.digest(token.encode(), b"idempotency\n" + key, "sha256")
        self.name = self.digest(b"")

    def digest(self, request: bytes) -> str:
        """Return a digest that only the caller can compute, in hex."""
        return hmac.new(self._secret, b"digest\n" + request, hashlib.sha256).hexdigest()

    def close(self, headers: Mapping[str, str], body: bytes) -> str:
        """Return a sealed answer as Base64."""
        nonce = os.urandom(_NONCE)
        plain = json.dumps(dict(headers)).encode() + b"\n" + body
        return base64.b64encode(nonce + AESGCM(self._answers).encrypt(nonce, plain, None)).decode()

    def open(self, sealed: str) -> tuple[dict[str, str], bytes]:
        raw = base64.b64decode(sealed)
        plain = AESGCM(self._answers).decrypt(raw[:_NONCE], raw[_NONCE:], None)
        headers, _, body = plain.partition(b"\n")
        return json.loads(headers), body

    @property
    def _answers(self) -> bytes:
        return hmac.digest(self._secret, b"answer", "sha256")


def _replay(found: StoredAnswer, seal: _Seal, digest: str) -> Response:
    if found.digest != digest:
        raise _mistake("this Idempotency-Key was given with another request: take a new one for each")
    if found.status is None or found.answer is None:
        raise again("conflict", "the request with this Idempotency-Key is in progress: send it again later", _SOON)
    headers, body = seal.open(found.answer)
    return Response(body, found.status, {**headers, REPLAYED: "true"})


def _mistake(sentence: str) -> Problem:
    return problem_at("header:idempotency-key", "idempotency-key", sentence)


def _request_id(request: Request) -> UUID | None:
    return getattr(request.state, "request_id", None)


RequestId = Annotated[UUID | None, Depends(_request_id)]
"""The id of a request with an Idempotency-Key, stable over repetitions, or None."""


def keep_answer_if(request: Request, is_settled: bool) -> None:
    """Keep no answer of a request unless it is settled: part of it has to be repeated."""
    if not is_settled:
        request.state.settled = False
