"""Routes ``/callbacks/{token}``, ``/u/{token}`` (`gateway.callbacks.unsubscribe`), ``GET /healthz``; nothing else.

A receiver posts ``{"name": "whatsapp.replied", "properties": {…}}`` to ``{{ journey.callback_url }}``, and that journey
gets the event. The routes are public:

- only POST acts, because mail servers and chats open every URL. A URL with an event's name is a link, and answers GET
  with a page that asks: see `gateway.callbacks.page`;
- an unknown and a forged token get the same answer;
- a body is read only with a valid token, up to 64 KB and 10 seconds;
- the rate of each token is limited, to protect its journey.

The token is a secret. It is not logged here, and a proxy must not log the path either.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Final

from pydantic import TypeAdapter, ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from temporalio.client import Client
from temporalio.service import RPCError

from activities.sms.configured import twilio_token
from activities.suppressions import PlatformNotifier, Suppressor, address_seal
from activities.webhook.destinations.reading import DestinationsFile
from activities.webhook.http.transport import Transport
from gateway.callbacks import page
from gateway.callbacks.deliver import CallbackEvent, EventId, Unsettled, tell
from gateway.callbacks.unsubscribe import Unsubscriptions
from gateway.errors import BadInput
from gateway.inbound.mail import InboundMail
from gateway.inbound.twilio import InboundTexts
from gateway.limits import RateLimit, read_body, refusal
from gateway.providers.app import InboundEvents, expects_events, fetching, providers_of
from gateway.providers.effects import ProviderEffects
from gateway.service.caller import TERMINAL
from gateway.service.services import Services
from runtime.derived_keys import AddressHashes, ExpiredToken, TokenError, suppression_keys
from runtime.encryption.keyring import Erased
from runtime.errors import SettingsError, SetupError
from runtime.process.http_server import ALIVE
from runtime.public_links import CallbackClaim, Callbacks, ReturnPaths, Unsubscribing
from runtime.settings import Settings
from runtime.store import Store, StoreError
from scenario.source.findings import listed

logger = logging.getLogger(__name__)
MAX_BODY: Final = 64 * 1024  # maximum bytes of a body
PATIENCE: Final = 10.0  # seconds for a body to arrive, and then for Temporal to accept the event
PACE: Final = (60, 60.0)  # maximum number of events per number of seconds, for each delivery
_AGAIN: Final = 5  # seconds
_EVENT_ID: Final[TypeAdapter[str]] = TypeAdapter(EventId)
_UNKNOWN: Final = "there is no such callback address: post to it exactly as it was sent to you"
_OVER: Final = "this callback address has expired, or its journey is over"
Tell = Callable[[CallbackClaim, CallbackEvent, str | None], Awaitable[bool]]
"""Sends an event to a journey. Returns False if the journey has ended. See `gateway.callbacks.deliver.tell`."""


class ErrorAnswer(HTTPException):
    """An answer other than 202, as one sentence in JSON."""

    def __init__(self, status: int, sentence: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(status, sentence, headers)


class Receiving:
    """The routes, as an ASGI application in `application`. `tell` sends an event to a journey."""

    def __init__(
        self,
        callbacks: Callbacks,
        tell: Tell,
        *,
        pace: RateLimit | None = None,
        patience: float = PATIENCE,
        more: Sequence[Route] = (),
    ) -> None:
        self._callbacks, self._tell, self._patience = callbacks, tell, patience
        self._pace = pace or RateLimit(*PACE)
        self.application = Starlette(
            routes=[
                Route("/callbacks/{token}", self._callback, methods=["POST"]),
                Route("/callbacks/{token}", self._open, methods=["GET"]),
                *more,
                Route(ALIVE, _alive, methods=["GET"]),
            ],
            exception_handlers={HTTPException: _said, ClientDisconnect: _gone},
        )
        self.application.router.redirect_slashes = False  # the answer would repeat the token

    async def _callback(self, request: Request) -> Response:
        claim = self._claim(request.path_params["token"])
        link = page.is_link(request)
        if not link:
            _acceptable(request)
        if wait := self._pace.take(claim.delivery_id):
            again = {"retry-after": str(math.ceil(wait))}
            raise ErrorAnswer(429, "too many events came to this callback address: try again later", again)
        try:
            body = await self._body(request)
            event, identifier = page.event_of(request) if link else _event(body, request)
        except BadInput as error:
            raise ErrorAnswer(400, str(error)) from None
        try:
            async with asyncio.timeout(self._patience):
                told = await self._tell(claim, event, identifier)
        except Erased:
            raise ErrorAnswer(410, _OVER) from None
        except (RPCError, TimeoutError, Unsettled, StoreError, SetupError) as error:
            what = error.status.name if isinstance(error, RPCError) else type(error).__name__
            logger.warning("event %s for %s by %s not told: %s", event.name, claim.workflow_id, claim.delivery_id, what)
            raise ErrorAnswer(503, "the event cannot be taken now: try again", {"retry-after": str(_AGAIN)}) from None
        if not told:
            raise ErrorAnswer(410, _OVER)
        logger.info("event %s for %s by %s", event.name, claim.workflow_id, claim.delivery_id)
        return page.saying(request, 200) if link else JSONResponse({}, 202)

    async def _open(self, request: Request) -> Response:
        if not page.is_link(request):
            raise HTTPException(405, headers={"allow": "POST"})
        self._claim(request.path_params["token"])
        try:
            page.event_of(request)
        except BadInput as error:
            raise ErrorAnswer(400, str(error)) from None
        return page.asking(request)

    def _claim(self, token: str) -> CallbackClaim:
        try:
            return self._callbacks.verify(token, datetime.now(UTC))
        except ExpiredToken:
            raise ErrorAnswer(410, _OVER) from None
        except TokenError:
            raise ErrorAnswer(404, _UNKNOWN) from None

    async def _body(self, request: Request) -> bytes:
        try:
            body = await read_body(request, MAX_BODY, patience=self._patience)
        except TimeoutError:
            raise ErrorAnswer(408, "the body did not arrive in time", {"connection": "close"}) from None
        if body is None:
            raise ErrorAnswer(413, f"an event may have {MAX_BODY} bytes at most", {"connection": "close"})
        return body


def _acceptable(request: Request) -> None:
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not (media == "application/json" or (media.startswith("application/") and media.endswith("+json"))):
        raise ErrorAnswer(415, "send the event as JSON, with content-type: application/json")
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise ErrorAnswer(415, "send the event without a content-encoding")


def _event(body: bytes, request: Request) -> tuple[CallbackEvent, str | None]:
    """Return the event in a body, and its id, if any. Raise BadInput if it is malformed."""
    event = CallbackEvent.parse(body)
    return event, event.id or _identifier(request)


def _identifier(request: Request) -> str | None:
    """Return the client's id of its message, for repeated requests. Raise BadInput if it is malformed."""
    for name in ("webhook-id", "idempotency-key"):
        # The latter is a string in quotes by its draft, and bare in practice.
        if given := request.headers.get(name, "").strip().removeprefix('"').removesuffix('"'):
            try:
                return _EVENT_ID.validate_python(given)
            except ValidationError:
                raise BadInput(f"{name} must be 1 to 128 visible ASCII characters") from None
    return None


