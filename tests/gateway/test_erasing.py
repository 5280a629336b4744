"""All runs of a contact's journeys are found: by the store, and by what search can be asked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import AsyncMock

import pytest
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import WorkflowExecutionStatus as Status
from temporalio.service import RPCError, RPCStatusCode

from gateway import erasing
from gateway.errors import BadInput
from runtime.encryption.keyring import Keyring
from runtime.store import Store
from runtime.store.erasure import Traces

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


@dataclass
class Server:
    """Temporal, and the store, which learns of one journey after the other."""

    firsts: list[tuple[str, ...]]
    queries: list[str] = field(default_factory=list[str])

    def get_workflow_handle(self, _name: str, *, run_id: str | None) -> Handle:
        return Handle(run_id or "r3")

    async def list_workflows(self, query: str) -> AsyncIterator[Run]:
        self.queries.append(query)
        for run in ():
            yield run

    async def journeys_of(self, contact: str) -> list[tuple[str, str]]:
        known = self.firsts.pop(0) if len(self.firsts) > 1 else self.firsts[0]
        return [(f"welcome/{contact}", first) for first in known]

    async def scenarios(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(scenario=name) for name in ("sale", "welcome")]


async def runs_of(*firsts: tuple[str, ...], contact: str = "7") -> tuple[list[str], list[str]]:
    server = Server(list(firsts))
    found = erasing._runs(cast("Any", server), cast("Any", server), contact, [])  # pyright: ignore[reportPrivateUsage]
    return [run.run_id async for run in found], server.queries


async def test_a_journeys_later_runs_are_followed_from_its_first() -> None:
    assert (await runs_of(("r1",)))[0] == ["r1", "r2", "r3"]


async def test_where_the_first_is_gone_the_newest_is_found_and_none_twice() -> None:
    assert (await runs_of(("r0",)))[0] == ["r3"]
    assert (await runs_of(("r0", "r2", "r1")))[0] == ["r2", "r3", "r1"]


async def test_a_journey_that_was_just_being_admitted_is_found_too() -> None:
    assert (await runs_of((), ("r2",), ("r2", "r1")))[0] == ["r2", "r3", "r1"]


async def test_search_is_asked_for_journeys_alone_and_for_what_it_can_find() -> None:
    (_, exact), (_, begun) = await runs_of((), contact="7"), await runs_of((), contact='7"8')
    only = "WorkflowType = 'Journey' AND "
    assert exact == [
        f"{only}(ContactId = '7')",
        f"{only}(WorkflowId IN ('sale/7', 'welcome/7') OR WorkflowId STARTS_WITH 'sale/7/'"
        " OR WorkflowId STARTS_WITH 'welcome/7/')",
    ]
    assert begun == [
        f"{only}(ContactId STARTS_WITH '7')",
        f"{only}(WorkflowId STARTS_WITH 'sale/7' OR WorkflowId STARTS_WITH 'welcome/7')",
    ]


async def test_all_have_ended_before_the_first_is_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a server with one shard had deleted 7 of 20 journeys after nine minutes, instead of all after one."""
    done: list[str] = []

    def noting(what: str) -> Callable[[object, Run], Awaitable[bool]]:
        async def note(_: object, run: Run) -> bool:
            done.append(f"{what} {run.run_id}")
            return run.run_id != "r2"  # which has just continued as another

        return note

    for what in ("terminate", "delete"):
        monkeypatch.setattr(erasing, f"_{what}", noting(what))
    store = AsyncMock(**{"running.return_value": [], "erase.return_value": Traces(1, 0, 0, 0)})
    store.journeys_of.side_effect = [[("welcome/7", "r2")], [("welcome/7", "r2"), ("sale/7", "r1")], []]
    store.scenarios.return_value = []
    keyring = AsyncMock(encrypts=False, **{"is_erased.return_value": False, "name_of.return_value": "0123"})
    server: Any = Server([])
    report = await erasing.erase(server, store, keyring, "7", operator="ann", reason="4711")
    assert done == [f"{what} {run}" for what in ("terminate", "delete") for run in ("r2", "r3", "r1")]
    assert (report.ended, report.histories) == (2, 3)
    store.erase.assert_awaited_once_with("7", "0123", [("welcome/7", "r2"), ("sale/7", "r1")])


@pytest.mark.parametrize("contact", [" ", "\udcff", "a\nb", "a%2Fb"])
async def test_what_cannot_be_an_id_is_refused_before_anything_is_done(contact: str) -> None:
    nothing: Any = None
    with pytest.raises(BadInput, match="id"):
        await erasing.erase(nothing, nothing, nothing, contact, operator="ann", reason="4711")


async def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    temporal: Any = Server([()])
    async with Store.open(f"sqlite:///{tmp_path / 'store.db'}") as store:
        keys = Keyring(store, None)
        for dry_run in (True, False, True):
            was_there = bool(await store.wrapped_keys())
            done = await erasing.erase(temporal, store, keys, "7", operator="ann", reason="she asked", dry_run=dry_run)
            assert bool(done.contact) is not dry_run
            # What contacts are known by: the program that erases makes it, and nobody who merely looks.
            assert bool(await store.wrapped_keys()) is (was_there or not dry_run)
        assert done.before
