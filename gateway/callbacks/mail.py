"""``POST /inbound/email``: mails to a return path or a feedback loop's address, from a mail server.

The body is the unchanged mail: a bounce (RFC 3464), a complaint (ARF, RFC 5965), or anything else. The caller
authenticates with a key, but anybody may have written the mail.

- A mail without one of our tokens is not parsed.
- A few threads parse mails, in bounded time. Only the necessary parts are read, within limits.
- Its content counts only if the token proves the delivery and its address.
- The answer is 202 for every mail, so that the server does not repeat it, or 503 to have it repeated.
"""

from __future__ import annotations

import asyncio
import email
import logging
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.message import Message
from typing import Any, Final

from flufl.bounce import all_failures  # pyright: ignore[reportUnknownVariableType] its argument has no type
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from temporalio.service import RPCError

from activities.suppressions import Suppressor
from gateway.public_calls import is_authorized, read_body, refusal, shortly
from runtime.public_links import ReturnPaths
from runtime.store import StoreError
from scenario.errors import BadRecipient
from scenario.policies.suppression import SOFT, AddressVerdict, Suppression, against
from scenario.type_guards import is_list

MAX_READ: Final = 256 * 1024  # bytes that are parsed: reports precede the returned mail
MAX_PARTS: Final = 50  # maximum number of parts
MAX_ADDRESSES: Final = 50  # maximum number of addresses
COMPLAINT: Final = "fbl"

logging.getLogger("flufl.bounce").setLevel(logging.CRITICAL)  # it logs each detector and each failure

_COMPLAINTS: Final = frozenset({"abuse", "fraud"})
_RECIPIENT: Final = (
    *("final-recipient", "original-recipient", "x-failed-recipients", "x-actual-recipient"),
    *("original-rcpt-to", "removal-recipient", "x-hmxmroriginalrecipient", "to", "delivered-to"),
)
"""Headers of any part that may name the recipient."""
_ADDRESS: Final = re.compile(r"[^\s<>;,\"()]{1,128}@[^\s<>;,\"()]{1,253}")
_HEX: Final = re.compile(r"\+([0-9A-F]{2})", re.ASCII)
_CODE: Final = re.compile(r"(?<![\d.])([45]\d\d)(?=[ -])", re.ASCII)
_GENERAL: Final = re.compile(r"[245]\.0\.0", re.ASCII)
_EXCERPT: Final = 4096  # characters of a text that are searched for a status


@dataclass(frozen=True)
class MailReport:
    """The content of a mail."""

    against: AddressVerdict | None = None
    complaint: bool = False
    addresses: tuple[str, ...] = ()  # addresses that it may concern, until a return path proves one
    word: str = ""  # its kind in a word or two, for the log


def read(content: bytes) -> MailReport:
    """Parse the first `MAX_READ` bytes of a mail in linear time. It never raises because of its content."""
    try:
        return _read(email.message_from_bytes(content[:MAX_READ]))
    except Exception:  # neither parser nor detectors are proof against all that calls itself a mail
        return MailReport(word="unreadable")


def _read(message: Message) -> MailReport:
    parts = list(_parts(message))
    kinds = {part.get_content_type(): part for part in reversed(parts)}
    addresses = tuple(dict.fromkeys(_addresses(parts)))[:MAX_ADDRESSES]
    if (complaint := kinds.get("message/feedback-report")) is not None:
        block = next(iter(_blocks(complaint)), complaint)
        kind = str(block.get("feedback-type", "")).strip().lower()
        if kind in _COMPLAINTS:
            return MailReport(complaint=True, addresses=addresses, word=kind)
        return MailReport(word="not a complaint")
    if (status := kinds.get("message/delivery-status")) is not None:
        return _of_status(status, addresses)
    return _of_words(message, parts, addresses)


def _blocks(part: Message) -> list[Message]:
    blocks: Any = part.get_payload()
    return blocks if is_list(blocks) else []


def _of_status(part: Message, addresses: tuple[str, ...]) -> MailReport:
    """Return a bounce as in RFC 3464."""
    word = "a notification without a failure"
    for block in _blocks(part)[:MAX_PARTS]:
        action = str(block.get("action", "")).strip().lower()
        if action.startswith("delayed"):
            word = "delayed: it is still being tried"
        if not action.startswith(("fail", "error")):
            continue
        said = _against(str(block.get("diagnostic-code", "")), str(block.get("status", "")))
        if said is not None:
            return MailReport(said, addresses=addresses, word="failed")
        word = "a failure that may not be about the address"
    return MailReport(word=word)


def _against(diagnostic: str, status: str) -> AddressVerdict | None:
    """Return the verdict of a block. The receiving server's own words win over the reporting server's status."""
    if not diagnostic.strip():
        return against(None, status)
    code = _CODE.search(diagnostic)
    said = against(int(code[1]) if code else None, diagnostic[:_EXCERPT])
    if said is None and _GENERAL.sub("", status).strip() and not re.search(r"[45]\.\d{1,3}\.\d", diagnostic):
        return against(None, status)
    return said


def _of_words(message: Message, parts: Iterable[Message], addresses: tuple[str, ...]) -> MailReport:
    temporary, permanent = all_failures(message)
    if not permanent:
        return MailReport(word="delayed: it is still being tried" if temporary else "no bounce")
    found = (address.decode("ascii", "replace") for address in permanent)
    named = tuple(dict.fromkeys((*found, *addresses)))[:MAX_ADDRESSES]
    text = next((_text(part) for part in parts if part.get_content_type() == "text/plain"), "")
    status = re.search(r"(?:([45]\d\d)[ -])?#?(?<![\d.])([45]\.\d{1,3}\.\d{1,3})(?![\d.]*\d)", text, re.ASCII)
    if status is not None:
        said = against(int(status[1]) if status[1] else None, status[2])
        return MailReport(
            said, addresses=named, word="failed" if said else "a failure that may not be about the address"
        )
    code = _CODE.search(text)
    said = against(int(code[1]), text[code.start() :]) if code else None
    # Unspecified failure: counts as temporary.
    return MailReport(said or AddressVerdict(SOFT, "a bounce without a status"), addresses=named, word="failed")


def _parts(message: Message) -> Iterator[Message]:
    for number, part in enumerate(message.walk()):
        if number >= MAX_PARTS:
            return
        yield part
        if part.get_content_type() == "text/rfc822-headers":
            yield email.message_from_string(_text(part))


def _addresses(parts: Iterable[Message]) -> Iterator[str]:
    for part in parts:
        for name in _RECIPIENT:
            values: list[Any] = part.get_all(name) or []
            for value in values[:MAX_PARTS]:
                text = _HEX.sub(lambda found: chr(int(found[1], 16)), str(value)[:_EXCERPT])  # xtext, RFC 3461 §4
                for spelling in dict.fromkeys((str(value)[:_EXCERPT], text)):
                    yield from _ADDRESS.findall(spelling)


def _text(part: Message) -> str:
    content: Any = part.get_payload(decode=True)
    return content[: 4 * _EXCERPT].decode("utf-8", "replace") if isinstance(content, bytes) else ""


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
        names = ("the mail", "a mail")
        content = await read_body(request, MAX_BODY, patience=self._patience, names=names, keep=MAX_READ)
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
