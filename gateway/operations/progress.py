"""How an operation on many journeys goes, for programs and pages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from gateway.operations.verbs import WORDS
from runtime.store import StoredOperation
from runtime.store.operations import NOT_ASKED, UNANSWERED

OperationState = Literal["surveying", "running", "stopped", "finished", "failed"]
"""What an operation is doing, or how it has ended."""
_NAMES: Final[Mapping[str, str]] = {**WORDS}


@dataclass(frozen=True, kw_only=True)
class OperationView:
    """An operation on many journeys. `total` is `accepted`, `refused`, `unanswered` and `left` together.

    Attributes:
        id: Its id.
        verb: The update that each journey gets.
        which: What the journeys have in common: the fields of `gateway.service.index.JourneyFilter` that were given.
        more: What else the update takes.
        operator: Who asked for it.
        reason: Why.
        rate: Journeys a second at most.
        limit: So many at most; None: all that fit.
        dry_run: Whether it only looks for them.
        everybody: Whether all under way are meant, held or not.
        state: What it is doing, or how it has ended.
        total: How many journeys it has found.
        accepted: How many accepted.
        refused: How many did not: they were over, or not held any more.
        unanswered: How many were asked, and have not answered.
        left: How many were not asked, or not yet.
        since: When it was asked for.
        ended_at: When it was over.
        trouble: What is in its way, or why it failed: a sentence.
        stopped_by: Who stopped it.
        stop_reason: Why.
    """

    id: str
    verb: str
    which: Mapping[str, Any]
    more: Mapping[str, Any]
    operator: str
    reason: str
    rate: float
    limit: int | None
    dry_run: bool
    everybody: bool
    state: OperationState
    total: int
    accepted: int
    refused: int
    unanswered: int
    left: int
    since: datetime
    ended_at: datetime | None
    trouble: str | None
    stopped_by: str | None
    stop_reason: str | None

    @property
    def word(self) -> str:
        """What people call the operation."""
        return _NAMES.get(self.verb, self.verb)

    @property
    def over(self) -> bool:
        """Whether it is over."""
        return self.ended_at is not None


def seen(stored: StoredOperation, counts: Mapping[str, int]) -> OperationView:
    """An operation as it can be seen.

    Args:
        stored: What the store has of it.
        counts: How many of its journeys have which outcome.
    """
    request = stored.request
    dry_run = bool(request.get("dry_run"))
    return OperationView(
        id=stored.id,
        verb=stored.verb,
        which=request.get("which") or {},
        more=request.get("more") or {},
        operator=stored.operator,
        reason=stored.reason,
        rate=request.get("rate") or 0.0,
        limit=request.get("limit"),
        dry_run=dry_run,
        everybody=bool(request.get("everybody")),
        state=_state(stored, dry_run=dry_run),
        total=sum(counts.values()),
        accepted=counts.get("accepted", 0),
        refused=counts.get("refused", 0),
        unanswered=counts.get(UNANSWERED, 0),
        left=counts.get(NOT_ASKED, 0) + counts.get("stopped", 0),
        since=stored.created_at,
        ended_at=stored.ended_at,
        trouble=stored.trouble,
        stopped_by=stored.stopped_by,
        stop_reason=stored.stop_reason,
    )


def _state(stored: StoredOperation, *, dry_run: bool) -> OperationState:
    match stored.outcome:
        case "finished" | "stopped" | "failed":
            return stored.outcome
        case None:
            return "running" if stored.surveyed_at and not dry_run else "surveying"
        case _:  # a later release's
            return "failed"
