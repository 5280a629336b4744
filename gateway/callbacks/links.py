"""Pages behind links in messages: a button that sends an event, and unsubscribing.

Mail servers, chats and virus scanners open every link. A callback URL with an event's name,
``…?name=newsletter.confirmed&list=weekly``, therefore answers GET with a form that posts to the same URL. Other
parameters are the event's properties. The page repeats nothing of the URL.

Unsubscribing at ``/u/{token}`` is one click in a mail program (RFC 8058), or a button on a page:

- GET and HEAD change nothing, because mail servers and virus scanners open every link: they show a page that asks.
- POST answers 200 once the suppression is stored, also repeatedly; no redirect, no cookie, no login (§3.2). An unknown
  token gets the same answer and has no effect. If the store is unavailable, the answer is 503, so that the sender tries
  again.
- The contact's journeys receive an event after the answer. If that fails, still no marketing leaves, because every
  attempt checks suppressions.

Whoever has the URL can unsubscribe its contact. Neither the URL nor the address is logged.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from temporalio.service import RPCError

from activities.suppressions import Suppressor
from authoring.errors import BadInput
from gateway.public_calls import RefusedCall, read_body, shortly
from runtime.public_links import UNSUBSCRIBE_PATH, Subscriber, Unsubscribing
from runtime.store import StoreError
from scenario.errors import BadRecipient
from scenario.policies.suppression import UNSUBSCRIBED, Suppression
from service.concurrency import RateLimit

logger = logging.getLogger(__name__)
_FORM: Final = "application/x-www-form-urlencoded"
_STYLE: Final = (
    "body{font:1.1rem/1.5 system-ui,sans-serif;max-width:30rem;margin:20vh auto;padding:0 1rem;text-align:center}"
    "button{font:inherit;padding:.6rem 2rem;cursor:pointer}"
)
_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS: Final = {
    "content-security-policy": (
        f"default-src 'none'; style-src 'sha256-{_HASH}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",  # the address is a secret
    "x-content-type-options": "nosniff",
    "x-robots-tag": "noindex",
}
_FORMS: Final = {
    "ask": '<form method="post"><button>{button}</button></form>',
    "unsubscribe": '<form method="post"><input type="hidden" name="List-Unsubscribe" value="One-Click">'
    '<button name="by" value="page">{button}</button></form>',
}
PRESSED: Final = b"by=page"  # body of a POST from the button of the page for unsubscribing
_WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "en": {
        "ask": "Please press the button to confirm.",
        "ask button": "Confirm",
        "done": "Thank you. You can close this page.",
        "over": "This link has expired.",
        "void": "This link no longer counts.",
        "unknown": "This link does not work: open it exactly as it was sent to you.",
        "later": "This is not possible now. Please try again in a few minutes.",
        "unsubscribe": "Press the button to unsubscribe.",
        "unsubscribe button": "Unsubscribe",
        "unsubscribed": "You are unsubscribed. You can close this page.",
    },
    "fr": {
        "ask": "Cliquez sur le bouton pour confirmer.",
        "ask button": "Confirmer",
        "done": "Merci. Vous pouvez fermer cette page.",
        "over": "Ce lien a expiré.",
        "void": "Ce lien n'est plus pris en compte.",
        "unknown": "Ce lien ne fonctionne pas : ouvrez-le exactement tel qu'il vous a été envoyé.",
        "later": "Ce n'est pas possible pour le moment. Réessayez dans quelques minutes.",
        "unsubscribe": "Cliquez sur le bouton pour vous désabonner.",
        "unsubscribe button": "Me désabonner",
        "unsubscribed": "Vous êtes désabonné. Vous pouvez fermer cette page.",
    },
    "de": {
        "ask": "Bitte bestätigen Sie mit der Schaltfläche.",
        "ask button": "Bestätigen",
        "done": "Vielen Dank. Sie können diese Seite schließen.",
        "over": "Dieser Link ist abgelaufen.",
        "void": "Dieser Link zählt nicht mehr.",
        "unknown": "Dieser Link funktioniert nicht: Öffnen Sie ihn genau so, wie er Ihnen geschickt wurde.",
        "later": "Das ist gerade nicht möglich. Bitte versuchen Sie es in einigen Minuten noch einmal.",
        "unsubscribe": "Bitte bestätigen Sie die Abmeldung mit der Schaltfläche.",
        "unsubscribe button": "Abmelden",
        "unsubscribed": "Sie sind abgemeldet. Sie können diese Seite schließen.",
    },
    "es": {
        "ask": "Pulse el botón para confirmar.",
        "ask button": "Confirmar",
        "done": "Gracias. Puede cerrar esta página.",
        "over": "Este enlace ha caducado.",
        "void": "Este enlace ya no cuenta.",
        "unknown": "Este enlace no funciona: ábralo exactamente como se le envió.",
        "later": "Ahora no es posible. Inténtelo de nuevo en unos minutos.",
        "unsubscribe": "Pulse el botón para darse de baja.",
        "unsubscribe button": "Darme de baja",
        "unsubscribed": "Se ha dado de baja. Puede cerrar esta página.",
    },
}
_SAID: Final = {
    HTTPStatus.OK: "done",
    HTTPStatus.BAD_REQUEST: "unknown",
    HTTPStatus.NOT_FOUND: "unknown",
    HTTPStatus.GONE: "over",
}


def is_link(request: Request) -> bool:
    """Return True if a link with an event's name was opened, or the button of its page pressed."""
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return "name" in request.query_params and (request.method in ("GET", "HEAD") or media == _FORM)


