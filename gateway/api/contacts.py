"""``/v1/events``, ``/v1/contacts`` and ``/v1/erasures``: report events; change, explain and erase contacts."""

from __future__ import annotations

from typing import Annotated, Any, Self
from uuid import UUID

from fastapi import APIRouter, Body, Path, Query, Request, Response
from pydantic import AfterValidator, Field, StrictInt, StringConstraints, ValidationError, model_validator

from gateway.api.authentication import Erasing, Reading, Reporting
from gateway.api.batch import BatchAnswer, BatchItem, BatchRequest, ItemResult, batch_of
from gateway.api.body import Cursor, Map, Paging, RequestBody, Use
from gateway.api.idempotency import RequestId, keep_answer_if
from gateway.api.problem import Problem, mistakes_in, problems
from scenario.entry.values import as_id
from scenario.model.parts import EventName
from service.caller import Caller
from service.client import Services
from service.erasures import ErasureView
from service.events import ChangeView, EventView
from service.view import Moment, PageView
from service.why.why import WhyView

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
    unused: int | None = None
    """Number of running journeys that did not receive it, since their scenario does not use its name."""
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
    `Idempotency-Key`: the same request is executed again. A reserved name, such as `email.clicked`, is answered 422. If
    `SCENARIO_TRUSTED_EVENTS` has it, the key needs the scope `providers` as well.
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
        try:
            event = EventReport.model_validate(item.value)
        except ValidationError as error:
            found = error.errors(include_url=False, include_input=False)
            raise Problem("invalid", "the event has mistakes", mistakes_in(found, item.value, EventReport)) from None
        reached = await _report(event, use, caller, item.request)
        keep_answer_if(request, reached.has_effect)
        return 202, reached.model_dump()

    def subject(event: dict[str, Any]) -> object:
        return str(event.get("journey") or event.get("contact"))

    accepted, results = await BatchRequest(request, request_id, subject, report).run()
    return EventsAnswer(accepted=accepted, results=[EventResult(**result) for result in results])


async def _report(event: EventReport, use: Services, caller: Caller, request: UUID | None) -> EventView:
    # Without its own id, the event has the request's, so that a repeated request does not count twice.
    identifier = event.id if event.id is not None or request is None else str(request)
    report, whom = (use.events.report_to, event.journey) if event.journey else (use.events.report, str(event.contact))
    return await report(caller, whom, event.name, event.properties, identifier, at=event.at)


contacts = APIRouter(tags=["contacts"])


def _not_blank(contact: str | None) -> str:
    if contact is None:
        raise ValueError("an id cannot be blank")
    return contact


ContactId = Annotated[Id, AfterValidator(_not_blank)]  # a contact's id in a path
ErasureId = Annotated[str, Path(alias="id", min_length=1, max_length=80, description="The erasure's id")]


@contacts.patch("/contacts/{contact:path}", responses=problems("not-found"))
async def change_contact(
    contact: ContactId,
    changes: Annotated[dict[str, Any], Body(examples=[{"language": "fr", "timezone": "Europe/Paris"}])],
    request: Request,
    use: Use,
    caller: Reporting,
) -> ChangeView:
    """Report changed contact fields to all journeys of the contact. Custom fields can be changed one by one."""
    reached = await use.events.change(caller, contact, changes)
    keep_answer_if(request, reached.has_effect)
    return reached


@contacts.get("/contacts/{contact:path}/why", responses=problems("not-found"))
async def explain_contact(
    contact: Annotated[str, Path(max_length=300, description="The contact's id")],
    use: Use,
    caller: Reading,
    scenario: Annotated[
        str | None,
        Query(max_length=100, description="Only entries to this scenario; required with a key for some scenarios"),
    ] = None,
    step: Annotated[
        str | None, Query(max_length=200, description="Answer whether the contact got this message, and why")
    ] = None,
    since: Annotated[Moment | None, Query(description="Only entries then or later")] = None,
    limit: Annotated[int, Query(ge=1, le=250, description="Maximum number of entries, the newest")] = 20,
    cursor: Cursor = None,
) -> WhyView:
    """Explain why a contact did, or did not, get something: its entries, and what happened since.

    `next` leads to older entries. A `step` is looked for among the entries of the page.
    """
    return await use.journeys.why(caller, contact, scenario, step=step, since=since, limit=limit, cursor=cursor)


@contacts.delete(
    "/contacts/{contact:path}",
    status_code=202,
    responses={
        **problems("not-found"),
        202: {"headers": {"Location": {"description": "The erasure", "schema": {"type": "string"}}}},
        200: {"model": ErasureView, "description": "A dry run: what would be erased"},
    },
)
async def erase_contact(
    contact: ContactId,
    use: Use,
    caller: Erasing,
    response: Response,
    reason: Annotated[str, StringConstraints(min_length=1, max_length=500), Query(description="For the report.")],
    dry_run: Annotated[bool, Query(description="Only report what would be erased.")] = False,
) -> ErasureView:
    """Start the erasure of a contact: refuse its entries, end its journeys, make its stored data unreadable.

    A worker finishes the erasure within some minutes. It cannot be undone. A request during an erasure returns that
    erasure; a later one starts another. The key must be for all scenarios.
    """
    begun = await use.erasures.erase(caller, contact, operator=caller.name, reason=reason, dry_run=dry_run)
    if dry_run:
        response.status_code = 200
    else:
        response.headers["location"] = f"/v1/erasures/{begun.id}"
    return begun


@contacts.get("/erasures")
async def list_erasures(
    use: Use,
    caller: Erasing,
    page: Paging,
    is_open: Annotated[bool, Query(alias="open", description="Only those that are not finished")] = False,
) -> PageView[ErasureView]:
    """List erasures, newest first. The key must be for all scenarios."""
    return await use.erasures.list(caller, page, is_open=is_open)


@contacts.get("/erasures/{id}", responses=problems("not-found"))
async def show_erasure(erasure: ErasureId, use: Use, caller: Erasing) -> ErasureView:
    """Return an erasure: its progress, and its report once it is finished. The key must be for all scenarios."""
    return await use.erasures.show(caller, erasure)
