"""``/v1/contacts/{contact}/why``: why a contact did, or did not, get something."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from gateway.api.app_state import Client
from gateway.api.authorization import Reading
from gateway.api.moment import Moment
from gateway.api.problem import problems
from gateway.why.as_json import as_json

router = APIRouter(tags=["contacts"])


class HappeningBody(BaseModel):
    """Something that happened on the way."""

    at: datetime
    what: str = Field(description="In one word", examples=["delivered"])
    words: str = Field(description="In plain words, without the step")
    step: str | None
    over: bool = Field(description="Whether the step was over with it")


class EntryBody(BaseModel):
    """What became of one entry."""

    journey: str
    run_id: str
    scenario: str
    key: str | None
    asked_at: datetime
    let_in: bool | None = Field(description="null where that is not known yet")
    zone: str = Field(description="On whose clock the words tell times")
    state: str
    happenings: list[HappeningBody] = Field(description="The oldest first")
    now: str | None = Field(description="Where it stands and what it waits for; null where it is over")
    at: str | None = Field(description="The step at which it stands")


class CapBody(BaseModel):
    """The contact's places under a cap."""

    cap: str
    taken: int
    at_most: int
    per: str
    free_at: datetime | None


class WhyBody(BaseModel):
    """The whole answer, from what is on record."""

    contact: str
    step: str | None
    answer: str | None = Field(description="Whether the contact got what the step sends, and why")
    entries: list[EntryBody] = Field(description="The newest first")
    caps: list[CapBody] | None = Field(
        description="null where this server knows no policies, and for keys for some scenarios"
    )
    zone: str = Field(description="On whose clock places under caps are told")


@router.get("/contacts/{contact:path}/why", responses=problems("not-found"))
async def explain_contact(
    contact: Annotated[str, Path(max_length=300, description="The contact's id")],
    client: Client,
    caller: Reading,
    scenario: Annotated[
        str | None,
        Query(max_length=100, description="Only what it asked for in this one; keys for some scenarios need it"),
    ] = None,
    step: Annotated[
        str | None, Query(max_length=200, description="Tell whether the contact got what this step sends, and why")
    ] = None,
    since: Annotated[Moment | None, Query(description="Only entries from then on")] = None,
    limit: Annotated[int, Query(ge=1, le=250, description="So many entries at most, the newest")] = 20,
) -> WhyBody:
    """Why a contact did, or did not, get something: let in or refused, and all that happened since."""
    caller.check(scenario)
    found = await client.why(contact, scenario, step=step, since=since, limit=limit)
    told = as_json(found)
    if caller.scenarios is not None:
        told["caps"] = None  # what takes places under them are deliveries of all scenarios
    return WhyBody.model_validate(told)
