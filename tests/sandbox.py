"""Temporal's sandbox, in which tests run workflow code: what is not deterministic fails there.

Workers run without it. What passes through it is not watched (`tests/test_architecture.py` reads that), and what does
not is loaded again for every journey: with all workflow code passing it took a fifth of a worker's time, and told of
little but `open` (`docs/benchmarks.md`).
"""

from __future__ import annotations

from typing import Final

from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

_PURE: Final = (
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
"""Modules that pass through: pure, and named one by one."""


def sandbox() -> SandboxedWorkflowRunner:
    """The sandbox, through which only what is pure and named passes."""
    return SandboxedWorkflowRunner(restrictions=SandboxRestrictions.default.with_passthrough_modules(*_PURE))
