"""Deliveries to one destination that are under way: what an operator may retune.

The store knows whose latest attempt is to be followed by another, and which journeys follow a version that sends to the
destination; Temporal knows what each of them has under way. So those are found too that have not been attempted:
they wait for their turn, a breaker turned them away, or no worker has taken them yet.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from temporalio.client import Client

from activities.channel_registry import CHANNELS
from activities.interface import fairness_key
from gateway.errors import BadInput
from gateway.journeys.pending_activities import Pending, describe, pending
from gateway.service.index import EVERY, JourneyFilter
from gateway.service.listing import JourneyLists
from runtime.store import Attempt, Store
from scenario.plan.retry import BOUNDS, STEEPEST, STORED, UNLIMITED, fit

LOOK_BACK: Final = timedelta(days=7)
"""How long ago an attempt may have been due that was never made: no worker ran, say."""
LOOKED_UP: Final = 500
"""Journeys that are looked up for a glance: about a second's work for a server."""
_BY_ACTIVITY: Final = {channel.activity: channel.name for channel in CHANNELS.values()}
_NUMBERS: Final = {
    "backoff_coefficient": f"the backoff coefficient must be from 1 to {STEEPEST}: with 1, all pauses are the same",
    "maximum_attempts": f"the number of attempts must be from 0, which means no limit, to {UNLIMITED}",
}
_ASKED: Final = 20  # journeys looked up at the same time
_CHUNK: Final = 200  # journeys looked up before it is known whether more are wanted


@dataclass(frozen=True)
class InFlight:
    """One delivery.

    Attributes:
        journey: The workflow id.
        step: The step's id.
        goes_to: What the journey calls the destination: e-mails and SMS have but the name of their channel there.
        latest: Its latest attempt on record; None where it has not been attempted since it was scheduled, as far as
            is known.
        pending: How Temporal sees it.
    """

    journey: str
    step: str
    goes_to: str
    latest: Attempt | None
    pending: Pending


@dataclass(frozen=True)
class Glance:
    """Deliveries to a destination that are under way, as far as they can be told at once.

    Attributes:
        found: Those known.
        unseen: How many more journeys may have one that has not been attempted yet, and were not looked up.
    """

    found: list[InFlight]
    unseen: int


async def glance(
    temporal: Client, store: Store, destination: str, *, limit: int = EVERY, look_up: int = LOOKED_UP
) -> Glance:
    """Deliveries under way: first those between two attempts, by when they are due, then those not attempted yet.

    Args:
        temporal: Knows what is under way.
        store: Knows what was attempted, and who may be about to send.
        destination: A destination's name, a host, or ``email`` or ``sms``. By a mail server's or a provider's name,
            as `deliveries` has it, only those are found that have been attempted.
        limit: So many deliveries at most.
        look_up: So many journeys at most are looked up on the server, which takes some hundreds a second; with `EVERY`
            each that follows a version which sends to the destination. Of deliveries beyond that the log of attempts
            alone tells.
    """
    attempts = await store.between_attempts(destination, since=datetime.now(UTC) - LOOK_BACK, limit=EVERY)
    tried = {(attempt.workflow_id, attempt.step): attempt for attempt in attempts}
    journeys = list(dict.fromkeys(journey for journey, _ in tried))

    def again(journey: str, item: Pending) -> InFlight | None:
        latest = tried.get((journey, item.step))
        return None if latest is None else InFlight(journey, item.step, _goes_to(latest), latest, item)

    def first(journey: str, item: Pending) -> InFlight | None:
        if (journey, item.step) in tried or not _goes(item, destination):
            return None
        return InFlight(journey, item.step, destination, None, item)

    found = await _look(temporal, journeys[:look_up], again, limit)
    known, beyond = set(journeys), set(journeys[look_up:])
    found += [_by_the_log(attempt) for attempt in attempts if attempt.workflow_id in beyond]
    look_up, unseen = max(look_up - len(journeys), 0), 0
    if len(found) < limit:
        async for entries in JourneyLists(temporal, store).admitted(
            JourneyFilter(destination=destination), size=_CHUNK
        ):
            journeys = [entry.workflow_id for entry in entries]
            found += await _look(temporal, journeys[:look_up], first, limit - len(found))
            if len(found) >= limit:
                break
            unseen += sum(journey not in known for journey in journeys[look_up:])
            look_up = max(look_up - len(journeys), 0)
    return Glance(found[:limit], unseen)


def _goes_to(latest: Attempt) -> str:
    return latest.destination if CHANNELS[latest.channel].addressed else latest.channel


def _by_the_log(latest: Attempt) -> InFlight:
    """A delivery between two attempts, as far as the log of attempts tells."""
    due = Pending(latest.step, "scheduled", latest.attempt + 1, latest.next_try_at)
    return InFlight(latest.workflow_id, latest.step, _goes_to(latest), latest, due)


def _goes(item: Pending, destination: str) -> bool:
    """Whether a delivery goes there, as far as Temporal knows: of a long name it has the beginning."""
    if item.fairness_key:
        return item.fairness_key == fairness_key(destination)
    return _BY_ACTIVITY.get(item.activity) == destination


async def _look(
    temporal: Client, journeys: Iterable[str], pick: Callable[[str, Pending], InFlight | None], limit: int
) -> list[InFlight]:
    """What of the deliveries that these journeys have under way is wanted, in the journeys' order."""
    turns = asyncio.Semaphore(_ASKED)

    async def look(journey: str) -> list[InFlight]:
        async with turns:
            described = await describe(temporal, journey)
        picked = (pick(journey, item) for item in await pending(temporal, described)) if described else ()
        return [item for item in picked if item is not None]

    wanted = list(journeys)
    found: list[InFlight] = []
    for start in range(0, len(wanted), _CHUNK):
        for items in await asyncio.gather(*map(look, wanted[start : start + _CHUNK])):
            found += items
        if len(found) >= limit:
            break
    return found[:limit]


@dataclass(frozen=True, kw_only=True)
class Change:
    """What an operator changes of a `scenario.plan.retry.RetryPolicy`, by its names; what is None stays as it is.

    Raises:
        BadInput: Nothing is to be changed, or to a value that makes no sense.
    """

    initial_interval: float | None = None
    backoff_coefficient: float | None = None
    maximum_interval: float | None = None
    maximum_attempts: int | None = None
    deadline: float | None = None

    def __post_init__(self) -> None:
        given = self.given()
        if not given:
            raise BadInput("say what is to be changed: an interval, the coefficient, the attempts or the deadline")
        for name, value in given.items():
            low, high = BOUNDS[name]
            if not low <= value <= high:
                length = "is too long" if value > high else "must be greater than zero"
                raise BadInput(_NUMBERS.get(name, f"the {name.replace('_', ' ')} {length}"))
        if not fit({STORED[name]: value for name, value in given.items()}):
            raise BadInput("the initial interval cannot be longer than the maximum interval")

    def given(self) -> dict[str, float]:
        """As the update `retune` takes it: durations in seconds, and only what is to be changed."""
        return {name: value for name, value in asdict(self).items() if value is not None}
