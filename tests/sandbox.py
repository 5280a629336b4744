"""Temporal's sandbox, in which tests run workflow code: what is not deterministic fails there. Workers run without."""

from __future__ import annotations

from typing import Final

from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

_PURE: Final = (
    "scenario",
    "activities.call",
    "activities.failures",
    "activities.caller",
    "activities.interface",
    "runtime.search_attributes",
)
"""Modules that pass through: pure, and named one by one. They are loaded once instead of for every journey."""


def sandbox() -> SandboxedWorkflowRunner:
    """The sandbox, through which only what is pure and named passes."""
    return SandboxedWorkflowRunner(restrictions=SandboxRestrictions.default.with_passthrough_modules(*_PURE))
