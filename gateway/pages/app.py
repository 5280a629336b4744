"""The pages as one application, with their security headers, and signing in and out."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import Any, Final
from urllib.parse import quote, urlsplit

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp
from temporalio.service import RPCError

from activities.webhook.destinations.reading import DestinationsFile
from authoring.errors import Refusal
from gateway.api.authentication import Keys
from gateway.api.limits import MOST_UPLOADED, Bounds
from gateway.api.problem import TITLES, Failsafe, Problem, again, problem_of
from gateway.asgi import Measured, Unstored
from gateway.pages import (
    campaigns,
    destinations,
    journeys,
    operations,
    preview,
    rendering,
    scenario_operations,
    scenarios,
)
from gateway.pages.page import Form, Page, SignInFirst, does, go_to, read_form
from gateway.pages.rendering import is_here, link, render
from gateway.pages.session import begin, end, forget, is_from_here, keep, session_of
from runtime.errors import SetupError
from runtime.store import StoreError
from runtime.temporal_faults import fault_of
from service.authoring import AuthoringService, ContentService
from service.authoring_process import Authoring, Setup
from service.client import ScenarioClient
from service.concurrency import RateLimit
from service.sending import Outbox

TRIES: Final = 30  # maximum number of invalid keys per address and minute, and of sessions per key
_CANNOT_READ: Final = "this key cannot read: it needs the scope 'read'"
_INVALID: Final = "this key is not valid: a key begins with sr_, and is shown once, when it is created"


@dataclass(frozen=True)
class Door:
    """An address that signs in without a key, for a server that only its own machine can reach."""

    token: str  # the end of the address: unguessable, and new at each start
    key: str  # the id of the key that it signs in with


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


logger = logging.getLogger(__name__)
_PAGES: Final = (rendering, scenario_operations, scenarios, journeys, operations, campaigns, destinations, preview)
ROUTES: Final[tuple[Route, ...]] = (
    Route("/sign-in", _ask, methods=["GET"]),
    Route("/sign-in", _sign_in, methods=["POST"]),
    Route("/open/{token}", _open, methods=["GET"]),
    does("/sign-out", _sign_out, "read"),
    *chain.from_iterable(module.ROUTES for module in _PAGES),
)
_OF_HTTP: Final = {
    404: ("not-found", "there is no page at this address"),
    405: ("not-allowed", "this address accepts only a form, or only requests without one: go to its page first"),
}
POLICY: Final = (  # the content security policy: load nothing from elsewhere, run nothing inline
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS: Final = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "x-robots-tag": "noindex",
}
LARGER: Final[Mapping[str, int]] = {**preview.LARGER, **scenario_operations.LARGER, "/sign-in": 8 * 1024}
"""Maximum bytes of a form, by path, if different from the default. Anybody can send the sign-in form."""


def application(
    client: ScenarioClient,
    keys: Keys,
    authors: Authoring | None = None,
    *,
    outbox: Outbox | None = None,
    book: DestinationsFile | None = None,
    temporal_ui: str | None = None,
    door: Door | None = None,
) -> Starlette:
    """Create the pages. By default, `authors` previews scenarios without any settings.

    Without `outbox`, no test messages are sent; without `book`, the destinations are not known; without `temporal_ui`,
    the address of Temporal's UI, there are no links to it.
    """
    kinds = (Problem, HTTPException, Refusal, StoreError, SetupError, RPCError)
    handlers: dict[Any, Any] = {SignInFirst: _sign_in_first, **dict.fromkeys(kinds, _tell)}
    app = Starlette(routes=ROUTES, exception_handlers=handlers)
    app.add_middleware(Failsafe, refuse=_page_of)
    app.router.redirect_slashes = False
    namespace = quote(client.temporal.namespace, safe="")
    app.state.client, app.state.keys, app.state.door = client, keys, door
    app.state.attempts = RateLimit(TRIES, 60.0)
    app.state.namespace_ui = temporal_ui and f"{temporal_ui}/namespaces/{namespace}"
    app.state.authoring = AuthoringService(client.store, authors or Authoring(Setup()))
    app.state.contents = ContentService(client, app.state.authoring)
    app.state.outbox, app.state.destinations = outbox, book
    app.state.hashes = outbox and outbox.trials.hashes
    return app


def bounded(app: Starlette, uploaded: int = MOST_UPLOADED) -> ASGIApp:
    """Add limits and response headers to the pages. `uploaded` is the maximum number of bytes of an upload."""
    streamed = {campaigns.UPLOAD: uploaded}
    limited = Bounds(app, larger=LARGER, streamed=streamed, refuse=_page_of)
    # The only secret in pages, the token of forms, is masked against BREACH: see `Session.token`.
    return Measured(Unstored(GZipMiddleware(limited, minimum_size=1000, compresslevel=6), HEADERS))


async def _sign_in_first(request: Request, _error: Exception) -> Response:
    here = f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path
    if request.method == "GET" and request.headers.get("sec-fetch-site") == "cross-site":
        # After a link on another site, the browser withholds the cookie. It sends it with the next request.
        return render("redirect.html", to=here)
    to = link("/sign-in", next=here if request.method == "GET" and here != "/" else None)
    # A refreshed part must not be replaced by the form for signing in: the whole page is.
    return Response(status_code=401, headers={"hx-redirect": to}) if "hx-request" in request.headers else go_to(to)


async def _tell(request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException) and not isinstance(error, Problem) and error.status_code in _OF_HTTP:
        error = Problem(*_OF_HTTP[error.status_code], headers=error.headers)
    elif isinstance(error, RPCError):
        fault = fault_of(error, request.app.state.client.temporal.namespace)
        error = again("unavailable", fault.advice, fault.retry_after)
    elif isinstance(error, StoreError | SetupError):
        logger.warning("a page failed: %s", error)
        error = again("unavailable", "the store or a setting cannot be used now: try again in a moment")
    return _page_of(problem_of(error), getattr(request.state, "page", None), _back(request))


def _back(request: Request) -> str | None:
    came = urlsplit(request.headers.get("referer", ""))
    if request.method != "POST" or came.netloc != request.headers.get("host"):
        return None
    back = f"{came.path}?{came.query}" if came.query else came.path
    return back if is_here(back) else None


def _page_of(problem: Problem, page: Page | None = None, back: str | None = None) -> HTMLResponse:
    return render(
        "problem.html",
        status=problem.status_code,
        headers=dict(problem.headers or {}),
        page=page,
        title=TITLES[problem.code][1],
        problem=problem,
        back=back,
    )
