"""Fails workflows of an unknown type with a readable error, instead of a task that is tried forever."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError


@workflow.defn(dynamic=True)
class UnknownWorkflow:
    """Any workflow type that is not registered on the task queue."""

    @workflow.run
    async def run(self, args: Sequence[RawValue]) -> Any:
        """Fails.

        Raises:
            ApplicationError: Always.
        """
        raise ApplicationError(
            f"There is no workflow type '{workflow.info().workflow_type}' here: start 'Journey'",
            type="UnknownWorkflowType",
            non_retryable=True,
        )
