"""Unsubscribing at ``/u/{token}``: one click in a mail program (RFC 8058), or a button on a page.

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
import hashlib
import logging
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from temporalio.service import RPCError

from activities.suppressions import Suppressor
from gateway.callbacks import page
from gateway.errors import BadInput
from gateway.limits import RateLimit, RefusedCall, read_body, shortly
from runtime.public_links import UNSUBSCRIBE_PATH, Subscriber, Unsubscribing
from runtime.store import StoreError
from scenario.errors import BadRecipient
from scenario.policies.suppression import UNSUBSCRIBED, Suppression

logger = logging.getLogger(__name__)
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
        return page.unsubscribing(request) if known else page.saying(request, 404)

    async def _unsubscribe(self, request: Request) -> Response:
        token = str(request.path_params["token"])
        mark = hashlib.sha256(token.encode()).hexdigest()[:32]
        if wait := self._pace.take(mark):
            return page.saying(request, 429, {"retry-after": str(math.ceil(wait))})
        try:
            body = await read_body(request, MAX_BODY, patience=self._patience, names=("the call", "a call"))
        except RefusedCall as refused:
            return page.saying(request, refused.status_code, refused.headers)
        subscriber = self._unsubscribing.opened(token)
        if subscriber is None:
            return page.unsubscribed(request)
        try:
            async with asyncio.timeout(self._patience):
                said = await self._suppress(subscriber, "a button on the page" if page.PRESSED in body else "one click")
        except (StoreError, TimeoutError) as error:
            logger.warning("contact %s cannot unsubscribe now: %s", subscriber.contact_id, error or "the store is slow")
            return page.saying(request, 503, {"retry-after": str(_AGAIN)})
        done = page.unsubscribed(request)
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
