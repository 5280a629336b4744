"""The requests of platforms that have audiences, and the meaning of their responses.

Sources: Meta, Marketing API, "Custom Audience Users" and its error codes; Google, Data Manager API v1,
``audienceMembers.ingest`` and ``.remove``, and "Understand API errors". The generic receiver is ours.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

from activities.outcome import Outcome, Verdict
from activities.webhook import outcome
from activities.webhook.destinations.destinations import Destination
from activities.webhook.destinations.form import AudiencesForm
from activities.webhook.presets import PlatformRequest
from scenario.errors import Aborted, NotConfigured
from scenario.http.destinations import disowned, without_audiences
from scenario.liquid.filters.texts import audience_email, audience_phone
from scenario.model.batch import ItemResults, UnreadableResultsError
from scenario.steps.audience import AudienceOperation
from scenario.type_guards import list_or_empty, mapping_or_empty, walk

Member = Mapping[str, str]
"""What identifies a member, by `AudiencesForm.identifiers`: the contact's id, and hashes."""
_ADDRESS: Final = {"email": ("email", "e-mail address"), "phone": ("cellphone", "telephone number")}
"""The contact's field, and words for it."""


def settings_of(named: Destination | None, to: str, scenario: str = "") -> AudiencesForm:
    """Return the settings of a destination's audiences; those of a generic receiver if it is unknown, as locally.

    Raise NotConfigured if it has none, or the scenario may not use it.
    """
    if named is None:
        return AudiencesForm(preset="generic")
    if scenario and named.owners is not None and scenario not in named.owners:
        raise NotConfigured(disowned(scenario, to))
    if named.audiences is None:
        raise NotConfigured(without_audiences(to))
    return named.audiences


def identify(settings: AudiencesForm, to: str, contact_id: str, contact: Mapping[str, Any]) -> Member:
    """Return what identifies a contact at a platform.

    Raise Aborted if there is nothing, or a value that the platform would not recognise once it is hashed.
    """
    made = _known(settings, contact_id, contact)
    for name, value in made.items():
        if value is None:
            words = _ADDRESS[name][1]
            more = ": without a country's code, it needs 'region'" if name == "phone" and not settings.region else ""
            raise Aborted(f"the contact's {words} is malformed, and {to} could not recognise it{more}")
    if not made:
        raise Aborted(f"the contact has no {' and no '.join(_ADDRESS[name][1] for name in settings.identifiers)}")
    return {name: value for name, value in made.items() if value is not None}


def identify_loosely(settings: AudiencesForm, contact_id: str, contact: Mapping[str, Any]) -> Member:
    """Return the identifiers of a contact that is removed. Missing ones are left out."""
    return {name: value for name, value in _known(settings, contact_id, contact).items() if value is not None}


def _known(settings: AudiencesForm, contact_id: str, contact: Mapping[str, Any]) -> dict[str, str | None]:
    """Return the fields that a contact has; None for one that is malformed."""
    made: dict[str, str | None] = {}
    google = settings.preset == "google"
    for name in settings.identifiers:
        written = contact_id if name == "id" else contact.get(_ADDRESS[name][0])
        if written is None or not str(written).strip():
            continue
        match name:
            case "id":
                made[name] = contact_id
            case "email":
                made[name] = audience_email(written, "google" if google else "meta")
            case "phone":
                made[name] = audience_phone(written, "meta" if settings.preset == "meta" else "google", settings.region)
    return made


def request_of(
    settings: AudiencesForm, to: str, audience: str, operation: AudienceOperation, members: Sequence[Member]
) -> PlatformRequest:
    """Return the request that changes members. Raise NotConfigured if the audience has no id at the platform."""
    identifier = settings.ids.get(audience, audience if settings.preset == "generic" else None)
    if identifier is None:
        raise NotConfigured(
            f"destination {to} has no audience '{audience}': "
            "add its id to 'ids' of the destination's 'audiences' in destinations.yaml"
        )
    # In one order, that of stored members: previews have theirs in that of `fields`.
    members = [dict(sorted(member.items())) for member in members]
    method, path, content = _REQUESTS[settings.preset](settings, identifier, operation, members)
    return PlatformRequest(method, path, json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode())


