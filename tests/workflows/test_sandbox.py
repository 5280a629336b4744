"""What passes through the sandbox of workers."""

from __future__ import annotations

from pathlib import Path

import workflows
from workflows.sandbox import PROVEN

APART = {"operation", "platform", "prune", "__init__", "journey", "enter", "unknown_workflow", "sandbox"}


def test_all_workflow_code_but_the_workflows_themselves_passes_so_that_no_class_exists_twice() -> None:
    assert workflows.__file__ is not None
    modules = {path.stem for path in Path(workflows.__file__).parent.glob("*.py")} - APART
    assert set(PROVEN) == {f"workflows.{name}" for name in modules}
