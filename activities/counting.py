"""Reports of completed steps, for statistics. See `activities.interface` for the rules of these classes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from activities.call import ActivityType


@dataclass(frozen=True, kw_only=True)
class Passage:
    """A completed step.

    Attributes:
        version: The version that the journey followed.
        step: The step's id in that version.
        outcome: Its outcome, see `workflows.state.StepRecord.outcome`.
        at: Its end, ISO 8601 in UTC.
    """

    version: int
    step: str
    outcome: str
    at: str


@dataclass(frozen=True, kw_only=True)
class Passages:
    """Completed steps in order. Some may have been reported before.

    Attributes:
        workflow_id: The journey's id.
        run_id: Its first execution's.
        first: Number of earlier steps.
        passed: The steps.
        revisable: Number of the last of them that were completed in the workflow task that reports them. Temporal may
            refuse that task, and a later report replaces them.
        now: Time of the report, ISO 8601 in UTC.
    """

    workflow_id: str
    run_id: str
    first: int = 0
    passed: list[Passage] = field(default_factory=list[Passage])
    revisable: int = 0
    now: str = ""


COUNT: Final = ActivityType("count", Passages, type(None))