def _meta(
    settings: AudiencesForm, identifier: str, operation: AudienceOperation, members: Sequence[Member]
) -> tuple[str, str, Any]:
    schema = [name.upper() for name in settings.identifiers]
    data = [
        [member.get(name, "") for name in settings.identifiers] for member in members
    ]  # a missing key is left blank
    method = "POST" if operation == "add" else "DELETE"
    return method, f"/{identifier}/users", {"payload": {"schema": schema, "data": data}}


_GOOGLES: Final = {"email": "emailAddress", "phone": "phoneNumber"}
_CONSENT: Final = {"ad_user_data": "adUserData", "ad_personalization": "adPersonalization"}


def _google(
    settings: AudiencesForm, identifier: str, operation: AudienceOperation, members: Sequence[Member]
) -> tuple[str, str, Any]:
    def account(number: str) -> dict[str, str]:
        return {"accountType": settings.account_type, "accountId": number}

    destination: dict[str, Any] = {"operatingAccount": account(settings.account or "")}
    if settings.login_account:
        destination["loginAccount"] = account(settings.login_account)
    destination["productDestinationId"] = identifier
    people = [
        {"userData": {"userIdentifiers": [{_GOOGLES[name]: value} for name, value in member.items()]}}
        for member in members
    ]
    content: dict[str, Any] = {"destinations": [destination], "audienceMembers": people, "encoding": "HEX"}
    if settings.validate_only:
        content["validateOnly"] = True
    if operation == "remove":
        return "POST", "/audienceMembers:remove", content
    if consent := {_CONSENT[name]: f"CONSENT_{word.upper()}" for name, word in settings.consent if word is not None}:
        content["consent"] = consent
    content["termsOfService"] = {"customerMatchTermsOfServiceStatus": "ACCEPTED"}
    return "POST", "/audienceMembers:ingest", content


def _generic(
    settings: AudiencesForm, identifier: str, operation: AudienceOperation, members: Sequence[Member]
) -> tuple[str, str, Any]:
    del settings
    return "POST", "", {"audience": identifier, "op": operation, "members": [dict(member) for member in members]}


_REQUESTS: Final = {"meta": _meta, "google": _google, "generic": _generic}


@dataclass(frozen=True)
class AudienceAnswer:
    """The meaning of a response."""

    verdict: Verdict  # the outcome for the request as a whole
    detail: str = ""  # the platform's error code, if it names one. Never its message, which may quote members
    request: str = ""  # the platform's id of a request that it carries out later
    refused: Mapping[int, str] = field(default_factory=dict[int, str])  # reasons, by a member's index in the request
    again: frozenset[int] = frozenset()  # indexes of members that must be sent again
    unnamed: int = 0  # number of refused members that the platform does not name


_CODE: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}", re.ASCII)


def _code(value: object, otherwise: str) -> str:
    """Return a platform's code, or `otherwise` if it is none."""
    text = str(value)
    return text if isinstance(value, str | int) and _CODE.fullmatch(text) else otherwise


def read_answer(settings: AudiencesForm, status: int, content: Any, members: Sequence[Member]) -> AudienceAnswer:
    """Return the meaning of a response to a request for some members. `content` is its JSON, or None."""
    return _ANSWERS[settings.preset](settings, status, content, members)


_TRANSIENT: Final = frozenset({1, 2, 4, 17, 32, 341, 368, 613, 80_003})
"""Meta's codes of temporary errors and of rate limits, which come with status 400 or 403."""


