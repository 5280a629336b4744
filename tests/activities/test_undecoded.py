"""Attempts whose arguments cannot be decoded: they end soon, and do not count."""

from dataclasses import replace
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput

from activities.undecoded import UncountedOutages
from runtime.encryption.converter import Undecoded
from runtime.errors import StoreUnavailable
from tests.fakes import Marks

AWAY = Undecoded(StoreUnavailable("nothing listens there"))


class _Activity(ActivityInboundInterceptor):
    def __init__(self) -> None:
        pass

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 - the name is Temporal's
        return input.args[0]


async def execute(marks: Marks, argument: Any, *details: Any, kind: str = "send_email", attempt: int = 4) -> Any:
    environment = marks.environment()
    environment.info = replace(environment.info, activity_type=kind, attempt=attempt, heartbeat_details=list(details))
    given = ExecuteActivityInput(fn=print, args=[argument], executor=None, headers={})
    return await environment.run(UncountedOutages().intercept_activity(_Activity()).execute_activity, given)


@pytest.mark.parametrize(
    ("before", "left"),
    [
        ((), ("settled", 1, 4, 1)),
        (("settled", 2, 3, 1), ("settled", 3, 4, 2)),
        (("settled", 2, 2, 1), ("settled", 3, 4, 1)),
        (("sending",), ("sending", 1, 4, 1)),  # by a worker that was lost: it may have sent the message
        (("settled", 2, 9), ("settled", 1, 4, 1)),  # an operator made Temporal count from 1 again
    ],
)
async def test_the_next_attempt_of_a_delivery_reads_that_it_does_not_count(
    before: tuple[Any, ...], left: tuple[Any, ...]
) -> None:
    marks = Marks()
    with pytest.raises(ApplicationError) as caught:
        await execute(marks, AWAY, *before)
    assert caught.value.__cause__ is AWAY.error
    assert marks == [left]


async def test_an_activity_that_keeps_its_progress_in_its_heartbeats_leaves_no_mark() -> None:
    marks = Marks()
    for argument, details in ((AWAY, ("progress",)), ("argument", (AWAY,))):
        with pytest.raises(ApplicationError):
            await execute(marks, argument, *details, kind="blast_lines")
    assert marks == []


async def test_an_activity_with_readable_arguments_runs() -> None:
    assert await execute(Marks(), "argument") == "argument"