def saying(request: Request, status: int, headers: Mapping[str, str] | None = None) -> HTMLResponse:
    return page(request, _SAID.get(HTTPStatus(status), "later"), status, headers)


def page(
    request: Request, word: str, status: int = HTTPStatus.OK, headers: Mapping[str, str] | None = None
) -> HTMLResponse:
    """Return a page with a sentence of `_WORDS`, and its form if it has one, in the reader's language."""
    language = _language(request)
    words = _WORDS[language]
    form = _FORMS[word].format(button=words[f"{word} button"]) if word in _FORMS else ""
    html = (
        f'<!doctype html><html lang="{language}"><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{words[word]}</title><style>{_STYLE}</style>'
        f"<p>{words[word]}</p>{form}</html>"
    )
    return HTMLResponse(html, status, {**(headers or {}), **_HEADERS})


def _language(request: Request) -> str:
    """Return the first supported language in the order of the header, without regard to weights; else English."""
    asked = (part.strip()[:2].lower() for part in request.headers.get("accept-language", "").split(","))
    return next((language for language in asked if language in _WORDS), "en")


# ---- unsubscribing

EVENT: Final = "contact.unsubscribed"  # the event for journeys, with the properties ``channel`` and ``scope``
MAX_BODY: Final = 16 * 1024  # maximum bytes of a body. RFC 8058's is ``List-Unsubscribe=One-Click``
PATIENCE: Final = 10.0  # seconds for a body to arrive, and then for the store to answer
PACE: Final = (60, 60.0)  # maximum number of requests per number of seconds, for each token
_AGAIN: Final = 30  # seconds
_PAUSES: Final = (1.0, 5.0, 0.0)  # seconds between tries to tell journeys, which the gateway's drain leaves time for
TellContact = Callable[[str, str, Mapping[str, Any], str], Awaitable[object]]


class Unsubscriptions:
    """The routes. `tell` sends an event to a contact's journeys, with a pause in seconds after each failed try."""

    def __init__(
        self,
        unsubscribing: Unsubscribing,
        suppressor: Suppressor,
        tell: TellContact,
        *,
        pace: RateLimit | None = None,
        patience: float = PATIENCE,
        pauses: Sequence[float] = _PAUSES,
    ) -> None:
        self._unsubscribing, self._suppressor, self._tell = unsubscribing, suppressor, tell
        self._pace, self._patience, self._pauses = pace or RateLimit(*PACE), patience, pauses

    @property
    def routes(self) -> list[Route]:
        path = f"{UNSUBSCRIBE_PATH}{{token}}"
        return [Route(path, self._ask, methods=["GET"]), Route(path, self._unsubscribe, methods=["POST"])]

    async def _ask(self, request: Request) -> Response:
        # A truncated link must not look as if it worked.
        known = self._unsubscribing.opened(request.path_params["token"]) is not None
        return page(request, "unsubscribe") if known else saying(request, 404)

    async def _unsubscribe(self, request: Request) -> Response:
        token = str(request.path_params["token"])
        mark = hashlib.sha256(token.encode()).hexdigest()[:32]
        if wait := self._pace.take(mark):
            return saying(request, 429, {"retry-after": str(math.ceil(wait))})
        try:
            body = await read_body(request, MAX_BODY, patience=self._patience, names=("the call", "a call"))
        except RefusedCall as refused:
            return saying(request, refused.status_code, refused.headers)
        subscriber = self._unsubscribing.opened(token)
        if subscriber is None:
            return page(request, "unsubscribed")
        try:
            async with asyncio.timeout(self._patience):
                said = await self._suppress(subscriber, "a button on the page" if PRESSED in body else "one click")
        except (StoreError, TimeoutError) as error:
            logger.warning("contact %s cannot unsubscribe now: %s", subscriber.contact_id, error or "the store is slow")
            return saying(request, 503, {"retry-after": str(_AGAIN)})
        done = page(request, "unsubscribed")
        if said is not None:
            what = subscriber.scope or "all marketing"
            logger.info("contact %s unsubscribed from %s by %s", subscriber.contact_id, what, subscriber.channel)
            # Told twice under it, it counts once; and anew where the contact subscribed again in between.
            done.background = BackgroundTask(self._told, subscriber, said, f"{mark}/{said.suppressed_at.isoformat()}")
        return done

    async def _suppress(self, subscriber: Subscriber, evidence: str) -> Suppression | None:
        """Return the stored suppression, or None for a token without an address."""
        try:
            return await self._suppressor.suppress(
                subscriber.channel, subscriber.address, UNSUBSCRIBED, evidence, scope=subscriber.scope
            )
        except (BadRecipient, KeyError):
            return None

    async def _told(self, subscriber: Subscriber, said: Suppression, identifier: str) -> None:
        properties = {"channel": subscriber.channel, "scope": subscriber.scope}
        event = partial(self._tell, subscriber.contact_id, EVENT, properties, identifier)
        news = partial(self._suppressor.notify, said, subscriber.address)
        await asyncio.gather(
            self._insist(event, f"the journeys of contact {subscriber.contact_id} were not told of {EVENT}"),
            self._insist(news, f"the platform is not told that contact {subscriber.contact_id} has unsubscribed"),
        )

    async def _insist(self, telling: Callable[[], Awaitable[object]], failing: str) -> None:
        for pause in self._pauses:
            try:
                await telling()
            except BadInput as error:  # the contact was erased: its opt-out is kept
                logger.info("%s: %s", failing, error)
                return
            except (RPCError, StoreError) as error:
                logger.warning("%s: %s", failing, shortly(error))
                await asyncio.sleep(pause)
            else:
                return
