"""Twilio's REST API: ``POST /2010-04-01/Accounts/{sid}/Messages.json`` (twilio.com/docs/messaging/api).

It has no idempotency key, so a repeated request costs twice. Requests without an answer are therefore distinguished
from those that did not leave.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from typing import Any, Final, Literal
from urllib.parse import quote, urlencode

import httpx

from activities.redaction import readable
from activities.sms.provider import OURS, ProviderBusy, ProviderError, Receipt, TextMessage, TextUnanswered, error_of
from runtime.telemetry.metrics import HTTP_CLIENT
from scenario.policies.suppression import BOUNCE, SOFT, STOP, AddressVerdict
from scenario.type_guards import mapping_or_empty

_ORIGIN: Final = "https://api.twilio.com"
_CONNECT_SECONDS: Final = 5.0
_SERVICE: Final = "MG"  # prefix of a messaging service's id, which may replace a sender's number
DELIVERY: Final = "delivery"
"""Parameter of the status callback's URL: the delivery id."""
_AGAINST: Final[Mapping[int, Literal["bounce", "soft", "stop"]]] = {
    21610: STOP,
    **dict.fromkeys((21614, 21211, 30005), BOUNCE),
    **dict.fromkeys((30003, 30006), SOFT),
}
"""Errors that concern the number (twilio.com/docs/api/errors).

The owner answered STOP; not a mobile number, not a telephone number, an unknown handset; a handset that is switched
off, a landline or an unreachable carrier. Those from 30000 on come with a status callback.
"""
# httpx's errors that come before the request's first byte.
_NOT_LEFT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)


def address_verdict(code: int) -> AddressVerdict | None:
    """Return the verdict of an error on the number, or None."""
    source = _AGAINST.get(code)
    return AddressVerdict(source, f"Twilio's error {code}") if source else None


class Twilio:
    """A Twilio account.

    The sender is a number, an alphanumeric name, or the id of a messaging service. Status callbacks go to `statuses`.
    """

    name = "twilio"
    connections = 50

    def __init__(
        self, sid: str, token: str, sender: str, *, statuses: str | None = None, origin: str = _ORIGIN
    ) -> None:
        self._url = f"{origin}/2010-04-01/Accounts/{quote(sid, safe='')}/Messages.json"
        self._from = {"MessagingServiceSid" if sender.startswith(_SERVICE) else "From": sender}
        self._token, self._statuses = token, statuses
        self._client = httpx.AsyncClient(
            auth=(sid, token),
            timeout=None,  # noqa: S113 `send` has one for everything
            limits=httpx.Limits(max_connections=self.connections, max_keepalive_connections=self.connections),
        )

    async def send(self, message: TextMessage) -> Receipt:
        """Request one message, once.

        Raises:
            ProviderBusy: It was not sent: no connection, 408, 425, 429, 5xx; or 401, 404 for a wrong account.
            TextRefused: Twilio rejects the message.
            TextUnanswered: The request left without an answer, or a gateway (504) timed out.
        """
        left = False

        async def trace(event: str, _info: Any) -> None:
            nonlocal left
            left = left or event.endswith("send_request_headers.started")

        form = {"To": message.to, "Body": message.body, **self._from}
        if self._statuses:
            form["StatusCallback"] = f"{self._statuses}?{urlencode({DELIVERY: message.id})}"
        began = time.perf_counter()
        try:
            async with asyncio.timeout(message.within):
                response = await self._client.post(
                    self._url,
                    data=form,
                    extensions={"trace": trace},
                    # TCP and TLS each have this time. They end by themselves well before the whole does, since a TLS
                    # handshake that is cancelled leaves its socket to the garbage collector (httpcore 1.0).
                    timeout=httpx.Timeout(None, connect=min(_CONNECT_SECONDS, message.within / 3)),
                )
        except (TimeoutError, httpx.TransportError) as error:
            word = _word(error)
            HTTP_CLIENT.record(time.perf_counter() - began, self.name, "POST", None, word)
            if not left or isinstance(error, _NOT_LEFT):
                raise ProviderBusy("Twilio cannot be reached", error=word) from None
            raise TextUnanswered(
                "The request left and Twilio did not answer: the message may have been sent", error=word
            ) from None
        status = response.status_code
        HTTP_CLIENT.record(
            time.perf_counter() - began, self.name, "POST", status, str(status) if response.is_error else None
        )
        if response.is_success:
            return Receipt(status, str(_content(response).get("sid", "")))
        raise _failure(response, self._token)

    async def close(self, within: float) -> None:
        await self._client.aclose()


def _failure(response: httpx.Response, token: str) -> ProviderError:
    status = response.status_code
    code: Any = _content(response).get("code")
    known = isinstance(code, int)
    reason = f"Twilio answered {status}" + (f" with its error {code}" if known else "")
    details: dict[str, Any] = {
        "status": status,
        "error": f"twilio_{code}" if known else None,
        "excerpt": readable(response.content, (token,)),
        "against": address_verdict(code) if known else None,
    }
    error = error_of(status)
    if error is TextUnanswered:
        reason = f"{reason}: the message may have been sent"
    elif status in OURS:
        reason = f"{reason}: check account and token in SCENARIO_SMS"
    return error(reason, **details)


def _content(response: httpx.Response) -> Mapping[str, Any]:
    """Return the answer's JSON object, or an empty one: only the status decides."""
    try:
        return mapping_or_empty(response.json())
    except (json.JSONDecodeError, UnicodeDecodeError):
        return {}


def _word(error: Exception) -> str:
    match error:
        case httpx.ConnectTimeout():
            return "connect_timeout"
        case httpx.ConnectError() | httpx.ProxyError():
            return "connect_failed"
        case TimeoutError() | httpx.TimeoutException():
            return "timeout"
        case _:
            return "no_answer"
