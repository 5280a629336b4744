"""Verdicts on a run: each compares what receivers got with what log and histories say, and allows for known faults.

Each function returns a sentence for each contradiction. A fault explains a contradiction only near its own time, so
that a mistake of the product stands out among many faults.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import Any, Final, Literal

from runtime.store import Attempt

Answer = Literal["accepted", "refused", "unanswered"]
ACCEPTED: Final = "accepted"
REFUSED: Final = "refused"
UNANSWERED: Final = "unanswered"
"""The receiver read the message, and dropped the connection."""

BEFORE: Final = 5.0
"""Seconds before a fault in which a request may have been accepted without a report to Temporal."""
AFTER: Final = 3.0
"""Seconds after a fault in which reports may still be lost."""
LOG_SECONDS: Final = 2.0
"""Maximum age of attempts that a worker has not written to the log: some tenths, and more on a busy machine."""
EXIT_SECONDS: Final = 5.0
"""Seconds after an accepted exit in which a request that had already begun may arrive."""


@dataclass(frozen=True)
class Arrival:
    """A message as a receiver got it.

    Attributes:
        at: Time, in seconds since 1970.
        answer: The receiver's answer.
    """

    at: float
    body: bytes
    answer: Answer


@dataclass(frozen=True)
class Fault:
    """A failure of a process. A killed one is followed by another, so that the failure has no duration.

    Attributes:
        began: Time of its start, in seconds since 1970.
        ended: Time of its end.
    """

    what: str
    began: float
    ended: float

    def explains(self, at: float, *, before: float = BEFORE, after: float = AFTER) -> bool:
        """Return True if a report of this time may have been lost."""
        return self.began - before <= at <= self.ended + after


Arrivals = Mapping[str, Sequence[Arrival]]
"""Messages by delivery id, in the order of their arrival."""
AttemptLog = Mapping[str, Sequence[Attempt]]
"""Attempts by delivery id, the oldest first."""


def find_repeated(arrivals: Arrivals, log: AttemptLog, faults: Collection[Fault]) -> list[str]:
    """Find requests that repeat an accepted one although nothing had failed."""
    found: list[str] = []
    for identifier, requests in arrivals.items():
        for earlier, later in pairwise(requests):
            if earlier.answer != ACCEPTED or any(fault.explains(earlier.at) for fault in faults):
                continue
            if not any(_is_failure(row, earlier.at, later.at) for row in log.get(identifier, ())):
                seconds = later.at - earlier.at
                found.append(f"{identifier} was accepted, and sent again {seconds:.1f} s later without a cause")
    return found


def _is_failure(row: Attempt, earlier: float, later: float) -> bool:
    """Return True if an attempt that ended between two requests did not see the answer to the first."""
    ended = (row.started_at + timedelta(milliseconds=row.milliseconds)).timestamp()
    return row.outcome != "delivered" and earlier - 1 <= ended and row.started_at.timestamp() <= later


def find_unlogged(arrivals: Arrivals, log: AttemptLog, kills: Collection[Fault]) -> list[str]:
    """Find accepted messages without a row in the log, and attempts whose numbers the log lacks.

    Args:
        kills: Kills of workers, which lose the latest rows, and restarts of Temporal, which lose attempts.
    """
    found: list[str] = []
    for identifier, requests in arrivals.items():
        rows = log.get(identifier, ())
        accepted = [request.at for request in requests if request.answer == ACCEPTED]
        lost = [any(kill.explains(at, before=LOG_SECONDS, after=1.0) for kill in kills) for at in accepted]
        if accepted and not all(lost) and not any(row.outcome == "delivered" for row in rows):
            found.append(f"{identifier} was accepted, and the log does not say so")
        for earlier, later in pairwise(rows):
            begun, ended = earlier.started_at.timestamp(), later.started_at.timestamp()
            if later.attempt > earlier.attempt + 1 and not any(_overlaps(kill, begun, ended) for kill in kills):
                found.append(f"{identifier} has no attempt between {earlier.attempt} and {later.attempt} in the log")
        if (
            rows
            and rows[0].attempt > 1
            and not any(_overlaps(kill, 0, rows[0].started_at.timestamp()) for kill in kills)
        ):
            found.append(f"{identifier} has no attempt before {rows[0].attempt} in the log")
    return found


def _overlaps(fault: Fault, begun: float, ended: float) -> bool:
    return fault.began - AFTER <= ended and begun <= fault.ended + AFTER


def find_doubled(arrivals: Arrivals) -> list[str]:
    """Find messages that were sent again although they may have been delivered, and whose step forbids that."""
    return [
        f"{identifier} was sent again after it may have been delivered"
        for identifier, requests in arrivals.items()
        if any(request.answer != REFUSED for request in requests[:-1])
    ]


def find_early(arrivals: Iterable[Arrival], quiet_until: float) -> list[str]:
    """Find messages to contacts in quiet hours before their end, which is in seconds since 1970."""
    return [
        f"a message arrived {quiet_until - arrival.at:.0f} s before the end of quiet hours"
        for arrival in arrivals
        if arrival.at < quiet_until
    ]


def find_ignored_exits(
    exits: Mapping[str, float], results: Mapping[str, Mapping[str, Any]], arrivals: Mapping[str, Iterable[Arrival]]
) -> list[str]:
    """Find journeys that went on after an exit was accepted.

    Args:
        exits: Time at which the exit event was accepted, in seconds since 1970, by contact.
        results: Results of the journeys, by contact.
        arrivals: Requests for each contact.
    """
    found: list[str] = []
    for contact, at in exits.items():
        result = results[contact]
        if (result["outcome"], result["reason"]) != ("exited", "event gone"):
            found.append(f"{contact} ended as {result['outcome']} ({result['reason']}), although its exit was accepted")
        late = [arrival.at - at for arrival in arrivals[contact] if arrival.at > at + EXIT_SECONDS]
        found += [f"{contact} got a message {seconds:.1f} s after its exit" for seconds in late]
    return found


def find_unsettled(steps: Mapping[str, str], log: AttemptLog) -> list[str]:
    """Find deliveries that the log says were delivered, and the journey does not.

    Args:
        steps: Outcomes according to the journeys, by delivery id.
    """
    return [
        f"{identifier} is delivered in the log, and {outcome} in its journey"
        for identifier, outcome in steps.items()
        if outcome != "delivered" and any(row.outcome == "delivered" for row in log.get(identifier, ()))
    ]


def find_other_bytes(arrivals: Arrivals) -> list[str]:
    """Find deliveries whose requests had different bodies."""
    return [
        f"{identifier} arrived with different bytes"
        for identifier, requests in arrivals.items()
        if len({request.body for request in requests}) > 1
    ]
