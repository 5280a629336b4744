"""``/v1/events``: report events to journeys."""

from __future__ import annotations

from typing import Annotated, Any, Self
from uuid import UUID

from fastapi import APIRouter, Request
from pydantic import AfterValidator, Field, StrictInt, StringConstraints, ValidationError, model_validator

from gateway.api.authorization import Reporting
from gateway.api.batch import BatchAnswer, BatchItem, BatchRequest, ItemResult, batch_of
from gateway.api.body import Map, RequestBody
from gateway.api.idempotency import RequestId, keep_answer_if
from gateway.api.parameters import Use
from gateway.api.problem import Problem, mistakes_in, problems
from gateway.service.caller import Caller
from gateway.service.events import EventView
from gateway.service.services import Services
from gateway.service.view import Moment
from scenario.entry.values import as_id
from scenario.model.scalars import EventName

router = APIRouter(tags=["events"])
Id = Annotated[str, StringConstraints(min_length=1, max_length=300), AfterValidator(as_id)]


class EventReport(RequestBody):
    """An event of a contact or of one journey."""

    contact: Annotated[Id | StrictInt | None, AfterValidator(as_id), Field(examples=["3028687"])] = None
    """The contact's id. The event goes to all its running journeys."""
    journey: Annotated[str | None, StringConstraints(min_length=1, max_length=1000)] = None
    """Instead of `contact`, the id of one journey."""
    name: EventName
    """The event's name, such as `order.delivered`."""
    properties: Map[dict[str, Any]] = Field(default_factory=dict[str, Any], examples=[{"order_id": "CGX0094"}])
    """The data that conditions see as `event.…`."""
    id: Annotated[str | None, StringConstraints(min_length=1, max_length=200)] = None
    """An id for deduplication. Events with the same id count once."""
    at: Moment | None = None
    """When the event happened, with a time zone; by default now. `event.time` and goals use it. A step that waits for
    the event continues when it is reported."""

    @model_validator(mode="after")
    def _is_for_one(self) -> Self:
        if (self.contact is None) == (self.journey is None):
            raise ValueError("give either 'contact' or 'journey'")
        return self


class EventResult(ItemResult):
    """The result of an event."""

    told: int | None = None
    """Number of running journeys that received it."""
    pending: int | None = None
    """Number of entries that keep it until a worker admits them."""
    goals: int | None = None
    """Number of goals counted for journeys that are over."""
    unknown: bool | None = None
    """True if the contact has no journey, running or over, and no pending entry."""


class EventsAnswer(BatchAnswer):
    """The results of a batch of events."""

    results: list[EventResult]
    """The result of each event, in order."""


@router.post("/events", status_code=202, operation_id="tellEvent", responses=problems("not-found", "conflict"))
async def report_event(
    event: EventReport, request: Request, use: Use, caller: Reporting, request_id: RequestId
) -> EventView:
    """Report an event to journeys, and count the goals that the contact's ended journeys reach by it.

    The answer is 202 also if no journey received the event; see `unknown`. That answer is not kept for the
    `Idempotency-Key`: the same request is executed again.
    """
    reached = await _report(event, use, caller, request_id)
    keep_answer_if(request, reached.has_effect)
    return reached


@router.post(
    "/events/batch", operation_id="tellEvents", response_model_exclude_none=True, openapi_extra=batch_of("EventReport")
)
async def report_events(request: Request, use: Use, caller: Reporting, request_id: RequestId) -> EventsAnswer:
    """Report many events to journeys. Events of one contact are processed in order."""

    async def report(item: BatchItem) -> tuple[int, dict[str, Any]]:
        reached = await _report(_read(item.value), use, caller, item.request)
        keep_answer_if(request, reached.has_effect)
        return 202, reached.model_dump()

    accepted, results = await BatchRequest(request, request_id, _subject, report).run()
    return EventsAnswer(accepted=accepted, results=[EventResult(**result) for result in results])


async def _report(event: EventReport, use: Services, caller: Caller, request: UUID | None) -> EventView:
    # Without its own id, the event has the request's, so that a repeated request does not count twice.
    identifier = event.id if event.id is not None or request is None else str(request)
    report, whom = (use.events.report_to, event.journey) if event.journey else (use.events.report, str(event.contact))
    return await report(caller, whom, event.name, event.properties, identifier, at=event.at)


def _read(value: dict[str, Any]) -> EventReport:
    try:
        return EventReport.model_validate(value)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        raise Problem("invalid", "the event has mistakes", mistakes_in(found, value, EventReport)) from None


def _subject(event: dict[str, Any]) -> object:
    return str(event.get("journey") or event.get("contact"))