async def _alive(_request: Request) -> Response:
    return JSONResponse({"alive": True})


async def _said(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 it is registered for nothing else
    if "token" in request.path_params and page.is_link(request):
        return page.saying(request, error.status_code, error.headers)
    sentence = (
        error.detail if isinstance(error, ErrorAnswer) else _SENTENCES.get(error.status_code, "that is not possible")
    )
    return refusal(error.status_code, sentence, error.headers)


async def _gone(_request: Request, _error: Exception) -> Response:
    return Response(status_code=400)  # the client is gone


_SENTENCES: Final = {
    404: "there is nothing here",
    405: "only POST does something here: opening this address does nothing",
}


def application(callbacks: Callbacks, temporal: Client, more: Sequence[Route] = ()) -> Starlette:
    """Return the public gateway of one namespace. For `more` see `routes_of`."""
    return Receiving(callbacks, partial(tell, temporal), more=more).application


def routes_of(
    settings: Settings, temporal: Client, store: Store, destinations: DestinationsFile, transport: Transport
) -> dict[str, list[Route]]:
    """Return the routes for suppressions and events from providers, by purpose.

    The client is for journeys and for reports to the platform; the transport fetches certificates of providers. Raise
    SettingsError if a required setting is missing.
    """
    unsubscribing, hashes = Unsubscribing.configured(settings), AddressHashes.configured(settings)
    paths = ReturnPaths.configured(settings)
    if settings.inbound_key is not None and paths is None:
        raise SettingsError("SCENARIO_INBOUND_KEY needs SCENARIO_BOUNCE_ADDRESS: set it here, as for the workers")
    if unsubscribing is None or hashes is None or settings.callback_url is None:
        if expects_events(settings):
            raise SettingsError(
                "SCENARIO_EVENTS_… need SCENARIO_CALLBACK_URL and SCENARIO_SUPPRESSION_KEY: set them here, as for the "
                "workers"
            )
        return {}
    seal = address_seal(suppression_keys(settings))
    notifier = PlatformNotifier(temporal, seal, lambda: destinations.book, shards=settings.queue_shards)
    suppressor = Suppressor(store, hashes, notifier)
    services = Services(temporal, store)
    report = partial(services.events.report, TERMINAL)
    made = {"unsubscribing": Unsubscriptions(unsubscribing, suppressor, report).routes}
    if paths is not None and settings.inbound_key is not None:
        made["bounces"] = InboundMail(paths, suppressor, settings.inbound_key.get_secret_value().strip()).routes
    if token := twilio_token(settings.sms.get_secret_value() if settings.sms else None):
        made["answers to SMS"] = InboundTexts(settings.callback_url, token, suppressor, store, hashes).routes
    if providers := providers_of(settings, fetching(transport)):
        effects = ProviderEffects(store, suppressor, services.events, services.scenarios.content)
        made[f"events from {listed(providers, 'and')}"] = InboundEvents(
            settings.callback_url, providers, effects
        ).routes
    return made
