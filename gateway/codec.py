"""``POST /codec/decode`` and ``/codec/encode`` for Temporal's UI and command line.

Both exchange ``{"payloads": [{"metadata", "data"}]}`` (protobuf's JSON). Callers need a key with the scope ``decode``:
the command line by ``--codec-auth 'Bearer sr_…'``, a browser also by its session of the pages on the same host. Only
scripts from the configured origins are allowed.

Payloads of erased contacts are replaced by a note. Encoded payloads belong to no contact, since the request names no
workflow.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final

from google.protobuf.json_format import MessageToJson, Parse, ParseError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp
from temporalio.api.common.v1 import Payload, Payloads

from gateway.api.authentication import Keys, caller_of, shown
from gateway.api.limits import Bounds
from gateway.api.problem import Problem, answer, problem_of
from gateway.asgi import Measured, Unstored
from gateway.pages.session import session_of
from runtime.encryption.codec import EncryptionCodec
from runtime.encryption.keyring import Erased, Keyring, UnknownKey
from runtime.errors import SetupError
from runtime.store import StoreError
from service.caller import caller_with

PREFIX: Final = "/codec"
MOST: Final = 16 * 1024 * 1024
"""Maximum bytes of a body: a page of a history has some megabytes, and Base64 makes them longer."""
_SENT: Final = ("authorization", "content-type", "x-namespace")


class _Codec:
    def __init__(self, encryption: EncryptionCodec, keys: Keys) -> None:
        self._encryption, self._keys = encryption, keys

    async def decode(self, request: Request) -> Response:
        async with await self._allow(request):
            return _answer([await self._decoded(payload) for payload in await _payloads(request)])

    async def encode(self, request: Request) -> Response:
        async with await self._allow(request):
            return _answer(await self._encryption.encode(await _payloads(request)))

    async def _decoded(self, payload: Payload) -> Payload:
        try:
            (decoded,) = await self._encryption.decode([payload])
        except Erased:
            return _said("the contact was erased")
        except UnknownKey as error:
            return _said(str(error))
        return decoded

    async def _allow(self, request: Request) -> AbstractAsyncContextManager[None]:
        token = shown(request.scope)
        session = await session_of(request, self._keys) if token is None else None
        caller = caller_with(session.key) if session is not None else await caller_of(self._keys, token)
        if not caller.has("decode") or caller.scenarios is not None:
            raise Problem("forbidden", "this key lacks the scope 'decode' for all scenarios")
        request.state.caller = caller
        return self._keys.places.place(caller, "read")


def application(keyring: Keyring, keys: Keys, origins: Sequence[str]) -> ASGIApp:
    """Return the codec server. `origins` are those of scripts that may use it, such as ``https://temporal.example.com``."""
    codec = _Codec(EncryptionCodec(keyring), keys)
    cors = Middleware(
        CORSMiddleware, allow_origins=origins, allow_methods=["POST"], allow_headers=_SENT, allow_credentials=True
    )
    app = Starlette(
        routes=[
            Route(f"{PREFIX}/decode", codec.decode, methods=["POST"]),
            Route(f"{PREFIX}/encode", codec.encode, methods=["POST"]),
        ],
        middleware=[cors],
        exception_handlers=dict.fromkeys((Problem, SetupError, StoreError), _problem),
    )
    return Unstored(Measured(Bounds(app, larger={f"{PREFIX}/": MOST})))


async def _payloads(request: Request) -> Sequence[Payload]:
    body = await request.body()
    try:
        return Parse(body, Payloads()).payloads
    except (ParseError, RecursionError, UnicodeDecodeError):
        raise Problem("malformed", 'the body must be {"payloads": […]}, as Temporal sends it') from None


def _answer(payloads: Sequence[Payload]) -> Response:
    return Response(MessageToJson(Payloads(payloads=payloads), indent=None), media_type="application/json")


def _said(sentence: str) -> Payload:
    return Payload(metadata={"encoding": b"json/plain"}, data=f'"{sentence}"'.encode())


async def _problem(_request: Request, error: Exception) -> Response:
    return answer(problem_of(error))
