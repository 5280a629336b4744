"""The sandbox in which tests run workflow code; workers run it without one (`docs/benchmarks.md`)."""

from __future__ import annotations

from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions


def sandbox() -> SandboxedWorkflowRunner:
    """Return the SDK's sandbox, which loads every module of `workflows` anew for each workflow.

    The other packages pass through it: `tests/test_architecture.py` reads the modules of them that workflow code loads.
    """
    passed = SandboxRestrictions.default.with_passthrough_modules("activities", "runtime", "scenario")
    return SandboxedWorkflowRunner(restrictions=passed)
