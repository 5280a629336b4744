"""All runs of a journey that has continued as new are found, also where search finds none of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import WorkflowExecutionStatus as Status
from temporalio.service import RPCError, RPCStatusCode

from gateway import erasing
from runtime.encryption.keyring import Keyring
from runtime.store import Store

RUNS = {"r1": "r2", "r2": "r3", "r3": ""}


@dataclass
class Run:
    run_id: str
    status: Status
    close_time: None = None


@dataclass
class Handle:
    run_id: str

    async def describe(self) -> Run:
        if self.run_id not in RUNS:
            raise RPCError("gone", RPCStatusCode.NOT_FOUND, b"")
        return Run(self.run_id, Status.CONTINUED_AS_NEW if RUNS[self.run_id] else Status.RUNNING)

    async def fetch_history_events(self, **_: Any) -> AsyncIterator[HistoryEvent]:
        event = HistoryEvent()
        event.workflow_execution_continued_as_new_event_attributes.new_execution_run_id = RUNS[self.run_id]
        yield event


class Temporal:
    def get_workflow_handle(self, _name: str, *, run_id: str | None) -> Handle:
        return Handle(run_id or "r3")

    async def list_workflows(self, _query: str) -> AsyncIterator[Run]:
        for run in ():
            yield run


async def runs_of(*firsts: str) -> list[str]:
    found = erasing._runs(cast("Any", Temporal()), 'a"b', [('welcome/a"b', first) for first in firsts])  # pyright: ignore[reportPrivateUsage]
    return [run.run_id async for run in found]


async def test_a_journeys_later_runs_are_followed_from_its_first() -> None:
    assert await runs_of("r1") == ["r1", "r2", "r3"]


async def test_where_the_first_is_gone_the_newest_is_found_and_none_twice() -> None:
    assert await runs_of("r0") == ["r3"]
    assert await runs_of("r0", "r2", "r1") == ["r2", "r3", "r1"]


async def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    temporal: Any = Temporal()
    async with Store.open(f"sqlite:///{tmp_path / 'store.db'}") as store:
        keys = Keyring(store, None)
        for dry_run in (True, False, True):
            was_there = bool(await store.wrapped_keys())
            done = await erasing.erase(temporal, store, keys, "7", operator="ann", reason="she asked", dry_run=dry_run)
            assert bool(done.contact) is not dry_run
            # What contacts are known by: the program that erases makes it, and nobody who merely looks.
            assert bool(await store.wrapped_keys()) is (was_there or not dry_run)
        assert done.before
