"""A provider's call, the events in it, and the interface of providers."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, ClassVar, Final, Literal, Protocol

from scenario.policies.suppression import BOUNCE, SOFT, AddressVerdict, against
from scenario.type_guards import is_list, is_mapping, mapping_or_empty

MOST_EVENTS: Final = 20_000  # maximum number of events of a call
Bounce = Literal["", "hard", "soft", "blocked"]
_DELIVERY: Final = re.compile(r"(?<![A-Za-z0-9])msg_[0-9a-f]{32}(?![A-Za-z0-9])", re.ASCII)
_STATUS: Final = re.compile(r"(?<![\d.])[245]\.\d{1,3}\.\d{1,3}(?![\d.]*\d)", re.ASCII)
_SENDER: Final = re.compile(r"[45]\.(?:7\.\d+|1\.[78])", re.ASCII)
"""Statuses that blame the sender: policy, and the sender's address."""
_REPLY: Final = re.compile(r"(?<![\d.])([45]\d\d)(?=[ -])", re.ASCII)
_CODE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,59}", re.ASCII)


class Forged(Exception):
    """The call does not prove that it comes from the provider."""


class Unreadable(Exception):
    """The provider's call is malformed."""


class NotNow(Exception):
    """The call cannot be verified for the moment. The message names no address."""


@dataclass(frozen=True)
class Call:
    """A request of a provider."""

    url: str = field(repr=False)  # the public URL that was called, with its query
    headers: Mapping[str, str] = field(repr=False)  # by lower-case name
    body: bytes = field(repr=False)

    @cached_property
    def data(self) -> Any:
        """The body as JSON. Raise Unreadable."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            raise Unreadable("the body is not JSON") from None

    @property
    def object(self) -> Mapping[str, Any]:
        """The JSON object in the body. Raise Unreadable."""
        if not is_mapping(self.data):
            raise Unreadable("the body is not a JSON object")
        return self.data

    @property
    def objects(self) -> list[Mapping[str, Any]]:
        """The JSON objects of a list, or the only one. Raise Unreadable."""
        items: list[Any] = self.data if is_list(self.data) else [self.data]
        if len(items) > MOST_EVENTS:
            raise Unreadable(f"a call may have {MOST_EVENTS} events at most")
        return [item for item in items if is_mapping(item)]


@dataclass(frozen=True, kw_only=True)
class ProviderEvent:
    """A provider's report about a message."""

    name: str  # a key of `scenario.words.PROVIDER_EVENTS`
    delivery: str  # the delivery id, or "" if the message is not one of ours
    ids: tuple[str, ...]  # the provider's ids of the event. A repetition has one of them in common
    at: datetime | None = None  # the provider's time, or None if it states none
    address: str = field(default="", repr=False)  # the recipient as the provider states it, for suppressions
    code: str = ""
    bounce: Bounce = ""
    against: AddressVerdict | None = None  # the verdict of a failure on the address, or None

    @property
    def suppresses(self) -> bool:
        return self.against is not None or self.name.endswith((".complained", ".unsubscribed"))


class Provider(Protocol):
    """A provider whose events are accepted."""

    name: ClassVar[str]  # its name in the URL

    async def read(self, call: Call) -> Sequence[ProviderEvent]:
        """Verify a call, and return its events. Events of other kinds are left out.

        Raise Forged if it is not the provider's, Unreadable if it is malformed, NotNow if it cannot be verified now.
        """
        ...


def delivery_in(*values: Any) -> str:
    """Return the first delivery id in texts: custom values, or Message-IDs. "" without one."""
    for value in values:
        if isinstance(value, str) and (found := _DELIVERY.search(value[:2_000])):
            return found[0]
    return ""


def text_at(data: Any, *path: str) -> str:
    """Return a text or a number below some keys as text, or "". Half characters, which JSON can name, become "?"."""
    for key in path:
        data = mapping_or_empty(data).get(key)
    is_text = isinstance(data, str | int | float) and not isinstance(data, bool)
    return str(data).encode(errors="replace").decode() if is_text else ""


def moment(value: Any) -> datetime | None:
    """Return a time in Unix seconds or milliseconds, or ISO 8601 with an offset, or None."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = None
    try:
        if number is not None:
            return datetime.fromtimestamp(number / 1000 if number > 1e11 else number, UTC)
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
        return None if found is None or found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None


def code_of(code: str) -> str:
    """Return a provider's code if it is one, and not a text that may name somebody."""
    return code if _CODE.fullmatch(code) else ""


def bounced(words: str, *, otherwise: Bounce, code: str = "") -> dict[str, Any]:
    """Return the fields of a bounce. `words` is the server's reply, `code` the provider's own, if the server gave none.

    The mail server's status decides about the address, as in a reply to us. If it is not clear, the provider's
    classification `otherwise` counts, unless the status is about the sender.
    """
    status, reply = _STATUS.search(words), _REPLY.search(words)
    verdict = against(int(reply[1]) if reply else None, words[:4096])
    shown = " ".join(filter(None, (reply[1] if reply else "", status[0] if status else ""))) or code_of(code)
    if verdict is not None:
        otherwise = "hard" if verdict.source == BOUNCE else "soft"
    elif status is not None and _SENDER.fullmatch(status[0]):
        otherwise = "blocked"
    elif otherwise == "hard":
        verdict = AddressVerdict(BOUNCE, shown or "a provider's hard bounce")
    elif otherwise == "soft" and (status is None or status[0].endswith(".0.0")):
        verdict = AddressVerdict(SOFT, shown or "a provider's soft bounce")
    return {"code": shown, "bounce": otherwise, "against": verdict}