def _of_meta(settings: AudiencesForm, status: int, content: Any, members: Sequence[Member]) -> AudienceAnswer:
    del settings
    answer = mapping_or_empty(content)
    verdict = outcome.of_status(status)
    error = mapping_or_empty(answer.get("error"))
    if error:
        code = error.get("code")
        if (isinstance(code, int) and code in _TRANSIENT) or error.get("is_transient") is True:
            verdict = Verdict(Outcome.RETRY, verdict.reason)
        subcode = f"/{error['error_subcode']}" if isinstance(error.get("error_subcode"), int) else ""
        return AudienceAnswer(verdict, detail=f"{_code(code, 'unknown')}{subcode}")
    if not verdict.delivered:
        return AudienceAnswer(verdict)
    count = answer.get("num_invalid_entries")
    samples = {value for _, value in walk(answer.get("invalid_entry_samples")) if isinstance(value, str)}
    named = {number: "invalid_entry" for number, member in enumerate(members) if samples & set(member.values())}
    invalid = min(count, len(members)) if isinstance(count, int) else 0
    return AudienceAnswer(verdict, refused=named, unnamed=max(invalid - len(named), 0))


_INDEX: Final = re.compile(r"audience_?members?\[(\d{1,9})\]", re.ASCII | re.IGNORECASE)


def _of_google(settings: AudiencesForm, status: int, content: Any, members: Sequence[Member]) -> AudienceAnswer:
    """Return the meaning of a response. If one member is malformed, Google carries out nothing of a request.

    Its later verdict (``requestStatus.retrieve``) has numbers by reason, and names no member.
    """
    del settings
    verdict = outcome.of_status(status)
    if verdict.delivered:
        return AudienceAnswer(verdict, request=_code(mapping_or_empty(content).get("requestId"), ""))
    error = mapping_or_empty(mapping_or_empty(content).get("error"))
    details = [mapping_or_empty(one) for one in list_or_empty(error.get("details"))]
    refused: dict[int, str] = {}
    is_else = False  # True if something other than members is wrong
    for one in (mapping_or_empty(found) for part in details for found in list_or_empty(part.get("fieldViolations"))):
        place = _INDEX.search(str(one.get("field")))
        if place is not None and int(place[1]) < len(members):
            refused.setdefault(int(place[1]), _code(one.get("reason"), "INVALID_ARGUMENT"))
        else:
            is_else = True
    if refused and not is_else and status == HTTPStatus.BAD_REQUEST:
        rest = frozenset(range(len(members))) - refused.keys()
        return AudienceAnswer(Verdict(Outcome.DELIVERED, ""), refused=refused, again=rest)
    reasons = (part.get("reason") for part in details)
    detail = next((_code(reason, "") for reason in reasons if reason), _code(error.get("status"), ""))
    return AudienceAnswer(verdict, detail=detail)


def _of_generic(settings: AudiencesForm, status: int, content: Any, members: Sequence[Member]) -> AudienceAnswer:
    """Return the meaning of a response. A 207 must have a result for members; other responses may name refused ones."""
    verdict = outcome.of_status(status)
    if not verdict.delivered or (settings.results is None and status != HTTPStatus.MULTI_STATUS):
        return AudienceAnswer(verdict)
    try:
        results = (settings.results or _RESULTS).read(content, [member["id"] for member in members], status)
    except UnreadableResultsError as error:
        return AudienceAnswer(Verdict(Outcome.PERMANENT, "no_results"), detail=f"in its response, {error}")
    later = frozenset(number for number, one in enumerate(results) if outcome.is_deferred(one))
    if len(later) == len(members):
        return AudienceAnswer(Verdict(Outcome.RETRY, "items_deferred"))
    refused = {
        number: _code((one.reason or "refused").replace(" ", "_"), "refused")
        for number, one in enumerate(results)
        if one.outcome == "refused" and number not in later
    }
    return AudienceAnswer(verdict, refused=refused, again=later)


_RESULTS: Final = ItemResults(list="results", id="id", status="status", reason="code")
_ANSWERS: Final = {"meta": _of_meta, "google": _of_google, "generic": _of_generic}
