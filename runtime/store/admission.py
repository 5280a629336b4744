"""The rule of ``again:``, as a pure function over a contact's earlier entries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from scenario.policies.draw import WITHHELD

Again = Literal["never", "when_finished", "always"] | timedelta
"""When a contact is admitted again under the same scenario and key. A ``timedelta`` is the time that must have passed
since its newest admission.
"""

Why = Literal["under_way", "entered_before", "too_soon"]


@dataclass(frozen=True, slots=True)
class AdmissionRequest:
    """One run that asks to be admitted.

    Attributes:
        scenario: The scenario's name.
        version: The version it would follow.
        contact_id: Whose journey.
        key: What makes it another journey of the same contact, e.g. an order's number; None or "" for one a contact.
        workflow_id: The journey.
        run_id: Its first execution run id, which resets and continue-as-new leave alone.
        again: The scenario's rule.
        now: When it asks.
        trigger: What brought it, e.g. ``order``; for the record.
        goal_until: Until when the scenario's goal counts for it; None where it has none.
        branches: The branch of each split, by the split's id, as far as it is known already.
        outcome: How it ends at once, where it is let in to get nothing; else None.
        reason: Why.
    """

    scenario: str
    version: int
    contact_id: str
    key: str | None
    workflow_id: str
    run_id: str
    again: Again
    now: datetime
    trigger: str = ""
    goal_until: datetime | None = None
    branches: Mapping[str, str] | None = None
    outcome: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """A journey that was admitted, running or over.

    Attributes:
        workflow_id: The journey.
        run_id: Its first execution run id.
        scenario: The scenario's name.
        version: The version it follows: that by which it was admitted, until it goes on in another.
        contact_id: Whose journey.
        key: As its entry gave it, or None.
        ordinal: The contact's first, second, … entry under this scenario and key.
        trigger: What brought it.
        admitted_at: When it was admitted.
        ended_at: When it was over, or None while it is running.
        outcome: ``finished``, ``exited``, …; ``lost`` where it ended without taking leave; None while running.
        reason: Why, or None.
        entered_version: The version that let it in, where it follows another one by now.
        branches: The branch of each split, by the split's id, as it was drawn when the contact came in.
        goal_until: Until when the scenario's goal counts for it; None where there is none.
        reached_at: When it reached the goal, if it did.
        goal_value: What that was worth, a decimal number.
        counted_passages: How many of its passages through steps are counted.
    """

    workflow_id: str
    run_id: str
    scenario: str
    version: int
    contact_id: str
    key: str | None
    ordinal: int
    trigger: str
    admitted_at: datetime
    ended_at: datetime | None
    outcome: str | None
    reason: str | None
    entered_version: int | None = None
    branches: Mapping[str, str] | None = None
    goal_until: datetime | None = None
    reached_at: datetime | None = None
    goal_value: str | None = None
    counted_passages: int = 0

    @property
    def entered_by(self) -> int:
        """The version that let it in, by whose goal it is measured."""
        return self.version if self.entered_version is None else self.entered_version


@dataclass(frozen=True, slots=True)
class AdmittedRun:
    """The run is in.

    Attributes:
        version: The version it follows: that of its first asking, where it asks again.
        ordinal: The contact's first, second, … entry under this scenario and key.
        admitted_at: When it was first let in.
        outcome: How it ended at once, where it was let in to get nothing; else None.
        reason: Why.
        again: Whether it asks again, and was in already.
    """

    version: int
    ordinal: int
    admitted_at: datetime
    outcome: str | None = None
    reason: str | None = None
    again: bool = False


@dataclass(frozen=True, slots=True)
class AlreadyEntered:
    """The run is not admitted, because of an earlier one.

    Attributes:
        why: ``under_way`` (the earlier one is not over), ``entered_before`` (once is all), or ``too_soon``.
        workflow_id: The earlier journey.
        run_id: Its first execution run id.
        admitted_at: When that was admitted.
        until: For ``too_soon``, when the contact is admitted again, else None.
    """

    why: Why
    workflow_id: str
    run_id: str
    admitted_at: datetime
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Eligible:
    """The run may come in under this ordinal, if no other entry takes it first."""

    ordinal: int


@dataclass(frozen=True, slots=True)
class AdmissionDecision:
    """What follows from the earlier entries.

    Attributes:
        answer: The answer, or the place that may be taken.
        lost: Entries that are over although nobody said so.
    """

    answer: AdmittedRun | AlreadyEntered | Eligible
    lost: tuple[StoredEntry, ...] = ()


def decide(asking: AdmissionRequest, earlier: Sequence[StoredEntry]) -> AdmissionDecision:
    """Apply the rule.

    Args:
        asking: Who asks.
        earlier: Its own entry, if it has one; and of the entries of the same scenario, contact and key, at least
            the newest and all that are running.

    Returns:
        The answer, and what else became known.
    """
    for entry in earlier:
        if (entry.workflow_id, entry.run_id) == (asking.workflow_id, asking.run_id):
            over = (entry.outcome, entry.reason) if entry.outcome in WITHHELD else (None, None)
            return AdmissionDecision(AdmittedRun(entry.version, entry.ordinal, entry.admitted_at, *over, again=True))
    running = [entry for entry in earlier if entry.ended_at is None]
    # Temporal has at most one open run of a workflow id, and ours is open: that other one was terminated, or its
    # departure did not get through.
    lost = tuple(entry for entry in running if entry.workflow_id == asking.workflow_id)
    for entry in running:
        if entry.workflow_id != asking.workflow_id:
            return AdmissionDecision(_because(entry, "under_way"), lost)
    newest = max(earlier, key=lambda entry: entry.ordinal, default=None)
    if newest is None:
        return AdmissionDecision(Eligible(1))
    if asking.again == "never":
        return AdmissionDecision(_because(newest, "entered_before"), lost)
    if isinstance(asking.again, timedelta) and asking.now < (until := newest.admitted_at + asking.again):
        return AdmissionDecision(_because(newest, "too_soon", until), lost)
    return AdmissionDecision(Eligible(newest.ordinal + 1), lost)


def _because(entry: StoredEntry, why: Why, until: datetime | None = None) -> AlreadyEntered:
    return AlreadyEntered(why, entry.workflow_id, entry.run_id, entry.admitted_at, until)
