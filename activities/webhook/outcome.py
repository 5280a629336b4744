"""What a response means for its delivery. What its absence means is the table of `activities.webhook.errors`.

Sources: RFC 9110 §15 (statuses; an invalid one ≥ 600 counts as 5xx; 413 with Retry-After is temporary), RFC 8470 (425),
RFC 6585 (428, 429, 431), Standard Webhooks and CloudEvents webhooks (2xx delivered, 3xx never followed, 410 stop).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Final

from activities.outcome import Judgement, Outcome, Verdict
from activities.webhook import retry_after

# 401 and its like usually mean a key, a route or a deployment in the making; retrying for days would only hide it.
_SHORT: Final = frozenset({401, 403, 404, 405, 407, 421, 423, 424, 426, 428})
_RETRIED: Final = frozenset({408, 409, 425, 429})
_UNSUPPORTED: Final = frozenset({501, 505, 506})
_CLIENT, _SERVER, _INVALID = 400, 500, 600


CERTIFICATE: Final = "client_certificate"
"""The reason of a 400 that is about our client certificate."""
_CERTIFICATE: Final = b"ssl certificate"
"""What nginx says with 400 where it gets no client certificate or a foreign one, rather than end the handshake."""


def of_response(
    to: str, status: int, headers: Mapping[str, str], body: bytes, *, named: bool, now: datetime
) -> Judgement:
    """What a response means.

    Args:
        to: The destination, as people know it.
        status: Of the final response.
        headers: Their names in lower case.
        body: How it begins.
        named: Whether it is a destination of ours: a certificate is its matter, and of a plain URL nobody asks for one.
        now: The time, aware.
    """
    asked = retry_after.parse(headers.get("retry-after"), now)
    verdict = of_status(status, retry_after=asked is not None, certificate=named and _CERTIFICATE in body.lower())
    sentence = f"{to} answered {status}"
    if verdict.reason == CERTIFICATE:
        sentence = f"{sentence} and spoke of our client certificate (see 'tls' in destinations.yaml)"
    return Judgement(verdict, sentence, asked)


def of_status(status: int, *, retry_after: bool = False, certificate: bool = False) -> Verdict:
    """The verdict on a response.

    Args:
        status: The status of the final response. A final 1xx (101 Switching Protocols) is a protocol error: retried.
        retry_after: Whether it carries a usable ``Retry-After``, which makes 413 temporary (RFC 9110 §15.5.14).
        certificate: Whether it speaks of our client certificate: with 400 that is a configuration at fault, as 401 is.
    """
    reason = f"http_{status}"
    if status < HTTPStatus.OK:
        return Verdict(Outcome.RETRY, reason)
    if status < HTTPStatus.MULTIPLE_CHOICES:
        return Verdict(Outcome.DELIVERED, reason)
    if status < _CLIENT:
        return Verdict(Outcome.PERMANENT, "redirect_not_followed")
    if status == HTTPStatus.GONE:
        return Verdict(Outcome.PERMANENT, "gone")
    if status in _RETRIED or (status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE and retry_after):
        return Verdict(Outcome.RETRY, reason)
    if status == HTTPStatus.BAD_REQUEST and certificate:
        return Verdict(Outcome.RETRY_SHORT, CERTIFICATE)
    if status in _SHORT:
        return Verdict(Outcome.RETRY_SHORT, reason)
    if status < _SERVER or status in _UNSUPPORTED:
        return Verdict(Outcome.PERMANENT, reason)
    return Verdict(Outcome.RETRY, reason)
