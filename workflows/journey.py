"""The workflow of a journey: what Temporal starts. All that it does is in `workflows.course`.

The sandbox declares this class anew for every journey and for every replay, and the SDK then looks at each member of it
and of its bases: of a class with all that a journey does, that was an eighth of a worker's processor time
(`benchmarks/README.md`). So this one has what it must have.
"""

from __future__ import annotations

from typing import Any

from temporalio import workflow

from scenario.errors import ScenarioError
from workflows.course import Course
from workflows.handlers import Handlers


@workflow.defn(name="Journey", failure_exception_types=[ScenarioError])
class Journey(Handlers):
    """One contact through one scenario.

    The argument is an entry, in plain JSON: see the contract in `docs/integrate/journeys.md`. The result is
    ``{"outcome", "reason", "version", "steps"}``.
    """

    @workflow.init
    def __init__(self, argument: Any = None, *_: Any) -> None:
        """Takes up what the run before handed on: updates may come with the first workflow task, ahead of `run`.

        Raises:
            ScenarioError: It cannot be read.
        """
        self.course = Course(argument)

    @workflow.run
    async def run(self, argument: Any = None, *_: Any) -> dict[str, Any]:
        """Runs the journey to its end.

        Raises:
            ApplicationError: The argument is not an entry at all.
        """
        return await self.course.run(argument)
