"""``/v1/deliveries``: the attempts of deliveries that are on record."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from gateway.api.app_state import Client
from gateway.api.authorization import Reading
from gateway.api.cursor import Cursor, Limit
from gateway.api.moment import Moment
from gateway.journeys.as_json import attempt
from gateway.journeys.next_tries import to_come
from gateway.service.paging import decode_cursor, encode_cursor

router = APIRouter(tags=["deliveries"])

Outcome = Literal["delivered", "retry", "failed", "unknown", "skipped", "cancelled"]


class AttemptBody(BaseModel):
    """One try of a delivery. What was sent is not on record.

    Attributes:
        run_id: The journey's run.
        scenario: The scenario's name.
        version: The number of the version that the journey followed.
        step: The step that sent it.
        channel: `webhook`, `email` or `sms`.
        destination: A destination's name, a host, a mail server or a provider.
        contact_id: To whom.
        started_at: When.
        milliseconds: How long it took.
        outcome: How it ended.
        next_try_at: When it is tried again, where that is still to come.
        trace_id: Of its trace, where there is one.
    """

    delivery_id: str = Field(description="The same over all its attempts: also the webhook-id, the Message-ID")
    attempt: int = Field(description="1, 2, …; starts again when an operator retries the step")
    workflow_id: str = Field(description="The journey; empty for a test")
    run_id: str
    scenario: str
    version: int
    step: str
    channel: str
    destination: str
    contact_id: str
    started_at: datetime
    milliseconds: int
    outcome: str
    status: int | None = Field(description="The HTTP or SMTP code; null where there was no answer")
    error: str | None = Field(description="The kind of error; of what was skipped, why")
    next_try_at: datetime | None
    response: str | None = Field(description="How the answer begins")
    trace_id: str | None
    now: str | None = Field(description="What its templates saw as `now`")
    test_by: str | None = Field(description="Who sent it as a test; null for a journey's")


class Attempts(BaseModel):
    """A page of attempts."""

    items: list[AttemptBody]
    next: str | None = Field(description="The `cursor` of the next page; null where there is none")


class _Place(TypedDict):
    at: Moment
    attempt: int
    delivery: str


@router.get("/deliveries")
async def list_deliveries(
    client: Client,
    caller: Reading,
    journey: Annotated[str | None, Query(max_length=1000, description="Only this journey's")] = None,
    contact: Annotated[str | None, Query(max_length=200, description="Only those to this contact")] = None,
    destination: Annotated[str | None, Query(max_length=300, description="Its name, the host, or the provider")] = None,
    scenario: Annotated[
        str | None, Query(max_length=100, description="Only this one's; keys for some scenarios need it")
    ] = None,
    delivery: Annotated[str | None, Query(max_length=100, description="Only this delivery's")] = None,
    outcome: Annotated[Outcome | None, Query(description="Only those with this outcome")] = None,
    error: Annotated[
        str | None, Query(max_length=100, description="Only those with this kind of error; of what was skipped, why")
    ] = None,
    since: Annotated[Moment | None, Query(description="Only those that began then or later")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Attempts:
    """The attempts of deliveries, the newest first."""
    caller.check(scenario)
    place = decode_cursor(cursor, _Place) if cursor else None
    found = await client.store.deliveries(
        journey,
        delivery_id=delivery,
        contact_id=contact,
        destination=destination,
        scenario=scenario,
        outcome=outcome,
        error=error,
        since=since,
        after=place and (place["at"], place["attempt"], place["delivery"]),
        limit=limit + 1,
    )
    page = (await to_come(client.store, found))[-limit:][::-1]
    last = page[-1] if len(found) > limit else None
    following = last and encode_cursor({"at": last.started_at, "attempt": last.attempt, "delivery": last.delivery_id})
    return Attempts(items=[AttemptBody.model_validate(attempt(item)) for item in page], next=following)
