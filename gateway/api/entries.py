"""``/v1/entries``: admit contacts. ``Prefer: wait=N`` (RFC 7240) waits for the admission."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal, cast
from uuid import UUID

from fastapi import APIRouter, Body, Depends, Header, Request
from fastapi.responses import JSONResponse
from pydantic import Field

from gateway.api.authentication import Entering
from gateway.api.batch import BatchAnswer, BatchItem, BatchRequest, ItemResult, batch_of
from gateway.api.body import Use
from gateway.api.idempotency import RequestId
from gateway.api.problem import ResponseBody, problems
from scenario.model.scenario import TRIGGERS
from service.caller import Caller
from service.client import Services
from service.errors import MistakenEntry, NotEntered, UnderWay

router = APIRouter(tags=["entries"])
LONGEST_WAIT: Final = 30  # maximum seconds that a request waits
_WAIT: Final = re.compile(r"\s*wait\s*=\s*(?:\"(\d{1,9})\"|(\d{1,9}))\s*(?:;.*)?", re.IGNORECASE | re.ASCII)


def _wait(
    prefer: Annotated[
        str | None,
        Header(
            description=f"`wait=5`: wait up to 5 seconds, {LONGEST_WAIT} at most, for the admission. Other "
            "preferences are ignored.",
            alias="Prefer",
            examples=["wait=5"],
        ),
    ] = None,
) -> int:
    # As in RFC 7240: of several, the first counts; unreadable ones are ignored.
    for part in (prefer or "").split(","):
        if found := _WAIT.fullmatch(part):
            return min(int(found[1] or found[2]), LONGEST_WAIT)
    return 0


Wait = Annotated[int, Depends(_wait)]  # seconds that the caller waits; 0 without the header


ENTRY: dict[str, Any] = {
    "scenario": "post-purchase",
    "contact": {"id": 3028687, "email": "zoe@example.com", "timezone": "Europe/Paris"},
    "trigger": {"type": "order", "order": {"external_id": "CGX0094", "total_price": "59.90", "products": []}},
}
SCHEMA: Final[dict[str, Any]] = {
    "title": "Entry",
    "description": "A contact and the trigger's data, submitted for admission.",
    "type": "object",
    "required": ["scenario", "contact", "trigger"],
    "properties": {
        "scenario": {
            "type": "string",
            "description": "The scenario's name, or name@version",
            "pattern": r"^[a-z0-9]+(-[a-z0-9]+)*(@[1-9][0-9]{0,8})?$",
        },
        "contact": {
            "type": "object",
            "description": "As the platform sends it; `id` is required",
            "required": ["id"],
            "properties": {"id": {"type": ["string", "integer"]}},
            "additionalProperties": True,
        },
        "trigger": {
            "type": "object",
            "description": "The kind of trigger, and its data under the same name",
            "required": ["type"],
            "properties": {"type": {"type": "string", "enum": list(TRIGGERS)}},
            "additionalProperties": True,
        },
        "key": {
            "type": ["string", "integer", "null"],
            "description": "A key that distinguishes this journey from others of the contact, if the engine sets one",
        },
    },
    "additionalProperties": False,
    "examples": [ENTRY],
}
"""JSON Schema of an entry, for the API's description. `scenario.entry` finds its errors."""


class Accepted(ResponseBody):
    """A journey was started. A worker decides whether the contact is admitted."""

    journey: str = Field(examples=["post-purchase/3028687/CGX0094"])
    """The journey's id."""
    run: str = Field(examples=["019ac3b0-6d5e-7c3a-9f0e-2b1f4e0c7a11"])
    """The id of its first run."""
    already: bool = False
    """True if the journey was already running, in a scenario with `again: always`."""
    notes: list[str] = Field(default_factory=list[str])
    """Unused parts of the entry, with reasons."""


class Admitted(Accepted):
    """The contact was admitted."""

    outcome: Literal["admitted"] = "admitted"
    withheld: str | None = None
    """Why the contact gets no messages, if it was admitted only for comparison."""


