"""The sandbox that workflow code runs in."""

from __future__ import annotations

from typing import Final

from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

PURE: Final = (
    "scenario",
    "activities.call",
    "activities.failures",
    "activities.caller",
    "activities.counting",
    "activities.interface",
    "activities.moving",
    "activities.platform",
    "activities.retention",
    "runtime.search_attributes",
)
"""Modules that pass through: pure, and named one by one. They are loaded once instead of for every journey."""

PROVEN: Final = tuple(
    f"workflows.{name}"
    for name in (
        "course",
        "delivery",
        "handlers",
        "host",
        "limits",
        "local_activities",
        "migrating",
        "records",
        "results",
        "sending",
        "signals",
        "state",
        "update_arguments",
        "updates",
        "visibility",
    )
)
"""Modules of workflow code that hold no state of their own. Tests run them within the sandbox, workers outside it.

What does not pass is loaded again for every journey, and again for every replay: with these, that was a third of a
worker's processor time and half of its memory (`docs/benchmarks.md`). All that they import of `workflows` must be
among them, or its classes exist twice.
"""


def sandbox(*, strict: bool = True) -> SandboxedWorkflowRunner:
    """The workflow sandbox, through which only what is pure and named passes.

    Args:
        strict: Watch over all workflow code, as tests do; False lets `PROVEN` pass, as workers do.
    """
    passed = PURE if strict else (*PURE, *PROVEN)
    return SandboxedWorkflowRunner(restrictions=SandboxRestrictions.default.with_passthrough_modules(*passed))
