"""The workflow `Journey`, as Temporal starts it. `workflows.runner` implements it.

The sandbox declares this class again for every journey and every replay, and the SDK then inspects each member of the
class and its bases. A class with all of a journey's methods took an eighth of a worker's CPU time. This class therefore
has only the members that it must have.
"""

from __future__ import annotations

from typing import Any

from temporalio import workflow

from scenario.errors import ScenarioError
from workflows.handlers import Handlers
from workflows.runner import JourneyRunner


@workflow.defn(name="Journey", failure_exception_types=[ScenarioError])
class Journey(Handlers):
    """A run of one contact through one scenario.

    The argument is an entry, in plain JSON: see the contract in `docs/integrate/journeys.md`. The result is
    ``{"outcome", "reason", "version", "steps"}``.
    """

    @workflow.init
    def __init__(self, argument: Any = None, *_: Any) -> None:
        """Take up the state of the previous run: updates may arrive with the first workflow task, before `run`.

        Raises:
            ScenarioError: The state cannot be read.
        """
        self.runner = JourneyRunner(argument)

    @workflow.run
    async def run(self, argument: Any = None, *_: Any) -> dict[str, Any]:
        """Run the journey to its end.

        Raises:
            ApplicationError: The argument is not an entry.
        """
        return await self.runner.run(argument)
