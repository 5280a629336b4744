"""Views of operations: on many journeys, on one, and their results."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, NamedTuple

from pydantic import Field

from runtime.store import StoredOperation
from runtime.store.operations import NOT_ASKED, UNANSWERED
from scenario.words import Operation
from service.operations.request import RefusalView
from service.operations.uncertain import UncertainView
from service.view import View

OperationState = Literal["surveying", "running", "stopped", "finished", "failed"]
ItemOutcome = Literal["accepted", "refused", "unanswered", "stopped", "not_asked"]


class OperationView(View):
    """An operation on one journey or many, or on a subscription to outgoing events.

    `total` is the sum of `accepted`, `refused`, `unanswered` and `left`.
    """

    id: str
    """The operation's id."""
    operation: str
    """The action on each journey, or on the subscription."""
    which: dict[str, Any] = Field(default_factory=dict[str, Any])
    """The filters that select the journeys, or the `subscription`."""
    more: dict[str, Any] = Field(default_factory=dict[str, Any])
    """Further arguments of the operation."""
    operator: str
    """The operator who requested it."""
    reason: str
    """The operator's reason."""
    rate: float = 0.0
    """Maximum number of journeys a second; 0 if it was sent to one journey or a subscription."""
    limit: int | None = None
    """Maximum number of journeys; null for all that match."""
    dry_run: bool = False
    """True if it only finds the journeys."""
    everybody: bool = False
    """True if it applies to all running journeys, held or not."""
    unknown: bool = False
    """True if it also retries messages that may have been delivered."""
    uncertain: UncertainView | None = None
    """For `retry`, once its journeys are found: those whose message may have been delivered. They are left out unless
    `unknown` is true."""
    state: OperationState
    """The state of the operation. `surveying` is finding its journeys."""
    total: int
    """Number of journeys found."""
    accepted: int
    """Number of journeys that accepted."""
    refused: int
    """Number of journeys that refused, for example because they have ended or are not held."""
    unanswered: int
    """Number of journeys that have not answered. They are asked again while the operation runs."""
    left: int
    """Number of journeys that were not asked."""
    events: int | None = None
    """Number of outgoing events that it was about; null if it was about journeys."""
    since: datetime
    """Time of the request."""
    ended_at: datetime | None
    """Time of the end; null while it runs."""
    trouble: str | None
    """Why it makes no progress, or why it failed, as a sentence."""
    stopped_by: str | None
    """The operator who stopped it."""
    stop_reason: str | None
    """The reason why it was stopped."""

    @classmethod
    def of(cls, stored: StoredOperation, counts: Mapping[str, int]) -> OperationView:
        return cls.from_record(
            stored,
            operation=stored.verb,
            state=_state(stored),
            total=sum(counts.values()),
            accepted=counts.get("accepted", 0),
            refused=counts.get("refused", 0),
            unanswered=counts.get(UNANSWERED, 0),
            left=counts.get(NOT_ASKED, 0) + counts.get("stopped", 0),
            since=stored.created_at,
            **stored.request,
        )

    @property
    def over(self) -> bool:
        return self.ended_at is not None


class OperationItemView(View):
    """One journey of an operation."""

    journey: str
    """The journey's id."""
    step: str | None
    """The step at which the journey was found. The journey refuses the operation at any other step. Null if the step
    does not matter."""
    outcome: str | None
    """The journey's answer. `stopped`: the operation ended before it was asked. Null if it has not answered."""
    reason: str | None
    """Why it refused, or did not answer."""
    answered_at: datetime | None
    """Time of the answer."""


class JourneyNow(NamedTuple):
    """The state of a journey after an operation."""

    state: str
    step: str | None = None  # while it runs
    reason: str | None = None  # why it is held or has ended


class OperatedView(View):
    """A journey that accepted an operation."""

    journey: str
    """The journey's id."""
    progress: dict[str, Any]
    """The journey's state after the operation, as its query `progress` returns it."""


class TallyView(View):
    """The result of an operation that a command has sent to many journeys."""

    operation: Operation
    """The operation."""
    accepted: list[str]
    """The ids of journeys that accepted."""
    refused: list[RefusalView]
    """The journeys that did not."""
    left: int
    """Number of journeys that were not asked."""


def _state(stored: StoredOperation) -> OperationState:
    match stored.outcome:
        case "finished" | "stopped" | "failed":
            return stored.outcome
        case None:
            return "running" if stored.surveyed_at and not stored.request.get("dry_run") else "surveying"
        case _:
            return "failed"
