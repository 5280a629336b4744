"""The sandbox that workflow code runs in."""

from __future__ import annotations

from typing import Final

from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

PURE: Final = ("scenario", "activities.failures", "activities.signatures", "runtime.attributes")
"""Modules that pass through: pure, and named one by one. They are loaded once instead of for every journey."""


def sandbox() -> SandboxedWorkflowRunner:
    """The workflow sandbox, through which only what is pure and named passes."""
    return SandboxedWorkflowRunner(restrictions=SandboxRestrictions.default.with_passthrough_modules(*PURE))
