"""Routes ``/callbacks/{token}``, ``/u/{token}`` (`gateway.callbacks.links`), ``GET /healthz``; nothing else.

A receiver posts ``{"name": "chat.replied", "properties": {…}}`` to ``{{ journey.callback_url }}``, and that journey
gets the event. The routes are public:

- only POST acts, because mail servers and chats open every URL. A URL with an event's name is a link, and answers GET
  with a page that asks: see `gateway.callbacks.links`;
- an unknown and a forged token get the same answer;
- names of events from providers are refused, because the receiver is not the provider;
- a body is read only with a valid token, up to 64 KB and 10 seconds;
- the rate of each token is limited, to protect its journey.

The token is a secret. It is not logged here, and a proxy must not log the path either.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import math
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError
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
from authoring.errors import BadInput
from gateway.callbacks.links import Unsubscriptions, is_link, page, saying
from gateway.callbacks.mail import InboundMail
from gateway.providers.app import InboundEvents, expects_events, fetching, providers_of
from gateway.providers.effects import ProviderEffects
from gateway.providers.texts import InboundTexts
from gateway.public_calls import RefusedCall, read_body, refusal
from runtime.derived_keys import AddressHashes, ExpiredToken, TokenError, suppression_keys
from runtime.encryption.keyring import Erased
from runtime.errors import SettingsError, SetupError
from runtime.process.http_server import ALIVE
from runtime.public_links import CallbackClaim, Callbacks, ReturnPaths, Unsubscribing
from runtime.settings import Settings
from runtime.store import Store, StoreError
from runtime.temporal_faults import unless_gone
from scenario.entry.entry import unread
from scenario.model.parts import EventName
from scenario.source.findings import listed
from scenario.words import is_reserved_event
from service.caller import TERMINAL
from service.client import Services
from service.concurrency import RateLimit
from service.events import NO_NAME, NO_PROPERTIES, RESERVED_NAME, check_event, event_message
from service.journeys.snapshot import describe, word_of

logger = logging.getLogger(__name__)
MAX_BODY: Final = 64 * 1024  # maximum bytes of a body
PATIENCE: Final = 10.0  # seconds for a body to arrive, and then for Temporal to accept the event
PACE: Final = (60, 60.0)  # maximum number of events per number of seconds, for each delivery
_AGAIN: Final = 5  # seconds
_UNKNOWN: Final = "there is no such callback address: post to it exactly as it was sent to you"
_OVER: Final = "this callback address has expired, or its journey is over"
MOST_EVENTS: Final = 8_000
"""Number of events in a run's history after which callbacks are refused. Temporal accepts 10,000 signals and 51,200
events."""
MOST_BYTES: Final = 16 * 1024 * 1024
"""Size of a run's history, in bytes, from which on callbacks are refused.

Temporal ends a journey at 50 MB, and a journey cannot continue as new while its delivery is retried, for days."""
_CALL: Final = timedelta(seconds=5)
_TURNS: Final = 3
_UNDER_WAY: Final = ("running", "paused")
_SUCH: Final = 'an object such as {"name": "chat.replied", "properties": {}}'
_WANTED: Final = {"name": NO_NAME, "properties": NO_PROPERTIES, "id": "'id' must be 1 to 128 visible ASCII characters"}
_SENTENCES: Final = {
    404: "there is nothing here",
    405: "only POST does something here: opening this address does nothing",
}
EventId = Annotated[str, StringConstraints(pattern=r"^[!-~]{1,128}$")]
"""The id of an event, for deduplication: visible ASCII."""
_EVENT_ID: Final = TypeAdapter[str](EventId)


class CallbackEvent(BaseModel):
    """An event in the body of a callback, such as ``chat.replied``."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, strict=True)

    name: EventName
    properties: dict[str, Any] = Field(default_factory=dict[str, Any])
    id: EventId | None = None

    @classmethod
    def parse(cls, content: bytes) -> CallbackEvent:
        """Read an event from JSON. Raise BadInput if it is malformed. The message quotes nothing."""
        try:
            event = cls.model_validate_json(content)
        except ValidationError as error:
            raise BadInput(_wrong(error, content)) from None
        check_event(event.name, event.properties)
        return event


def _wrong(error: ValidationError, content: bytes) -> str:
    first = error.errors(include_input=False, include_context=False, include_url=False)[0]
    if first["type"] == "json_invalid":
        return unread(content, "the body", f"send {_SUCH}") or f"the body is not JSON: send {_SUCH}"
    if first["type"] == "extra_forbidden":
        return "an event has 'name', 'properties' and 'id', and nothing else"
    field = str(first["loc"][0]) if first["loc"] else ""
    return _WANTED.get(field, f"the body must be {_SUCH}")


class Unsettled(Exception):
    """The journey continued as new faster than the event could be sent. Try again."""


class Overfull(Unsettled):
    """The journey's run has received too many events. Its next run may accept more."""


