"""Local activities: how often they are tried, and how."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any, Final, TypeVar, cast

from temporalio import workflow
from temporalio.common import RawValue, RetryPolicy

from activities.call import ActivityType

Result = TypeVar("Result")

LOCAL: Final = timedelta(seconds=10)
"""What one try of a local activity may take; it is tried until it succeeds."""
PATIENCE: Final = RetryPolicy(initial_interval=timedelta(milliseconds=500), maximum_interval=timedelta(minutes=2))
"""How often a local activity is tried, forever. A try that waited at the server is six events of the history, which
ends at some 50,000: with two minutes between them, a store may be down for more than a week.
"""
HASTE: Final = RetryPolicy(initial_interval=timedelta(milliseconds=200))
"""The pauses where it is asked a few times only."""
THRESHOLD: Final = timedelta(seconds=3)
"""A longer pause between two tries is a timer at the server. While a worker itself waits, it can neither stop nor leave
the journey to another, and every few seconds of that are three events of the journey's history, which has an end."""


async def answer_to(
    call: ActivityType[Any, Result], argument: Any, *, about: str | None = None, tries: int | None = None
) -> Result:
    """What a local activity answers.

    Args:
        call: Which.
        argument: Its argument.
        about: What it is asked, for people who read the history. None of a contact's data.
        tries: How often it is asked, in quick succession: nobody waits for long. None: until it answers.

    Raises:
        FailureError: It was cancelled, or did not answer in so many tries.
    """
    answer = await workflow.execute_local_activity(
        call.name,
        argument,
        result_type=RawValue,
        start_to_close_timeout=LOCAL,
        retry_policy=PATIENCE if tries is None else replace(HASTE, maximum_attempts=tries),
        local_retry_threshold=THRESHOLD if tries is None else None,
        summary=about,
    )
    return answer_in(call, answer)


def answer_in(call: ActivityType[Any, Result], answer: RawValue | None) -> Result:
    """Reads an answer, which may be that of an older or a newer worker.

    Raises:
        RuntimeError: It cannot be read, and there is nothing to take in its place: the workflow task is tried again
            until a worker comes that can read it.
    """
    if call.result is type(None):
        return cast("Result", None)
    try:
        return call.read(answer)
    except ValueError:
        if call.instead is None:
            raise RuntimeError(f"What '{call.name}' answered is not for this version of the workers") from None
        return call.instead
