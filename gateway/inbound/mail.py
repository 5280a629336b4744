"""``POST /inbound/email``: mails to a return path or a feedback loop's address, from a mail server.

The body is the unchanged mail. The caller authenticates with a key, but anybody may have written the mail.

- A mail without one of our tokens is not parsed.
- A few threads parse mails, in bounded time.
- Its content counts only if the token proves the delivery and its address.
- The answer is 202 for every mail, so that the server does not repeat it, or 503 to have it repeated.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from temporalio.service import RPCError

from activities.suppressions import Suppressor
from gateway.inbound.report import COMPLAINT, MAX_READ, MailReport, read
from gateway.inbound.secret import is_authorized
from gateway.limits import read_body, refusal, shortly
from runtime.public_links import ReturnPaths
from runtime.store import StoreError
from scenario.errors import BadRecipient
from scenario.policies.suppression import Suppression

logger = logging.getLogger(__name__)
PATH: Final = "/inbound/email"
MAX_BODY: Final = 32 * 1024 * 1024  # maximum bytes of a mail; only `MAX_READ` of them are parsed
PATIENCE: Final = 30.0  # seconds for a mail to arrive
READING: Final = 5.0  # seconds for parsing it
_CHANNEL: Final = "email"
_MOST_TOKENS: Final = 5
_READERS: Final = 2
_AGAIN: Final = {"retry-after": "60"}


class InboundMail:
    """The route."""

    def __init__(
        self,
        paths: ReturnPaths,
        suppressor: Suppressor,
        key: str,
        *,
        patience: float = PATIENCE,
        reading: float = READING,
    ) -> None:
        self._paths, self._suppressor, self._key = paths, suppressor, key
        self._patience, self._reading = patience, reading
        self._readers = ThreadPoolExecutor(_READERS, "inbound-mail")

    @property
    def routes(self) -> list[Route]:
        return [Route(PATH, self._take, methods=["POST"])]

    async def _take(self, request: Request) -> Response:
        if not is_authorized(request.headers.get("authorization", ""), [self._key]):
            return refusal(401, "show SCENARIO_INBOUND_KEY", {"www-authenticate": 'Basic realm="inbound"'})
        try:
            content = await read_body(request, MAX_BODY, patience=self._patience, keep=MAX_READ)
        except TimeoutError:
            return refusal(408, "the mail did not arrive in time", {"connection": "close"})
        if content is None:
            return refusal(413, f"a mail may have {MAX_BODY} bytes at most", {"connection": "close"})
        # Some servers say only outside the mail to which of many addresses it came.
        outside = request.query_params.get("recipient", "").encode()
        tokens = list(dict.fromkeys(self._paths.tokens(outside + b"\n" + content)))[:_MOST_TOKENS]
        if not tokens:
            return _ignored("it names no return path of ours")
        try:
            async with asyncio.timeout(self._reading):
                report = await asyncio.get_running_loop().run_in_executor(self._readers, read, content)
        except TimeoutError:
            logger.warning("%d bytes of a mail to a return path take too long to be read", len(content))
            return refusal(503, "the mail cannot be read now", _AGAIN)
        if report.against is None and not report.complaint:
            return _ignored(report.word)
        try:
            return await self._heard(report, tokens)
        except (StoreError, RPCError) as error:
            logger.warning("a mail to a return path cannot be taken now: %s", shortly(error))
            return refusal(503, "the mail cannot be taken now", _AGAIN)

    async def _heard(self, report: MailReport, tokens: list[str]) -> Response:
        proven = self._proven(report, tokens)
        if proven is None:
            return _ignored("no return path proves that it is about an address that it names")
        delivery, address = proven
        found: Suppression | None = None
        if report.complaint:
            found = await self._suppressor.suppress(_CHANNEL, address, COMPLAINT, report.word)
        elif report.against is not None:
            found = await self._suppressor.refused(_CHANNEL, address, report.against, delivery)
        if found is None:
            logger.info("%s has bounced for now", delivery)
            return JSONResponse({"delivery": delivery, "counted": "soft"}, 202)
        await self._suppressor.notify(found, address)
        logger.info("%s has suppressed its address: %s", delivery, found.source)
        return JSONResponse({"delivery": delivery, "suppressed": found.source}, 202)

    def _proven(self, report: MailReport, tokens: list[str]) -> tuple[str, str] | None:
        """Return the proven delivery and address, or None."""
        for address in report.addresses:
            for token in tokens:
                try:
                    if delivery := self._paths.proven(token, address):
                        return delivery, address
                except BadRecipient:
                    break
        return None


def _ignored(why: str) -> Response:
    logger.info("a mail that was handed in is ignored: %s", why)
    return JSONResponse({"ignored": why}, 202)
