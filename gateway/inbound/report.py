"""What a mail that came to a return path says: a bounce (RFC 3464), a complaint (ARF, RFC 5965), or nothing of use.

Anybody may have written it. Only what is asked for is read of it, within bounds, and nothing of it is believed but by
the token of a return path, which proves what it is about (`runtime.return_path`).
"""

from __future__ import annotations

import email
import logging
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from email.message import Message
from typing import Any, Final, cast

from flufl.bounce import all_failures  # pyright: ignore[reportUnknownVariableType] its argument has no type

from scenario.policies.bounces import AddressVerdict, against
from scenario.policies.suppression import SOFT

MAX_READ: Final = 256 * 1024
"""Bytes of a mail that are read: what is said of the delivery stands in front of the mail that is sent back."""
MAX_PARTS: Final = 50
"""Parts of it that are looked at."""
MAX_ADDRESSES: Final = 50
"""Addresses that it may name."""
COMPLAINT: Final = "fbl"

logging.getLogger("flufl.bounce").setLevel(logging.CRITICAL)  # it logs each of its detectors, and what a mail breaks

_COMPLAINTS: Final = frozenset({"abuse", "fraud"})
_RECIPIENT: Final = (
    *("final-recipient", "original-recipient", "x-failed-recipients", "x-actual-recipient"),
    *("original-rcpt-to", "removal-recipient", "x-hmxmroriginalrecipient", "to", "delivered-to"),
)
"""Headers, of any part, that may name whom the mail was sent to."""
_ADDRESS: Final = re.compile(r"[^\s<>;,\"()]{1,128}@[^\s<>;,\"()]{1,253}")
_HEX: Final = re.compile(r"\+([0-9A-F]{2})", re.ASCII)
_CODE: Final = re.compile(r"(?<![\d.])([45]\d\d)(?=[ -])", re.ASCII)
_GENERAL: Final = re.compile(r"[245]\.0\.0", re.ASCII)
_EXCERPT: Final = 4096
"""Characters of a text in which a status is looked for."""


@dataclass(frozen=True)
class Report:
    """What a mail says.

    Attributes:
        against: What it says against an address; None where it says nothing.
        complaint: Whether it is a complaint about a mail.
        addresses: Those that it may be about: nobody knows until a return path proves it.
        word: What it is, in a word or two, for the log.
    """

    against: AddressVerdict | None = None
    complaint: bool = False
    addresses: tuple[str, ...] = ()
    word: str = ""


def read(content: bytes) -> Report:
    """Reads a mail, in time that grows with its length. Never raises because of what it holds.

    Args:
        content: As it came; `MAX_READ` bytes of it are read.
    """
    try:
        return _read(email.message_from_bytes(content[:MAX_READ]))
    except Exception:  # neither parser nor detectors are proof against all that calls itself a mail
        return Report(word="unreadable")


def _read(message: Message) -> Report:
    parts = list(_parts(message))
    kinds = {part.get_content_type(): part for part in reversed(parts)}
    addresses = tuple(dict.fromkeys(_addresses(parts)))[:MAX_ADDRESSES]
    if (complaint := kinds.get("message/feedback-report")) is not None:
        fields = complaint.get_payload()
        block = cast("list[Message]", fields)[0] if isinstance(fields, list) and fields else complaint
        kind = str(block.get("feedback-type", "")).strip().lower()
        if kind in _COMPLAINTS:
            return Report(complaint=True, addresses=addresses, word=kind)
        return Report(word="not a complaint")
    if (status := kinds.get("message/delivery-status")) is not None:
        return _of_status(status, addresses)
    return _of_words(message, parts, addresses)


def _of_status(part: Message, addresses: tuple[str, ...]) -> Report:
    """A bounce as RFC 3464 has it."""
    blocks = part.get_payload()
    word = "a notification without a failure"
    for block in cast("list[Message]", blocks)[:MAX_PARTS] if isinstance(blocks, list) else ():
        action = str(block.get("action", "")).strip().lower()
        if action.startswith("delayed"):
            word = "delayed: it is still being tried"
        if not action.startswith(("fail", "error")):
            continue
        said = _against(str(block.get("diagnostic-code", "")), str(block.get("status", "")))
        if said is not None:
            return Report(said, addresses=addresses, word="failed")
        word = "a failure that may not be about the address"
    return Report(word=word)


def _against(diagnostic: str, status: str) -> AddressVerdict | None:
    """What a block says. The receiving server's own words are better than what the reporting one makes of them."""
    if not diagnostic.strip():
        return against(None, status)
    code = _CODE.search(diagnostic)
    said = against(int(code[1]) if code else None, diagnostic[:_EXCERPT])
    if said is None and _GENERAL.sub("", status).strip() and not re.search(r"[45]\.\d{1,3}\.\d", diagnostic):
        return against(None, status)
    return said


def _of_words(message: Message, parts: Iterable[Message], addresses: tuple[str, ...]) -> Report:
    """A bounce as servers wrote them before there was a standard, and as some still do."""
    temporary, permanent = all_failures(message)
    if not permanent:
        return Report(word="delayed: it is still being tried" if temporary else "no bounce")
    found = (address.decode("ascii", "replace") for address in permanent)
    named = tuple(dict.fromkeys((*found, *addresses)))[:MAX_ADDRESSES]
    text = next((_text(part) for part in parts if part.get_content_type() == "text/plain"), "")
    status = re.search(r"(?:([45]\d\d)[ -])?#?(?<![\d.])([45]\.\d{1,3}\.\d{1,3})(?![\d.]*\d)", text, re.ASCII)
    if status is not None:
        said = against(int(status[1]) if status[1] else None, status[2])
        return Report(said, addresses=named, word="failed" if said else "a failure that may not be about the address")
    code = _CODE.search(text)
    said = against(int(code[1]), text[code.start() :]) if code else None
    # Something is wrong, and nobody says what: one of three.
    return Report(said or AddressVerdict(SOFT, "a bounce without a status"), addresses=named, word="failed")


def _parts(message: Message) -> Iterator[Message]:
    """A mail's parts, and what is sent back with it: a bounded number."""
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
