"""``/v1/events`` and ``/v1/contacts``: report events and changes to journeys."""

from __future__ import annotations

from typing import Annotated, Any, Final, Self
from uuid import UUID

from fastapi import APIRouter, Body, Request
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictInt,
    StringConstraints,
    ValidationError,
    model_validator,
)

from gateway.api.app_state import Client
from gateway.api.authorization import Telling
from gateway.api.batch import LINES, Batch, BatchAnswer, Item, ItemResult
from gateway.api.idempotency import RequestId, unsettle
from gateway.api.maps import Map
from gateway.api.problem import Problem, mistakes_in, problems
from gateway.client import ScenarioClient
from gateway.service.caller import Caller
from gateway.service.view import Moment
from scenario.entry.values import as_id
from scenario.model.scalars import EventName

router = APIRouter()


def _there(contact: str | None) -> str:
    if contact is None:
        raise ValueError("an id cannot be blank")
    return contact


Id = Annotated[str, StringConstraints(min_length=1, max_length=300), AfterValidator(as_id)]
PathId = Annotated[Id, AfterValidator(_there)]
"""An id in a path."""


class Event(BaseModel):
    """An event of a contact or of one journey.

    Attributes:
        contact: The contact's id. The event goes to all its running journeys.
        journey: Instead of `contact`, the id of one journey.
        name: The event's name, such as `order.delivered`.
        properties: The data that conditions see as `event.…`.
        id: An id for deduplication. Events with the same id count once.
        at: When the event happened, with a time zone; by default now. `event.time` and goals use it. A step that waits
        for the event continues when it is reported.
    """

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    contact: Annotated[Id | StrictInt | None, AfterValidator(as_id), Field(examples=["3028687"])] = None
    journey: Annotated[str | None, StringConstraints(min_length=1, max_length=1000)] = None
    name: EventName
    properties: Map[dict[str, Any]] = Field(default_factory=dict[str, Any], examples=[{"order_id": "CGX0094"}])
    id: Annotated[str | None, StringConstraints(min_length=1, max_length=200)] = None
    at: Moment | None = None

    @model_validator(mode="after")
    def _whom(self) -> Self:
        if (self.contact is None) == (self.journey is None):
            raise ValueError("give either 'contact' or 'journey'")
        return self


class Changed(BaseModel):
    """The journeys that a change reached.

    Attributes:
        told: Number of running journeys that received it.
        pending: Number of entries that keep it until a worker admits them.
        unknown: True if the contact has no journey, running or over, and no pending entry.
    """

    told: int
    pending: int
    unknown: bool


class Told(Changed):
    """The journeys that an event reached.

    Attributes:
        told: Number of running journeys that received it.
        pending: Number of entries that keep it until a worker admits them.
        goals: Number of goals counted for journeys that are over.
        unknown: True if the contact has no journey, running or over, and no pending entry.
    """

    goals: int


class EventResult(ItemResult):
    """The result of an event.

    Attributes:
        told: Number of running journeys that received it.
        pending: Number of entries that keep it until a worker admits them.
        goals: Number of goals counted for journeys that are over.
        unknown: True if the contact has no journey, running or over, and no pending entry.
    """

    told: int | None = None
    pending: int | None = None
    goals: int | None = None
    unknown: bool | None = None


class EventsAnswer(BatchAnswer):
    """The results of a batch of events.

    Attributes:
        results: The result of each event, in order.
    """

    results: list[EventResult]


_BATCH: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "description": "An array of events, or one event a line (NDJSON): 1,000 and 5 MB at most",
        "content": {
            "application/json": {
                "schema": {
                    "type": "array",
                    "items": {"$ref": "#/components/schemas/Event"},
                    "minItems": 1,
                    "maxItems": 1000,
                }
            },
            LINES: {"schema": {"type": "string", "description": "One event a line"}},
        },
    }
}


@router.post(
    "/events", status_code=202, operation_id="tellEvent", responses=problems("not-found", "conflict"), tags=["events"]
)
async def tell_event(event: Event, request: Request, client: Client, caller: Telling, request_id: RequestId) -> Told:
    """Report an event to journeys, and count the goals that the contact's ended journeys reach by it.

    The answer is 202 also if no journey received the event; see `unknown`. That answer is not kept for the
    `Idempotency-Key`: the same request is executed again.
    """
    told = await _tell(event, client, caller, request_id)
    _keep_if_told(request, told)
    return told


@router.post(
    "/events/batch", operation_id="tellEvents", response_model_exclude_none=True, openapi_extra=_BATCH, tags=["events"]
)
async def tell_events(request: Request, client: Client, caller: Telling, request_id: RequestId) -> EventsAnswer:
    """Report many events to journeys. Events of one contact are processed in order."""

    async def work(item: Item) -> tuple[int, dict[str, Any]]:
        told = await _tell(_read(item.value), client, caller, item.request)
        _keep_if_told(request, told)
        return 202, told.model_dump()

    accepted, results = await Batch(request, request_id, _about, work).run()
    return EventsAnswer(accepted=accepted, results=[EventResult(**result) for result in results])


@router.patch(
    "/contacts/{contact:path}", operation_id="changeContact", responses=problems("not-found"), tags=["contacts"]
)
async def change_contact(
    contact: PathId,
    changes: Annotated[dict[str, Any], Body(examples=[{"language": "fr", "timezone": "Europe/Paris"}])],
    request: Request,
    client: Client,
    caller: Telling,
) -> Changed:
    """Report changed contact fields to all journeys of the contact. Custom fields can be changed one by one."""
    heard = await client.contact_changed(contact, changes, scenarios=caller.scenarios)
    told = Changed(told=heard.told, pending=heard.pending, unknown=heard.unknown)
    _keep_if_told(request, told)
    return told


async def _tell(event: Event, client: ScenarioClient, caller: Caller, request: UUID | None) -> Told:
    # Without an id of its own, the request's: what is carried out anew is not told twice.
    identifier = event.id if event.id is not None or request is None else str(request)
    if event.journey is not None:
        caller.check(event.journey.partition("/")[0])
        heard = await client.event_for(event.journey, event.name, event.properties, identifier, at=event.at)
    else:
        heard = await client.event(
            str(event.contact),
            event.name,
            event.properties,
            identifier,
            at=event.at,
            scenarios=caller.scenarios,
        )
    return Told(told=heard.told, pending=heard.pending, goals=heard.goals, unknown=heard.unknown)


def _keep_if_told(request: Request, answer: Changed) -> None:
    """Keep no answer for an `Idempotency-Key` if no journey was reached: a repetition may reach one."""
    if not answer.told and not answer.pending and not (isinstance(answer, Told) and answer.goals):
        unsettle(request)


def _read(value: dict[str, Any]) -> Event:
    try:
        return Event.model_validate(value)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        raise Problem("invalid", "the event has mistakes", mistakes_in(found, value, Event)) from None


def _about(event: dict[str, Any]) -> object:
    return str(event.get("journey") or event.get("contact"))