class NotAdmitted(ResponseBody):
    """The contact was not admitted."""

    outcome: Literal["refused"] = "refused"
    reason: str
    """The reason, as a sentence."""
    journey: str | None = None
    """The journey that asked, if one was started."""


class EntryResult(ItemResult):
    """The result of an entry."""

    journey: str | None = None
    """The id of the journey, started now or running before."""
    run: str | None = None
    """The id of its first run."""
    already: bool | None = None
    """True if the journey was already running, in a scenario with `again: always`."""
    notes: list[str] | None = None
    """Unused parts of the entry, with reasons."""
    reason: str | None = None
    """Why the contact was not admitted, if known."""


class EntriesAnswer(BatchAnswer):
    """The results of a batch of entries."""

    results: list[EntryResult]
    """The result of each entry, in order."""


_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Entry"}}},
    }
}
_APPLIED = {"Preference-Applied": {"description": "The preferences that were applied", "schema": {"type": "string"}}}


@router.post(
    "/entries",
    status_code=202,
    response_model=Accepted,
    response_model_exclude_defaults=True,
    openapi_extra=_BODY,
    responses={
        200: {"model": NotAdmitted | Admitted, "description": "It is known: refused, or in already"},
        201: {"model": Admitted, "description": "It is known: the contact came in", "headers": _APPLIED},
        202: {"headers": _APPLIED},
        **problems("conflict"),
    },
)
async def enter_contact(
    entry: Annotated[dict[str, Any], Body()], use: Use, caller: Entering, wait: Wait, request: RequestId
) -> JSONResponse:
    """Admit a contact to a scenario.

    Without `Prefer`, the request only starts a journey, and a worker decides about admission. With `Prefer`, the answer
    waits for the decision. A refusal that is known immediately is answered 200 in both cases. 409 names the journey
    that is already running.
    """
    decided = await _enter(use, caller, entry, wait, request)
    status = 202
    content = decided.model_dump(exclude_defaults=True)
    if isinstance(decided, Admitted | NotAdmitted):
        status = 201 if isinstance(decided, Admitted) and not decided.already else 200
        content = {"outcome": decided.outcome, **content}  # of the defaults, only the outcome is sent
    return JSONResponse(content, status, {"preference-applied": f"wait={wait}"} if wait else None)


@router.post("/entries/batch", response_model_exclude_none=True, openapi_extra=batch_of("Entry"))
async def enter_contacts(request: Request, use: Use, caller: Entering, request_id: RequestId) -> EntriesAnswer:
    """Admit many contacts. Each is accepted or refused separately.

    With an `Idempotency-Key`, an interrupted batch can be sent again: no contact is admitted twice.
    """

    async def enter(item: BatchItem) -> tuple[int, dict[str, Any]]:
        decided = await _enter(use, caller, item.value, 0, item.request)
        return 202 if isinstance(decided, Accepted) else 200, decided.model_dump(exclude_defaults=True)

    accepted, results = await BatchRequest(request, request_id, _subject, enter).run()
    return EntriesAnswer(accepted=accepted, results=[EntryResult(**result) for result in results])


async def _enter(
    use: Services, caller: Caller, entry: dict[str, Any], wait: int, request: UUID | None
) -> Accepted | Admitted | NotAdmitted:
    try:
        entered = await use.entries.enter(caller, entry, settle=wait, request=request)
    except (MistakenEntry, UnderWay):
        raise
    except NotEntered as error:
        return NotAdmitted(reason=str(error), journey=error.journey)
    notes = [f"contact.timezone is ignored: {entered.unplaced}"] if entered.unplaced else []
    accepted = Accepted(journey=entered.id, run=entered.run_id, already=entered.already, notes=notes)
    if not entered.admitted or not wait:
        return accepted
    return Admitted(**accepted.model_dump(), withheld=entered.withheld or None)


def _subject(entry: dict[str, Any]) -> object:
    contact: Any = entry.get("contact")
    return str(cast("dict[str, Any]", contact).get("id")) if isinstance(contact, dict) else None