async def tell(temporal: Client, claim: CallbackClaim, event: CallbackEvent, identifier: str | None = None) -> bool:
    """Send an event to the journey of a claim. Return False if that journey has ended.

    A later journey of the same workflow id does not receive it: the first run's id is compared, and the signal names
    the run. The identifier, for deduplication, is separate for each delivery and from the engine's ids, so that no
    caller can suppress another sender's event. Raise RPCError if Temporal is unavailable or refuses, or Unsettled.
    """
    message: dict[str, Any] = {"name": event.name, "properties": event.properties}
    if identifier is not None:
        message["id"] = f"{claim.delivery_id}/{identifier}"
    for _ in range(_TURNS):
        run = await _run(temporal, claim)
        if run is None:
            return False
        with unless_gone():  # if that run has just ended, the journey may go on in another
            handle = temporal.get_workflow_handle(claim.workflow_id, run_id=run)
            await handle.signal("event", message, rpc_timeout=_CALL)
            return True
    raise Unsettled("the journey does not stand still")


async def _run(temporal: Client, claim: CallbackClaim) -> str | None:
    described = await describe(temporal, claim.workflow_id, patience=_CALL)
    if described is None:
        return None
    info = described.workflow_execution_info
    if info.first_run_id != claim.root or word_of(info) not in _UNDER_WAY:
        return None
    if info.history_length > MOST_EVENTS or info.history_size_bytes > MOST_BYTES:
        raise Overfull("the journey's history is nearly full")
    return info.execution.run_id


Tell = Callable[[CallbackClaim, CallbackEvent, str | None], Awaitable[bool]]
"""Sends an event to a journey. Returns False if the journey has ended. The function `tell` is one."""


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
            exception_handlers={HTTPException: _said, BadInput: _said, ClientDisconnect: _gone},
        )
        self.application.router.redirect_slashes = False  # the answer would repeat the token

    async def _callback(self, request: Request) -> Response:
        claim = self._claim(request.path_params["token"])
        link = is_link(request)
        if not link:
            _acceptable(request)
        if wait := self._pace.take(claim.delivery_id):
            again = {"retry-after": str(math.ceil(wait))}
            raise RefusedCall(429, "too many events came to this callback address: try again later", again)
        body = await read_body(request, MAX_BODY, patience=self._patience, names=("the body", "an event"))
        if link:
            event, identifier = event_of_link(request)
            if is_reserved_event(event.name):
                return page(request, "void", 410)
        else:
            event = CallbackEvent.parse(body)
            if is_reserved_event(event.name):
                raise RefusedCall(422, RESERVED_NAME)
            identifier = event.id or _identifier(request)
        try:
            async with asyncio.timeout(self._patience):
                told = await self._tell(claim, event, identifier)
        except Erased:
            raise RefusedCall(410, _OVER) from None
        except (RPCError, TimeoutError, Unsettled, StoreError, SetupError) as error:
            what = error.status.name if isinstance(error, RPCError) else type(error).__name__
            logger.warning("event %s for %s by %s not told: %s", event.name, claim.workflow_id, claim.delivery_id, what)
            raise RefusedCall(503, "the event cannot be taken now: try again", {"retry-after": str(_AGAIN)}) from None
        if not told:
            raise RefusedCall(410, _OVER)
        logger.info("event %s for %s by %s", event.name, claim.workflow_id, claim.delivery_id)
        return saying(request, 200) if link else JSONResponse({}, 202)

    async def _open(self, request: Request) -> Response:
        if not is_link(request):
            raise HTTPException(405, headers={"allow": "POST"})
        self._claim(request.path_params["token"])
        event, _ = event_of_link(request)
        return page(request, "void", 410) if is_reserved_event(event.name) else page(request, "ask")

    def _claim(self, token: str) -> CallbackClaim:
        try:
            return self._callbacks.verify(token, datetime.now(UTC))
        except ExpiredToken:
            raise RefusedCall(410, _OVER) from None
        except TokenError:
            raise RefusedCall(404, _UNKNOWN) from None


def _acceptable(request: Request) -> None:
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not (media == "application/json" or (media.startswith("application/") and media.endswith("+json"))):
        raise RefusedCall(415, "send the event as JSON, with content-type: application/json")
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise RefusedCall(415, "send the event without a content-encoding")


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


def event_of_link(request: Request) -> tuple[CallbackEvent, str]:
    """Return the event of a link and its id for deduplication. Raise BadInput if it is malformed."""
    properties = dict(request.query_params)
    event = CallbackEvent(**event_message(properties.pop("name"), properties))
    whole = json.dumps([event.name, properties], sort_keys=True)
    return event, f"link-{hashlib.sha256(whole.encode()).hexdigest()[:32]}"


async def _alive(_request: Request) -> Response:
    return JSONResponse({"alive": True})


async def _said(request: Request, error: Exception) -> Response:
    status, headers, sentence = 400, None, str(error)
    if isinstance(error, HTTPException):
        status, headers, sentence = error.status_code, error.headers, error.detail
        if not isinstance(error, RefusedCall):
            sentence = _SENTENCES.get(status, "that is not possible")
    if "token" in request.path_params and is_link(request):
        return saying(request, status, headers)
    return refusal(status, sentence, headers)


async def _gone(_request: Request, _error: Exception) -> Response:
    return Response(status_code=400)  # the client is gone


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
