"""The rule ``again:`` as a pure function of a contact's earlier entries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from scenario.policies.draw import WITHHELD

Again = Literal["never", "when_finished", "always"] | timedelta
"""When a contact may enter again under the same scenario and key; a ``timedelta`` counts from the latest admission."""

Why = Literal["under_way", "entered_before", "too_soon"]


@dataclass(frozen=True, slots=True)
class AdmissionRequest:
    """A run that requests admission."""

    scenario: str
    version: int
    contact_id: str
    key: str | None
    """Distinguishes journeys of the same contact, such as an order's number. None or "" if a contact has one."""
    workflow_id: str
    run_id: str
    again: Again
    admitted_at: datetime
    trigger: str = ""  # type of the trigger, such as ``order``
    goal_until: datetime | None = None
    branches: Mapping[str, str] | None = None  # branch of each split, by the split's id, as far as drawn
    outcome: str | None = None  # outcome of an entry that is admitted but receives no messages, else None
    reason: str | None = None
    root: str | None = None
    """For a campaign's journey, what its delivery ids are made from. Equal to `run_id` without a workflow."""

    @property
    def is_inline(self) -> bool:
        """True if a campaign sends its message without a workflow."""
        return self.root == self.run_id

    @property
    def ended_at(self) -> datetime | None:
        return None if self.outcome is None else self.admitted_at


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """An admitted journey, running or ended."""

    workflow_id: str
    run_id: str
    scenario: str
    version: int
    contact_id: str
    key: str | None
    ordinal: int
    """1, 2, … among the contact's entries under this scenario and key. It makes admission atomic without a lock, see
    `runtime.store.entries`."""
    trigger: str
    admitted_at: datetime
    ended_at: datetime | None
    outcome: str | None  # ``finished``, ``exited``, …; ``lost`` if it ended without reporting; None while it is running
    reason: str | None
    entered_version: int | None = None
    """The version that admitted it, if it has moved to another or may move to an earlier one. Results are measured by
    it."""
    branches: Mapping[str, str] | None = None  # branch of each split, by the split's id, drawn at admission
    goal_until: datetime | None = None  # end of the goal's window
    reached_at: datetime | None = None
    goal_value: str | None = None  # the value of the reached goal, a decimal number
    counted_passages: int = 0
    root: str | None = None  # see `AdmissionRequest`

    @property
    def is_inline(self) -> bool:
        """True if it has no workflow: its campaign, which `key` names, sends or has sent its message."""
        return self.root == self.run_id

    @property
    def entered_by(self) -> int:
        """The version that admitted it, by whose goal it is measured."""
        return self.version if self.entered_version is None else self.entered_version


@dataclass(frozen=True, slots=True)
class AdmittedRun:
    """The run is admitted."""

    version: int
    ordinal: int
    admitted_at: datetime
    outcome: str | None = None
    reason: str | None = None
    again: bool = False  # True if it was admitted before
    taken_over_by: str | None = None
    """The run of the workflow that has taken over an entry without a workflow, if one has."""


@dataclass(frozen=True, slots=True)
class AlreadyEntered:
    """The run is refused because of an earlier entry."""

    why: Why
    workflow_id: str
    run_id: str
    admitted_at: datetime
    until: datetime | None = None
    """Time from which the contact is admitted again if the reason is ``too_soon``, else None."""


@dataclass(frozen=True, slots=True)
class Eligible:
    """The run may enter under this ordinal, unless another entry takes it first."""

    ordinal: int


@dataclass(frozen=True, slots=True)
class TakesOver:
    """The run continues an entry that has no workflow yet, unless that ends first."""

    entry: StoredEntry


@dataclass(frozen=True, slots=True)
class AdmissionDecision:
    """The result of the rule, and entries that have ended without reporting it."""

    answer: AdmittedRun | AlreadyEntered | Eligible | TakesOver
    lost: tuple[StoredEntry, ...] = ()


def decide(asking: AdmissionRequest, earlier: Sequence[StoredEntry]) -> AdmissionDecision:
    """Apply the rule `again`.

    ``always`` and ``when_finished`` are the same here. They differ where a journey is started while one is running:
    under ``always`` that one is the answer, else a refusal.

    The earlier entries are those of the run and of its root, if any, and of the contact's entries under the same
    scenario and key at least the newest and all running ones.
    """
    for entry in earlier:
        if (entry.workflow_id, entry.run_id) == (asking.workflow_id, asking.run_id):
            return AdmissionDecision(admitted_before(entry))
    for entry in earlier:
        if asking.root is not None and (entry.workflow_id, entry.root) == (asking.workflow_id, asking.root):
            if asking.is_inline:
                return AdmissionDecision(replace(admitted_before(entry), taken_over_by=entry.run_id))
            # A root is one entry's: two would have the same delivery ids.
            is_free = entry.is_inline and entry.ended_at is None
            return AdmissionDecision(TakesOver(entry) if is_free else _because(entry, "entered_before"))
    running = [entry for entry in earlier if entry.ended_at is None]
    # Temporal has one open run of a workflow id. If that is ours, the other one was terminated, or its departure was
    # not recorded.
    is_open = not asking.is_inline
    lost = tuple(
        entry for entry in running if is_open and entry.workflow_id == asking.workflow_id and not entry.is_inline
    )
    for entry in running:
        if entry not in lost:
            return AdmissionDecision(_because(entry, "under_way"), lost)
    newest = max(earlier, key=lambda entry: entry.ordinal, default=None)
    if newest is None:
        return AdmissionDecision(Eligible(1))
    if asking.again == "never":
        return AdmissionDecision(_because(newest, "entered_before"), lost)
    if isinstance(asking.again, timedelta) and asking.admitted_at < (until := newest.admitted_at + asking.again):
        return AdmissionDecision(_because(newest, "too_soon", until), lost)
    return AdmissionDecision(Eligible(newest.ordinal + 1), lost)


def admitted_before(entry: StoredEntry) -> AdmittedRun:
    """Return the answer to a run that has this entry already."""
    over = (entry.outcome, entry.reason) if entry.outcome in WITHHELD else (None, None)
    return AdmittedRun(entry.version, entry.ordinal, entry.admitted_at, *over, again=True)


def _because(entry: StoredEntry, why: Why, until: datetime | None = None) -> AlreadyEntered:
    return AlreadyEntered(why, entry.workflow_id, entry.run_id, entry.admitted_at, until)
