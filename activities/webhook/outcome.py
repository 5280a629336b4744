"""The meaning of a response for its delivery, and the part of it that later templates and conditions can use.

`activities.webhook.errors` covers attempts without a response. A response that cannot be saved is still a delivery.

Sources: RFC 9110 §15 (statuses; an invalid one ≥ 600 counts as 5xx; 413 with Retry-After is temporary), RFC 8470 (425),
RFC 6585 (428, 429, 431), Standard Webhooks and CloudEvents webhooks (2xx delivered, 3xx never followed, 410 stop).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any, Final, NamedTuple, NoReturn

from activities import redaction
from activities.outcome import Judgement, Outcome, Verdict
from activities.webhook.http.exchange import Response
from scenario.model.batch import BatchCall, ItemAnswer, UnreadableResultsError
from scenario.model.parts import Save
from scenario.responses import misfit
from scenario.type_guards import is_list, is_mapping, members

MAX_SECONDS: Final = 366 * 24 * 3600
"""No receiver means more than a year; a larger value is cut to it, so that adding it to a date cannot overflow."""

_SECONDS: Final = re.compile(r"[0-9]{1,20}", re.ASCII)
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH: Final = rf"(?P<month>{'|'.join(_MONTHS)})"
_TIME: Final = r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
_FORMS: Final = tuple(
    re.compile(form, re.ASCII)
    for form in (
        rf"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), (?P<day>[0-9]{{2}}) {_MONTH} (?P<year>[0-9]{{4}}) {_TIME} GMT",
        rf"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, (?P<day>[0-9]{{2}})-{_MONTH}-(?P<year>[0-9]{{2}}) {_TIME} GMT",
        rf"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) {_MONTH} (?P<day>[0-9 ][0-9]) {_TIME} (?P<year>[0-9]{{4}})",
    )
)
_LAST_SECOND: Final = 59
_SHORT_YEAR: Final = 2
_FAR: Final = timedelta(days=50 * 365.25)


def parse_retry_after(value: str | None, now: datetime) -> int | None:
    """Return the whole seconds that the receiver asks to wait, at most `MAX_SECONDS`, or None.

    0 stands for a date in the past, None for a missing or malformed value.
    """
    text = (value or "").strip(" \t")
    if _SECONDS.fullmatch(text):
        return min(int(text), MAX_SECONDS)
    moment = _date(text, now)
    if moment is None:
        return None
    return min(max(0, math.ceil((moment - now).total_seconds())), MAX_SECONDS)


def _date(text: str, now: datetime) -> datetime | None:
    found = next((match for form in _FORMS if (match := form.fullmatch(text))), None)
    if found is None:
        return None
    year = int(found["year"])
    short = len(found["year"]) == _SHORT_YEAR
    if short:
        year += now.astimezone(UTC).year // 100 * 100
    month = _MONTHS.index(found["month"]) + 1
    day, hour, minute, second = (int(found[name]) for name in ("day", "hour", "minute", "second"))
    try:
        # A leap second, which datetime does not know, is the one before.
        moment = datetime(year, month, day, hour, minute, min(second, _LAST_SECOND), tzinfo=UTC)
        # A two-digit year that seems more than 50 years ahead is the one a century before.
        return moment.replace(year=year - 100) if short and moment - now > _FAR else moment
    except ValueError:
        return None


# 401 and its like usually mean a key, a route or a deployment in the making; retrying for days would only hide it.
_SHORT: Final = frozenset({401, 403, 404, 405, 407, 421, 423, 424, 426, 428})
_RETRIED: Final = frozenset({408, 409, 425, 429})
_UNSUPPORTED: Final = frozenset({501, 505, 506})
_CLIENT, _SERVER, _INVALID = 400, 500, 600


CERTIFICATE: Final = "client_certificate"  # the reason of a 400 that is about our client certificate
_CERTIFICATE: Final = b"ssl certificate"  # texts of nginx's 400 for a missing or foreign client certificate


def of_response(
    to: str, status: int, headers: Mapping[str, str], body: bytes, *, named: bool, now: datetime
) -> Judgement:
    """Return the judgement of a response. Only a named destination may need a client certificate."""
    asked = parse_retry_after(headers.get("retry-after"), now)
    verdict = of_status(status, retry_after=asked is not None, certificate=named and _CERTIFICATE in body.lower())
    sentence = f"{to} answered {status}"
    if verdict.reason == CERTIFICATE:
        sentence = f"{sentence} and spoke of our client certificate (see 'tls' in destinations.yaml)"
    return Judgement(verdict, sentence, asked)


def of_status(status: int, *, retry_after: bool = False, certificate: bool = False) -> Verdict:
    """Return the verdict on a final status. A final 1xx (101 Switching Protocols) is a protocol error: retried.

    A usable ``Retry-After`` makes 413 temporary (RFC 9110 §15.5.14). A 400 that mentions our client certificate is a
    misconfiguration, as 401 is.
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


