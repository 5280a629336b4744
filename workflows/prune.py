"""Deletes from the store what is old, day by day: a Temporal Schedule that the worker keeps starts it.

Each local activity works for a moment and says where it stopped; between two of them is a timer, so that a worker that
is asked to stop leaves the rest to another. Nothing of it is needed to go on but the place: what is gone is gone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from activities.retention import PRUNE, WORKFLOW, pruning_in
from workflows.primitives import call

PAUSE: Final = timedelta(seconds=1)


@workflow.defn(name=WORKFLOW)
class Prune:
    """Has the activity of that name asked until all is done."""

    @workflow.run
    async def run(self, argument: Any = None, *_: Any) -> dict[str, Any]:
        """Prunes; gives how many rows were deleted, by what they are, and what was kept for longer, and why.

        Raises:
            ApplicationError: The argument is none of ours, or its ages are none.
        """
        asked = pruning_in(argument)
        if asked is None:
            raise ApplicationError(
                f'The argument of {WORKFLOW} must be {{"ages": "deliveries=180d,entries=2y"}}',
                type="NotAges",
                non_retryable=True,
            )
        asked = replace(asked, now=asked.now or workflow.now().isoformat())
        while True:
            some = await call(PRUNE, replace(asked, deleted={}))
            deleted = dict(Counter(asked.deleted) + Counter(some.deleted))
            workflow.set_current_details(_details(deleted, some.job))
            if not some.job:
                return {"deleted": deleted, "kept": list(some.kept)}
            asked = replace(asked, job=some.job, since=some.since, deleted=deleted)
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(asked)
            await workflow.sleep(max(PAUSE, timedelta(seconds=some.pause)), summary=f"others get on; then {some.job}")


def _details(deleted: Mapping[str, int], job: str) -> str:
    rows = "".join(f"| {what} | {n:,} |\n" for what, n in sorted(deleted.items()))
    return f"| rows deleted | |\n|---|---|\n{rows}\n{f'at {job}' if job else 'done'}"
