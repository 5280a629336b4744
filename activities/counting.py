"""What a journey tells of the steps that it is through with, so that people are counted per step.

For these classes holds what is said in `activities.interface`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from activities.call import ActivityType


@dataclass(frozen=True, kw_only=True)
class Passage:
    """A step that a journey is through with.

    Attributes:
        version: The version that it followed then.
        step: The step's id in that version.
        outcome: How it went, in the words of `workflows.state.StepRecord.outcome`.
        at: When it was over, ISO 8601 in UTC.
    """

    version: int
    step: str
    outcome: str
    at: str


@dataclass(frozen=True, kw_only=True)
class Passages:
    """Steps that a journey is through with, in its order. What was told before may be among them.

    Attributes:
        workflow_id: The journey's.
        run_id: Its first execution's.
        first: How many there were before these.
        passed: The steps.
        revisable: Number of the last of them that were completed in the workflow task that reports them. Temporal may
            refuse that task, and a later report replaces them.
        now: When it is reported, ISO 8601 in UTC.
    """

    workflow_id: str
    run_id: str
    first: int = 0
    passed: list[Passage] = field(default_factory=list[Passage])
    revisable: int = 0
    now: str = ""


COUNT: Final = ActivityType("count", Passages, type(None))
