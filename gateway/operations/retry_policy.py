"""Deliveries to one destination that are in progress, and changes of their retry policy.

The store has the deliveries between two attempts, and the journeys whose version sends to the destination. Temporal has
the pending activities of each journey. Together they also find deliveries without an attempt so far: throttled,
rejected by a circuit breaker, or not yet taken by a worker.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from temporalio.client import Client

from activities.channel_registry import CHANNELS
from activities.interface import fairness_key
from gateway.concurrency import gather_some
from gateway.errors import BadInput
from gateway.journeys.snapshot import DeliveryStatus, pending_of
from gateway.service.index import EVERY, JourneyFilter
from gateway.service.listing import JourneyLists
from gateway.service.view import View
from runtime.store import Attempt, Store
from scenario.plan.retry import BOUNDS, STEEPEST, STORED, UNLIMITED, fit

LOOK_BACK: Final = timedelta(days=7)
"""Maximum age of a due attempt that was never made, for example because no worker ran."""
LOOKED_UP: Final = 500  # journeys looked up by default: about a second's work for a server
_BY_ACTIVITY: Final = {channel.activity: channel.name for channel in CHANNELS.values()}
_NUMBERS: Final = {
    "backoff_coefficient": f"the backoff coefficient must be from 1 to {STEEPEST}; with 1, all pauses are the same",
    "maximum_attempts": f"the number of attempts must be from 0, which means no limit, to {UNLIMITED}",
}
_CONCURRENT: Final = 20  # journeys looked up at the same time
_CHUNK: Final = 200  # journeys looked up before the limit is checked


@dataclass(frozen=True)
class PendingDelivery:
    """A delivery in progress."""

    journey: str
    step: str
    goes_to: str  # the destination as the journey names it: the channel's name for e-mails and SMS
    latest: Attempt | None
    pending: DeliveryStatus  # the delivery's activity, as Temporal reports it


class DeliveryInProgress(View):
    """A delivery in progress to a destination."""

    journey: str
    """Journey id."""
    step: str
    """Step id."""
    delivery_id: str | None
    """Delivery id; null if no attempt is on record."""
    attempts: int | None
    """Number of attempts; null if none is on record."""
    pending: DeliveryStatus
    """The delivery, as Temporal has it."""

    @classmethod
    def of(cls, item: PendingDelivery) -> DeliveryInProgress:
        latest = item.latest
        return cls.from_record(item, delivery_id=latest and latest.delivery_id, attempts=latest and latest.attempt)


@dataclass(frozen=True)
class RetuneCandidates:
    """The deliveries to a destination that are in progress, as far as they were looked up."""

    found: list[PendingDelivery]
    unseen: int  # number of journeys that were not looked up and may have one more


async def pending_deliveries(
    temporal: Client, store: Store, destination: str, *, limit: int = EVERY, look_up: int = LOOKED_UP
) -> RetuneCandidates:
    """Return the deliveries in progress: first those between two attempts, by due time, then those without an attempt.

    Args:
        destination: A destination's name, a host, ``email`` or ``sms``. The name of a mail server or provider finds
            only deliveries that were attempted.
        look_up: Maximum number of journeys looked up on the server, which takes some hundreds a second. Deliveries
            of other journeys are returned as the log of attempts has them.
    """
    attempts = await store.between_attempts(destination, since=datetime.now(UTC) - LOOK_BACK, limit=EVERY)
    tried = {(attempt.workflow_id, attempt.step): attempt for attempt in attempts}
    journeys = list(dict.fromkeys(journey for journey, _ in tried))

    def again(journey: str, item: DeliveryStatus) -> PendingDelivery | None:
        latest = tried.get((journey, item.step))
        return None if latest is None else PendingDelivery(journey, item.step, _goes_to(latest), latest, item)

    def first(journey: str, item: DeliveryStatus) -> PendingDelivery | None:
        # Temporal has the beginning of a long name only.
        key = item.fairness_key
        is_there = key == fairness_key(destination) if key else _BY_ACTIVITY.get(item.activity) == destination
        if (journey, item.step) in tried or not is_there:
            return None
        return PendingDelivery(journey, item.step, destination, None, item)

    found = await _look_up(temporal, journeys[:look_up], again, limit)
    known, beyond = set(journeys), set(journeys[look_up:])
    for one in (attempt for attempt in attempts if attempt.workflow_id in beyond):
        due = DeliveryStatus(step=one.step, state="scheduled", attempt=one.attempt + 1, next_try_at=one.next_try_at)
        found.append(PendingDelivery(one.workflow_id, one.step, _goes_to(one), one, due))
    look_up, unseen = max(look_up - len(journeys), 0), 0
    if len(found) < limit:
        async for entries in JourneyLists(temporal, store).admitted(
            JourneyFilter(destination=destination), size=_CHUNK
        ):
            journeys = [entry.workflow_id for entry in entries]
            found += await _look_up(temporal, journeys[:look_up], first, limit - len(found))
            if len(found) >= limit:
                break
            unseen += sum(journey not in known for journey in journeys[look_up:])
            look_up = max(look_up - len(journeys), 0)
    return RetuneCandidates(found[:limit], unseen)


def _goes_to(latest: Attempt) -> str:
    return latest.destination if CHANNELS[latest.channel].addressed else latest.channel


async def _look_up(
    temporal: Client, journeys: Iterable[str], pick: Callable[[str, DeliveryStatus], PendingDelivery | None], limit: int
) -> list[PendingDelivery]:
    async def look_up(journey: str) -> list[PendingDelivery]:
        going = await pending_of(temporal, journey)
        return [picked for item in going if (picked := pick(journey, item)) is not None]

    wanted = list(journeys)
    found: list[PendingDelivery] = []
    for start in range(0, len(wanted), _CHUNK):
        for items in await gather_some(_CONCURRENT, look_up, wanted[start : start + _CHUNK]):
            found += items
        if len(found) >= limit:
            break
    return found[:limit]


@dataclass(frozen=True, kw_only=True)
class RetryPolicyChange:
    """A change of a `scenario.plan.retry.RetryPolicy`. Fields that are None stay as they are. Durations in seconds."""

    initial_interval: float | None = None
    backoff_coefficient: float | None = None
    maximum_interval: float | None = None
    maximum_attempts: int | None = None
    deadline: float | None = None

    def __post_init__(self) -> None:
        changed = self.given()
        if not changed:
            raise BadInput("name what to change: an interval, the coefficient, the attempts or the deadline")
        for name, value in changed.items():
            low, high = BOUNDS[name]
            if not low <= value <= high:
                problem = "is too long" if value > high else "must be greater than zero"
                raise BadInput(_NUMBERS.get(name, f"the {name.replace('_', ' ')} {problem}"), at=["retry", name])
        if not fit({STORED[name]: value for name, value in changed.items()}):
            text = "the initial interval cannot be longer than the maximum interval"
            raise BadInput(text, at=["retry", "initial_interval"])

    def given(self) -> dict[str, float]:
        return {name: value for name, value in asdict(self).items() if value is not None}
