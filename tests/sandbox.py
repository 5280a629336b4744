"""The sandbox in which histories are replayed; workers and other tests run without one (`benchmarks/README.md`)."""

from __future__ import annotations

from typing import Final

from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

DATA: Final = ("workflows.limits", "workflows.state", "workflows.state")
"""Modules of workflow code that hold data alone: dataclasses are what takes longest to load."""
PASSED: Final = ("activities", "runtime", "scenario", *DATA)


def sandbox() -> SandboxedWorkflowRunner:
    """Return the SDK's sandbox, which loads the modules of `workflows` that have code anew for each workflow.

    What else workflow code loads passes through it. `tests/test_determinism.py` reads that, too.
    """
    passed = SandboxRestrictions.default.with_passthrough_modules(*PASSED)
    return SandboxedWorkflowRunner(restrictions=passed)
