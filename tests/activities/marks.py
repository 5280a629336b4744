"""Temporal's server as an attempt sees it: it keeps marks, at once where it is asked to, with a failure otherwise."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, cast

from temporalio.client import Client
from temporalio.testing import ActivityEnvironment

UNHURRIED: Mapping[str, Any] = {
    "start_to_close_timeout": timedelta(hours=1),
    "schedule_to_close_timeout": timedelta(days=3),
}
"""What Temporal gives an attempt, where a test is about something else: more than any step's time-out."""


class Marks(list[tuple[Any, ...]]):
    """The marks of one delivery, in the order in which they came.

    Attributes:
        noted: Those of them that were on the server before the attempt went on.
        refusal: What the server says instead of noting one.
    """

    def __init__(self) -> None:
        super().__init__()
        self.noted: list[tuple[Any, ...]] = []
        self.refusal: Exception | None = None

    def environment(self) -> ActivityEnvironment:
        """For one attempt."""
        environment = ActivityEnvironment(client=cast("Client", _Client(self)))
        environment.info = replace(environment.info, **UNHURRIED)
        environment.on_heartbeat = lambda *details: self.append(details)
        return environment


@dataclass(frozen=True)
class _Client:
    """What an attempt asks of its client, and of the handle that it gets; the names are those of `temporalio`."""

    marks: Marks

    def get_async_activity_handle(self, *, task_token: bytes) -> "_Client":
        assert task_token
        return self

    async def heartbeat(self, *details: Any, rpc_timeout: timedelta) -> None:
        assert rpc_timeout
        if self.marks.refusal is not None:
            raise self.marks.refusal
        self.marks.append(details)
        self.marks.noted.append(details)