def item_outcomes(
    batch: BatchCall, response: Response, identifiers: Sequence[str]
) -> tuple[Sequence[ItemAnswer], str | None]:
    """Return the outcome of each item of a batch after a 2xx, the same in journeys and cases.

    A note is returned if the response cannot be read: all are unknown then.
    """
    if batch.results is None:
        return [ItemAnswer("delivered") for _ in identifiers], None
    why = "it is compressed, or too large"
    try:
        if response.complete:
            answer = json.loads(response.body.decode("utf-8-sig")) if response.body.strip() else None
            return batch.results.read(answer, identifiers, response.status), None
    except UnreadableResultsError as error:
        why = str(error)
    except (ValueError, RecursionError):
        why = "it is not JSON"
    why = f"the response does not say what became of the items: {why}"
    return [ItemAnswer("unknown", why) for _ in identifiers], why


def is_deferred(item: ItemAnswer) -> bool:
    """Return True if an item was refused for now: a request with its status would be retried until the deadline."""
    return item.status is not None and of_status(item.status).outcome is Outcome.RETRY


def not_delivered(destination: str, word: str, reason: str | None) -> str:
    """Return the sentence about a contact whose item was refused, or has an unknown outcome."""
    said = "may not have taken" if word == "unknown" else "refused"
    sentence = f"{destination} {said} this contact's item of a batch"
    return f"{sentence}: {reason}" if reason else sentence


MAX_SAVED: Final = 16 * 1024  # maximum bytes of a saved response, which becomes part of the journey's history
MAX_DEPTH: Final = 32  # maximum nesting of a saved response
_MAX_INTEGER: Final = 2**63


class SavedResponse(NamedTuple):
    """The saved response."""

    value: Any = None  # the JSON with masked secrets, or None
    note: str | None = None  # why nothing, or not all, is saved: one sentence


class _UnfitError(ValueError):
    """Why a response is not saved."""


def save_response(save: Save, response: Response, given: redaction.KnownSecrets) -> SavedResponse:
    """Return the part of a 2xx response that a step saves.

    Only the request's secrets are masked, because conditions read the rest.
    """
    try:
        value, changed = _clean(_read_json(response, save.shape), given)
        return SavedResponse(
            value, f"the response kept as '{save.name}' held a secret, which was masked" if changed else None
        )
    except redaction.NestedTooDeeply:
        return SavedResponse(note=f"the response was not kept as '{save.name}': it cannot be read through")
    except _UnfitError as error:
        return SavedResponse(note=f"the response was not kept as '{save.name}': {error}")


def _read_json(response: Response, schema: Mapping[str, Any] | None) -> Any:
    if not response.complete:
        raise _UnfitError("it did not arrive completely")
    if len(response.body) > MAX_SAVED:
        raise _UnfitError(f"it is larger than {MAX_SAVED // 1024} KB")
    if not response.body.strip():
        raise _UnfitError("it is empty")
    try:
        text = response.body.decode("utf-8-sig")
        value = json.loads(text, parse_constant=_constant)
        # Halves of characters and numbers beyond all bounds can be read, and not be written again.
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        raise _UnfitError("it is not JSON") from None
    if schema is not None and (fault := misfit(value, schema)) is not None:
        raise _UnfitError(f"it does not fit its schema{fault}")  # which quotes nothing of the response
    if value is None:
        raise _UnfitError("it is null")
    return value


def _constant(name: str) -> NoReturn:
    raise ValueError(name)


def _clean(value: Any, given: redaction.KnownSecrets) -> tuple[Any, bool]:
    """Return the value with masked secrets, and True if there were any.

    Members keep their names, because conditions use them. A member with a secret in its name is left out.
    """
    texts: list[str] = []
    names: set[str] = set()
    _collect(value, texts, names, 0)
    shown = dict(zip(texts, redaction.masked(texts, given), strict=True))
    listed, long = list(names), redaction.KnownSecrets(given.long, encoded=given.encoded)
    named = {name for name, mask in zip(listed, redaction.masked(listed, long), strict=True) if name != mask}
    changed = bool(named) or any(text != mask for text, mask in shown.items())
    return (_rewritten(value, shown, named), True) if changed else (value, False)


def _collect(value: Any, texts: list[str], names: set[str], depth: int) -> None:
    """Collect all texts and whole numbers of a value, and the names of its members."""
    if depth > MAX_DEPTH:
        raise _UnfitError(f"it is nested more than {MAX_DEPTH} levels deep")
    if isinstance(value, str):
        texts.append(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        if abs(value) >= _MAX_INTEGER:
            raise _UnfitError("it holds a whole number of more than 64 bits")
        texts.append(str(value))
    elif is_mapping(value):
        names.update(value)
    for _, member in members(value):
        _collect(member, texts, names, depth + 1)


def _rewritten(value: Any, shown: Mapping[str, str], named: Collection[str]) -> Any:
    if is_mapping(value):
        return {name: _rewritten(member, shown, named) for name, member in value.items() if name not in named}
    if is_list(value):
        return [_rewritten(item, shown, named) for item in value]
    if isinstance(value, str | int) and not isinstance(value, bool):
        text = shown[str(value)]
        return text if isinstance(value, str) or text != str(value) else value
    return value
