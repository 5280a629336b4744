"""Sign in with a key, and sign out."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.api.authentication import Keys
from gateway.api.problem import Problem, again
from gateway.limits import RateLimit
from gateway.pages.page import Form, Page, does, go_to, read_form
from gateway.pages.rendering import is_here, render
from gateway.pages.session import begin, end, forget, is_from_here, keep, session_of

TRIES: Final = 30  # maximum number of invalid keys per address and minute, and of sessions per key
_CANNOT_READ: Final = "this key cannot read: it needs the scope 'read'"
_INVALID: Final = "this key is not valid: a key begins with sr_, and is shown once, when it is created"


@dataclass(frozen=True)
class Door:
    """An address that signs in without a key, for a server that only its own machine can reach."""

    token: str  # the end of the address: unguessable, and new at each start
    key: str  # the id of the key that it signs in with


def attempts() -> RateLimit:
    return RateLimit(TRIES, 60.0)


async def _ask(request: Request) -> Response:
    next_one = request.query_params.get("next", "/")
    if await session_of(request, request.app.state.keys) is not None:
        return go_to(next_one if is_here(next_one) else "/")
    return render("sign_in.html", next=next_one, wrong=None)


async def _sign_in(request: Request) -> Response:
    if not is_from_here(request):
        raise Problem("forbidden", "this form was sent by another site: open /sign-in, and sign in there")
    form = await read_form(request)
    keys: Keys = request.app.state.keys
    key = await keys.verify(form.get("key", "").strip())
    next_one = form.get("next", "/")
    limit: RateLimit = request.app.state.attempts
    if key is None:
        # Behind a proxy, all clients have one address: guesses must not lock out valid keys.
        if seconds := limit.take(request.client.host if request.client else ""):
            raise again("too-many", "too many keys were tried from this address: wait a minute", seconds)
        return render("sign_in.html", status=401, next=next_one, wrong=_INVALID)
    if "read" not in key.scopes:
        return render("sign_in.html", status=403, next=next_one, wrong=_CANNOT_READ)
    if seconds := limit.take(key.id):  # the store keeps each session for hours
        raise again("too-many", "this key began too many sessions: wait a minute", seconds)
    response = go_to(next_one if is_here(next_one) else "/")
    keep(request, response, await begin(keys, key, datetime.now(UTC)))
    return response


async def _open(request: Request) -> Response:
    door: Door | None = request.app.state.door
    token = request.path_params["token"]
    if door is None or not hmac.compare_digest(token.encode(), door.token.encode()):
        raise Problem("not-found", "this address has expired: use the one that was printed at the last start")
    keys: Keys = request.app.state.keys
    key = await keys.named(door.key)
    if key is None:
        raise Problem("forbidden", "the key of this address is no longer valid: restart the server")
    response = go_to("/")
    keep(request, response, await begin(keys, key, datetime.now(UTC)))
    return response


async def _sign_out(page: Page, _form: Form) -> Response:
    await end(page.request, page.request.app.state.keys)
    response = go_to("/sign-in")
    forget(page.request, response)
    return response


ROUTES: Final = (
    Route("/sign-in", _ask, methods=["GET"]),
    Route("/sign-in", _sign_in, methods=["POST"]),
    Route("/open/{token}", _open, methods=["GET"]),
    does("/sign-out", _sign_out, "read"),
)
