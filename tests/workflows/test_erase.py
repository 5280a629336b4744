"""The workflow that erases a contact: pass after pass until one finds nothing, whatever fails meanwhile."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from temporalio import activity
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ActivityError, ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activities.background import (
    CLEAR_ROWS,
    DELETE_HISTORIES,
    END_JOURNEYS,
    ERASE_WORKFLOW,
    ErasurePass,
    JourneysEnded,
    RowsCleared,
)
from activities.interface import JOURNEYS
from tests.workflows.conftest import failure_of
from workflows.background import Erase


@dataclass
class Script:
    """Activities that do what the test says.

    Attributes:
        remaining: How many runs Temporal still has at the beginning of each pass.
        failures: What an activity raises before it answers, by its name.
        done: What was asked, with the pass and how many runs remained.
    """

    remaining: list[int]
    failures: dict[str, list[Exception]] = field(default_factory=dict[str, list[Exception]])
    done: list[tuple[str, int, int]] = field(default_factory=list[tuple[str, int, int]])

    def _do(self, name: str, asked: ErasurePass) -> None:
        assert asked.erasure == "e1"
        self.done.append((name, asked.passes, asked.remaining))
        if failures := self.failures.get(name):
            raise failures.pop(0)

    @activity.defn(name=END_JOURNEYS.name)
    async def end_journeys(self, asked: ErasurePass) -> JourneysEnded:
        self._do("end", asked)
        return JourneysEnded(remaining=self.remaining[asked.passes])

    @activity.defn(name=DELETE_HISTORIES.name)
    async def delete_histories(self, asked: ErasurePass) -> None:
        self._do("delete", asked)

    @activity.defn(name=CLEAR_ROWS.name)
    async def clear_rows(self, asked: ErasurePass) -> RowsCleared:
        self._do("clear", asked)
        is_last = asked.passes == len(self.remaining) - 1
        return RowsCleared(finished=True) if is_last else RowsCleared(pause=65 + asked.passes)


@pytest.fixture
def script() -> Script:
    return Script([2, 1, 0])


@pytest.fixture
async def client(environment: WorkflowEnvironment, script: Script) -> AsyncIterator[Client]:
    async with Worker(
        environment.client,
        task_queue=JOURNEYS,
        workflows=[Erase],
        activities=[script.end_journeys, script.delete_histories, script.clear_rows],
        workflow_runner=UnsandboxedWorkflowRunner(),
    ):
        yield environment.client


async def begin(client: Client, argument: Any) -> WorkflowHandle[Any, int]:
    return await client.start_workflow(ERASE_WORKFLOW, argument, id="erasure-e1", task_queue=JOURNEYS, result_type=int)


PASSES = [
    *(("end", 0, 0), ("delete", 0, 2), ("clear", 0, 2)),
    *(("end", 1, 2), ("delete", 1, 1), ("clear", 1, 1)),
    *(("end", 2, 1), ("clear", 2, 0)),
]


async def test_it_passes_until_nothing_is_found_with_pauses_between(client: Client, script: Script) -> None:
    handle = await begin(client, {"erasure": "e1"})
    assert await handle.result() == 3
    assert script.done == PASSES
    events = (await handle.fetch_history()).events
    timers = [one.timer_started_event_attributes for one in events if one.HasField("timer_started_event_attributes")]
    assert [timer.start_to_fire_timeout.seconds for timer in timers] == [65, 66]


async def test_whatever_fails_is_retried(client: Client, script: Script) -> None:
    script.failures = {
        "end": [ApplicationError("Temporal cannot be reached", type="Trouble"), OSError("the store is away")],
        "delete": [OSError("the store is away")],
        "clear": [OSError("the store is away")],
    }
    await (await begin(client, ErasurePass(erasure="e1"))).result()
    first = [*[PASSES[0]] * 3, *[PASSES[1]] * 2, *[PASSES[2]] * 2]
    assert script.done == [*first, *PASSES[3:]]


@pytest.mark.usefixtures("_always_suggested")
async def test_a_long_one_continues_as_new(client: Client, script: Script) -> None:
    handle = await begin(client, ErasurePass(erasure="e1"))
    assert await handle.result() == 3
    assert script.done == PASSES
    assert (await client.get_workflow_handle(handle.id).describe()).run_id != handle.first_execution_run_id


async def test_an_argument_that_is_none_fails_at_once(client: Client) -> None:
    arguments: list[Any] = [None, "e1", [1], {}, {"erasure": 1}, {"erasure": "e1", "passes": "x"}]
    for argument in arguments:
        kind, _ = await failure_of((await begin(client, argument)).result())
        assert (argument, kind) == (argument, "NotAnErasure")


async def test_one_that_the_store_does_not_have_fails(client: Client, script: Script) -> None:
    script.failures["end"] = [ApplicationError("the store has no such erasure", non_retryable=True)]
    with pytest.raises(WorkflowFailureError) as caught:
        await (await begin(client, ErasurePass(erasure="e1"))).result()
    assert isinstance(caught.value.cause, ActivityError)
