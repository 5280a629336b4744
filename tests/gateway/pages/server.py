"""Stand-ins for Temporal's search and for journeys, for the tests of pages."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionResponse
from temporalio.client import WorkflowExecutionStatus
from temporalio.converter import DataConverter
from temporalio.service import RPCError, RPCStatusCode

from gateway.client import ScenarioClient
from gateway.errors import NotAccepted, UnknownContact, UnknownJourney
from gateway.journeys.snapshot import JourneySnapshot
from gateway.why.why import WhyView
from runtime.search_attributes import ALL

_CLAUSE = re.compile(r"(\w+) = '((?:[^'\\]|\\.)*)'")
_LISTED = re.compile(r"(\w+) IN \(('[^)]*)\)")


@dataclass
class Server:
    """A server whose search finds journeys by their attributes, or answers an error.

    `patience` is the timeout of the last list.
    """

    journeys: dict[str, Mapping[str, str]] = field(default_factory=dict[str, Mapping[str, str]])
    queries: list[str] = field(default_factory=list[str])
    error: RPCStatusCode | None = None
    patience: timedelta | None = None
    namespace: str = "shop"
    data_converter: DataConverter = DataConverter.default

    def _found(self, query: str) -> list[Any]:
        self.queries.append(query)
        if self.error is not None:
            raise RPCError("no", self.error, b"")
        wanted = {
            name: value for name, value in _CLAUSE.findall(query) if name not in ("WorkflowType", "ExecutionStatus")
        }
        any_of: dict[str, list[Any]] = {name: re.findall(r"'([^']*)'", group) for name, group in _LISTED.findall(query)}
        for name, values in any_of.items():
            if f"{name} IS NULL OR " in query:
                values.append(None)
        return [
            SimpleNamespace(
                id=name,
                run_id="r1",
                start_time=None,
                status=WorkflowExecutionStatus.RUNNING,
                typed_search_attributes={key: known.get(key.name) for key in ALL},
                memo=_nothing,
            )
            for name, known in self.journeys.items()
            if all(known.get(key) == value for key, value in wanted.items())
            and all(
                {**known, "WorkflowId": name}.get(key) in values or (key not in known and f"{key} IS NULL" in query)
                for key, values in any_of.items()
            )
        ]

    def list_workflows(self, query: str, **more: Any) -> Found:
        self.patience = more.get("rpc_timeout")
        return Found(self, query, more.get("page_size") or 1000, int(more.get("next_page_token") or b"0"))

    async def count_workflows(self, query: str, **_: Any) -> Any:
        return SimpleNamespace(count=len(self._found(query)))

    def get_workflow_handle(self, _name: str, **_: Any) -> Any:
        async def describe() -> Any:
            return SimpleNamespace(
                status=WorkflowExecutionStatus.RUNNING, raw_description=DescribeWorkflowExecutionResponse()
            )

        return SimpleNamespace(describe=describe)

    @property
    def workflow_service(self) -> Any:
        async def describe(_request: Any, **_: Any) -> Any:
            raise RPCError("not found", RPCStatusCode.NOT_FOUND, b"")

        return SimpleNamespace(describe_workflow_execution=describe)


async def _nothing() -> dict[str, Any]:
    return {}


class Found:
    """What search finds, page by page; the names are those of `temporalio`."""

    def __init__(self, server: Server, query: str, size: int, start: int) -> None:
        self._server, self._query, self._size, self._start = server, query, size, start
        self.current_page: list[Any] | None = None
        self.next_page_token: bytes | None = None

    async def fetch_next_page(self) -> None:
        found = self._server._found(self._query)  # pyright: ignore[reportPrivateUsage]
        end = self._start + self._size
        self.current_page = found[self._start : end]
        self.next_page_token = str(end).encode() if len(found) > end else None

    async def __aiter__(self) -> AsyncIterator[Any]:
        for one in self._server._found(self._query):  # pyright: ignore[reportPrivateUsage]
            yield one


class Looking(ScenarioClient):
    """A client with journeys and contacts of the test's own, which notes what operators do."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.views: dict[str, JourneySnapshot] = {}
        self.contacts: dict[str, WhyView] = {}
        self.operated: list[tuple[str, str, dict[str, Any]]] = []
        self.refusal = ""
        self.services.operations.journeys.send = self._noted
        self.services.journeys._snapshot = self._snapshot  # pyright: ignore[reportPrivateUsage]
        self.services.journeys._why = self._why  # pyright: ignore[reportPrivateUsage]

    async def _snapshot(self, journey: str, run_id: str | None = None) -> JourneySnapshot:
        del run_id
        if journey not in self.views:
            raise UnknownJourney(f"there is no journey '{journey}': list the journeys to find its id")
        return self.views[journey]

    async def _why(self, contact: str, scenario: str | None = None, *, limit: int = 20, **_: Any) -> WhyView:
        if contact not in self.contacts:
            raise UnknownContact(f"nothing is on record of a contact '{contact}': it has never asked to come in")
        known = self.contacts[contact]
        entries = [one for one in known.entries if scenario in (None, one.scenario.partition("@")[0])]
        if not entries:
            raise UnknownContact(f"contact {contact} has asked for nothing in {scenario}")
        return known.model_copy(update={"entries": entries[:limit]})

    async def _noted(self, journey: str, operation: str, update_id: str | None = None, **given: Any) -> dict[str, Any]:
        del update_id
        if self.refusal:
            raise NotAccepted(journey, self.refusal)
        self.operated.append((journey, operation, {key: value for key, value in given.items() if value is not None}))
        return {}
