"""Local activities: how often they are tried, and how."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final, TypeVar, cast

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from activities.signatures import Call

Result = TypeVar("Result")

LOCAL: Final = timedelta(seconds=10)
"""What one try of a local activity may take; it is tried until it succeeds."""
PATIENCE: Final = RetryPolicy(initial_interval=timedelta(milliseconds=500), maximum_interval=timedelta(minutes=2))
"""How often a local activity is tried, for ever. A try that waited at the server is six events of the history, which
ends at some 50,000: with two minutes between them, a store may be down for more than a week.
"""
THRESHOLD: Final = timedelta(seconds=3)
"""A longer pause between two tries is a timer at the server. While a worker itself waits, it can neither stop nor leave
the journey to another, and every few seconds of that are three events of the journey's history, which has an end."""


async def answer_to(call: Call[Any, Result], argument: Any) -> Result:
    """What a local activity answers. It is asked until it does."""
    answer = await workflow.execute_local_activity(
        call.name,
        argument,
        result_type=call.result,
        start_to_close_timeout=LOCAL,
        retry_policy=PATIENCE,
        local_retry_threshold=THRESHOLD,
    )
    return cast("Result", answer)
