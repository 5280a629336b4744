"""What counts as an event that an outsider tells, and whom it reaches."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest
from temporalio.api.enums.v1 import WorkflowExecutionStatus
from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionResponse
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from gateway.callbacks.app import MOST_BYTES, MOST_EVENTS, CallbackEvent, Overfull, Unsettled, tell
from gateway.errors import BadInput
from runtime.public_links import CallbackClaim

SECRET = "zoe.obrien@example.com"


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


def test_an_event_is_read():
    properties = {"text": "é\u2028", "n": [1, None]}
    contents: list[dict[str, Any]] = [
        {"name": "a:b-c_d", "properties": properties, "id": "e1"},
        {"name": "x", "id": None},
    ]
    for content in contents:
        for ascii_only in (True, False):
            read = CallbackEvent.parse(json.dumps(content, ensure_ascii=ascii_only).encode())
            assert read == CallbackEvent(**content)


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (b"\xff\xfe", "the body is not UTF-8"),
        (b"name=x", "the body is not JSON"),
        (b'{"name": "x", "properties": {"a": "\\ud800"}}', "a text of the body holds half a character"),
        (
            b'{"name": "x", "properties": {"a": 1e999}}',
            "the event holds something that JSON does not have, such as NaN",
        ),
        (
            b'{"name": "x", "properties": {"a": ' + b"9" * 5000 + b"}}",
            "the body holds a number of more than 4,300 digits",
        ),
        (b"[]", "the body must be an object"),
        ({"name": 1}, "'name' must be an event's name"),
        ({"name": SECRET}, "'name' must be an event's name"),
        ({"name": "x" * 201}, "'name' must be an event's name"),
        ({"name": "x", "properties": [SECRET]}, "'properties' must be an object"),
        ({"name": "x", "properties": None}, "'properties' must be an object"),
        ({"name": "x", "id": 1}, "'id' must be 1 to 128"),
        ({"name": "x", "id": "a b"}, "'id' must be 1 to 128"),
        ({"name": "x", "id": "a" * 129}, "'id' must be 1 to 128"),
        ({"name": "x", "more": SECRET}, "and nothing else"),
        ({"name": "x", "properties": nested(150)}, "nested too deeply"),
        (b'{"name": "x", "properties": ' + b'{"a":' * 5000, "the body is nested more than 100 levels deep"),
    ],
)
def test_what_is_no_event_is_told_why_and_not_quoted(content: Any, wanted: str):
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    with pytest.raises(BadInput) as caught:
        CallbackEvent.parse(raw)
    assert wanted in str(caught.value)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


CLAIM = CallbackClaim("a/7", "root", "msg_1", datetime(2027, 1, 1, tzinfo=UTC))
RUNNING = WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_RUNNING
Signal = tuple[str | None, dict[str, Any]]


@dataclass
class Runs:
    """Stands in for Temporal's client: a journey that is in one run after the other, each time that one looks."""

    runs: list[WorkflowExecutionInfo]
    gone: frozenset[str] = frozenset()
    signals: list[Signal] = field(default_factory=list[Signal])

    namespace = "default"

    @property
    def workflow_service(self) -> Any:
        return SimpleNamespace(describe_workflow_execution=self._describe)

    async def _describe(self, _: Any, **__: Any) -> DescribeWorkflowExecutionResponse:
        if not self.runs:
            raise RPCError("not found", RPCStatusCode.NOT_FOUND, b"")
        return DescribeWorkflowExecutionResponse(workflow_execution_info=self.runs.pop(0))

    def get_workflow_handle(self, _: str, *, run_id: str) -> Any:
        async def signal(name: str, message: dict[str, Any], **_: Any) -> None:
            if run_id in self.gone:
                raise RPCError("not found", RPCStatusCode.NOT_FOUND, b"")
            self.signals.append((run_id, {"signal": name, **message}))

        return SimpleNamespace(signal=signal)


def run(
    name: str, *, first: str = "root", status: Any = RUNNING, length: int = 10, size: int = 1_000
) -> WorkflowExecutionInfo:
    info = WorkflowExecutionInfo(first_run_id=first, status=status, history_length=length, history_size_bytes=size)
    info.execution.run_id = name
    return info


async def told(runs: Runs) -> bool:
    return await tell(cast("Client", runs), CLAIM, CallbackEvent(name="x", properties={"a": 1}), "e1")


async def test_the_run_in_which_the_journey_is_now_is_told():
    runs = Runs([run("r3")])
    assert await told(runs)
    event = {"signal": "event", "name": "x", "properties": {"a": 1}, "id": "msg_1/e1"}
    assert runs.signals == [("r3", event)]


@pytest.mark.parametrize(
    "runs",
    [[], [run("r3", first="another")], [run("r3", status=WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_COMPLETED)]],
    ids=["forgotten", "another's", "over"],
)
async def test_a_journey_that_is_over_is_not_told(runs: list[WorkflowExecutionInfo]):
    stand_in = Runs(list(runs))
    assert not await told(stand_in)
    assert stand_in.signals == []


async def test_a_journey_that_goes_on_in_another_run_is_told_there():
    runs = Runs([run("r1"), run("r2")], gone=frozenset({"r1"}))
    assert await told(runs)
    assert [where for where, _ in runs.signals] == ["r2"]


async def test_a_journey_that_does_not_stand_still_is_given_up():
    names = ("r1", "r2", "r3", "r4")
    with pytest.raises(Unsettled, match="does not stand still"):
        await told(Runs([run(name) for name in names], gone=frozenset(names)))


@pytest.mark.parametrize("full", [run("r1", length=MOST_EVENTS + 1), run("r1", size=MOST_BYTES + 1)])
async def test_a_history_that_is_nearly_full_takes_no_more_of_outsiders(full: WorkflowExecutionInfo):
    with pytest.raises(Overfull):
        await told(Runs([full]))
