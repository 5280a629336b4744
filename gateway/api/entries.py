"""``/v1/entries``: admits contacts."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, cast

from fastapi import APIRouter, Body, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from gateway.api.app_state import Client
from gateway.api.authorization import Entering
from gateway.api.batch import LINES, Batch, BatchAnswer, Item, ItemResult
from gateway.api.idempotency import RequestId
from gateway.api.preference import Wait, applied
from gateway.api.problem import problems
from gateway.client import ScenarioClient
from gateway.entries import Entered
from gateway.errors import MistakenEntry, NotEntered, UnderWay
from gateway.service.caller import Caller
from scenario.model.scenario import TRIGGERS

router = APIRouter(tags=["entries"])

ENTRY: dict[str, Any] = {
    "scenario": "post-purchase",
    "contact": {"id": 3028687, "email": "zoe@example.com", "timezone": "Europe/Paris"},
    "trigger": {"type": "order", "order": {"external_id": "CGX0094", "total_price": "59.90", "products": []}},
}
SCHEMA: Final[dict[str, Any]] = {
    "title": "Entry",
    "description": "One contact and the trigger's data, asking to come in.",
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
            "description": "As the platform sends it; `id` is needed",
            "required": ["id"],
            "properties": {"id": {"type": ["string", "integer"]}},
            "additionalProperties": True,
        },
        "trigger": {
            "type": "object",
            "description": "What happened, and its data under its own name",
            "required": ["type"],
            "properties": {"type": {"type": "string", "enum": list(TRIGGERS)}},
            "additionalProperties": True,
        },
        "key": {
            "type": ["string", "integer", "null"],
            "description": "What tells this journey from others of the contact, where the engine names it itself",
        },
    },
    "additionalProperties": False,
    "examples": [ENTRY],
}
"""JSON Schema of an entry, for the API's description. `scenario.entry` finds its errors."""
_ENTRY: Final = {"$ref": "#/components/schemas/Entry"}


class Accepted(BaseModel):
    """A journey was started. A worker decides whether the contact is admitted.

    Attributes:
        journey: The journey's id.
        run: The id of its first run.
        already: True if the journey was already running, in a scenario with `again: always`.
        notes: Unused parts of the entry, with reasons.
    """

    journey: str = Field(examples=["post-purchase/3028687/CGX0094"])
    run: str = Field(examples=["019ac3b0-6d5e-7c3a-9f0e-2b1f4e0c7a11"])
    already: bool = False
    notes: list[str] = Field(default_factory=list[str])


class Admitted(Accepted):
    """The contact was admitted.

    Attributes:
        withheld: Why the contact gets no messages, if it was admitted only for comparison.
    """

    outcome: Literal["admitted"] = "admitted"
    withheld: str | None = None


class NotAdmitted(BaseModel):
    """The contact was not admitted.

    Attributes:
        reason: The reason, as a sentence.
        journey: The journey that asked, if one was started.
    """

    outcome: Literal["refused"] = "refused"
    reason: str
    journey: str | None = None


class EntryResult(ItemResult):
    """The result of an entry.

    Attributes:
        journey: The id of the journey, started now or running before.
        run: The id of its first run.
        already: True if the journey was already running, in a scenario with `again: always`.
        reason: Why the contact was not admitted, if known.
    """

    journey: str | None = None
    run: str | None = None
    already: bool | None = None
    notes: list[str] | None = None
    reason: str | None = None


class EntriesAnswer(BatchAnswer):
    """The results of a batch of entries.

    Attributes:
        results: The result of each entry, in order.
    """

    results: list[EntryResult]


_SINGLE: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": _ENTRY}}},
}
_BATCH: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "An array of entries, or one entry a line (NDJSON): 1,000 and 5 MB at most",
        "content": {
            "application/json": {"schema": {"type": "array", "items": _ENTRY, "minItems": 1, "maxItems": 1000}},
            LINES: {"schema": {"type": "string", "description": "One entry a line"}},
        },
    }
}
_APPLIED = {"Preference-Applied": {"description": "What of `Prefer` was done", "schema": {"type": "string"}}}


@router.post(
    "/entries",
    status_code=202,
    operation_id="enterContact",
    response_model=Accepted,
    response_model_exclude_defaults=True,
    openapi_extra=_SINGLE,
    responses={
        200: {"model": NotAdmitted | Admitted, "description": "It is known: refused, or in already"},
        201: {"model": Admitted, "description": "It is known: the contact came in", "headers": _APPLIED},
        202: {"headers": _APPLIED},
        **problems("conflict"),
    },
)
async def enter_contact(
    entry: Annotated[dict[str, Any], Body()],
    client: Client,
    caller: Entering,
    wait: Wait,
    request: RequestId,
    response: Response,
) -> Any:
    """Admit a contact to a scenario.

    Without `Prefer`, the request only starts a journey, and a worker decides about admission. With `Prefer`, the answer
    waits for the decision. A refusal that is known immediately is answered 200 in both cases. 409 names the journey
    that
    is already running.
    """
    response.headers.update(applied(wait))
    caller.check(_scenario_of(entry))
    try:
        entered = await client.enter(entry, settle=wait, request=request)
    except (MistakenEntry, UnderWay):
        raise
    except NotEntered as error:
        return _answer(200, NotAdmitted(reason=str(error), journey=error.journey), wait)
    told = _told(entered)
    if not entered.admitted or not wait:
        return told
    admitted = Admitted(**told.model_dump(), withheld=entered.withheld or None)
    return _answer(200 if entered.already else 201, admitted, wait)


@router.post(
    "/entries/batch",
    operation_id="enterContacts",
    response_model_exclude_none=True,
    openapi_extra=_BATCH,
)
async def enter_contacts(request: Request, client: Client, caller: Entering, request_id: RequestId) -> EntriesAnswer:
    """Admit many contacts. Each is accepted or refused separately.

    With an `Idempotency-Key`, an interrupted batch can be sent again: nobody is admitted twice.
    """

    async def work(item: Item) -> tuple[int, dict[str, Any]]:
        return await _one(item, client, caller)

    accepted, results = await Batch(request, request_id, _about, work).run()
    return EntriesAnswer(accepted=accepted, results=[EntryResult(**result) for result in results])


async def _one(item: Item, client: ScenarioClient, caller: Caller) -> tuple[int, dict[str, Any]]:
    caller.check(_scenario_of(item.value))
    try:
        entered = await client.enter(item.value, settle=0, request=item.request)
    except (MistakenEntry, UnderWay):
        raise
    except NotEntered as error:
        return 200, {"reason": str(error), "journey": error.journey}
    return 202, _told(entered).model_dump(exclude_defaults=True)


def _told(entered: Entered) -> Accepted:
    notes = [f"contact.timezone is ignored: {entered.unplaced}"] if entered.unplaced else []
    return Accepted(journey=entered.id, run=entered.run_id, already=entered.already, notes=notes)


def _answer(status: int, body: Admitted | NotAdmitted, wait: int) -> Response:
    # Defaults say nothing, but for the outcome.
    content = {"outcome": body.outcome, **body.model_dump(exclude_defaults=True)}
    return JSONResponse(content, status, applied(wait))


def _scenario_of(entry: dict[str, Any]) -> str:
    return str(entry.get("scenario", "")).partition("@")[0]


def _about(entry: dict[str, Any]) -> object:
    contact: Any = entry.get("contact")
    return str(cast("dict[str, Any]", contact).get("id")) if isinstance(contact, dict) else None
