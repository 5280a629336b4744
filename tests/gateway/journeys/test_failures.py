"""What is said of a journey that has no result."""

from __future__ import annotations

import pytest
from temporalio.exceptions import ApplicationError, CancelledError, TerminatedError

from gateway.journeys.snapshot import why_failed


@pytest.mark.parametrize(
    ("cause", "said"),
    [
        (ApplicationError("the entry has no contact"), "failed: the entry has no contact"),
        (TerminatedError("zoe@example.com"), "was terminated"),
        (CancelledError("zoe@example.com"), "was cancelled"),
        (ValueError("zoe@example.com"), "failed: see it in Temporal's UI"),
        (None, "failed: see it in Temporal's UI"),
    ],
)
def test_a_journey_without_a_result_is_told_by_how_it_ended(cause: BaseException | None, said: str) -> None:
    assert why_failed(cause) == said
