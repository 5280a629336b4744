"""Tells the platform that an address is suppressed, for as long as that takes: one workflow each."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError

from activities.platform import TELL, WORKFLOW, Answered, news_in
from activities.priority import priority_of
from scenario.policies.purpose import TRANSACTIONAL

ATTEMPT: Final = timedelta(seconds=30)
DEADLINE: Final = timedelta(days=7)
"""After it the workflow fails, for operators to find."""
RETRY: Final = RetryPolicy(
    initial_interval=timedelta(seconds=5), backoff_coefficient=2.0, maximum_interval=timedelta(hours=1)
)


@workflow.defn(name=WORKFLOW)
class TellPlatform:
    """Has the activity of that name tried until the platform has heard."""

    @workflow.run
    async def run(self, argument: Any = None, *_: Any) -> Answered:
        """Tells.

        Raises:
            ApplicationError: The argument is none of ours.
            ActivityError: The platform does not take it, or could not be told in time.
        """
        news = news_in(argument)
        if news is None:
            raise ApplicationError(
                f"The argument of {WORKFLOW} must be what workers give it", type="NotNews", non_retryable=True
            )
        return await workflow.execute_activity(
            TELL.name,
            news,
            result_type=Answered,
            task_queue=TELL.queue,
            start_to_close_timeout=ATTEMPT,
            schedule_to_close_timeout=DEADLINE,
            retry_policy=RETRY,
            summary=f"tell {news.destination}: {news.channel} {news.source}",
            priority=priority_of(TRANSACTIONAL, news.destination),
        )
