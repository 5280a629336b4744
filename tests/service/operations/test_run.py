"""One operation for many journeys: what it may be asked for, its rate, its counts, and what interrupts it."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import AsyncMock, Mock

import pytest
from temporalio.client import WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.service import RPCError, RPCStatusCode

from runtime.store import Store, StoredOperation
from scenario.entry.values import PlatformDates
from scenario.words import Operation
from service.client import ScenarioClient
from service.errors import BadOperation, NotAccepted, NotAnswered, NotFound
from service.index import JourneyFilter
from service.operations.journey_operations import JourneyOperations, targets
from service.operations.request import (
    AT_ONCE,
    JourneyTarget,
    OperationRun,
    RefusalView,
    RequestedOperation,
    Tally,
    request_of,
)
from service.operations.uncertain import UncertainView
from tests.factories import admission_request, attempt, stored_operation
from tests.search import NOW, Search


def some(count: int) -> list[JourneyTarget]:
    return [JourneyTarget(f"a/{number}") for number in range(count)]


async def test_every_journey_gets_the_operation_and_each_answer_is_counted():
    answers = [None, NotAccepted("a/1", "it is not held"), None, NotFound("there is no journey 'a/3'"), None]
    done: list[JourneyTarget] = []
    tally = await OperationRun(AsyncMock(side_effect=answers), rate=1000, done=done.append).run(some(5))
    assert sorted(tally.accepted) == ["a/0", "a/2", "a/4"]
    assert tally.refused[0] == RefusalView(id="a/1", why="it is not held")
    assert (len(tally.refused), tally.left, tally.complete) == (2, 0, False)
    assert sorted(target.id for target in done) == [target.id for target in some(5)]


async def test_operations_keep_to_the_rate_and_make_up_for_a_slow_answer_by_no_burst():
    times: list[float] = []

    async def send(target: JourneyTarget) -> None:
        times.append(asyncio.get_running_loop().time())
        if int(target.id[2:]) < AT_ONCE:
            await asyncio.sleep(0.5)

    await OperationRun(send, rate=100).run(some(AT_ONCE + 10))
    for first, last in ((0, AT_ONCE - 1), (AT_ONCE, AT_ONCE + 9)):
        assert times[last] - times[first] >= (last - first) / 100 / 2  # half of it: the first may be noted late


async def test_only_so_many_are_on_their_way_at_once():
    busy = [0, 0]
    full = asyncio.Event()

    async def send(_: JourneyTarget) -> None:
        busy[0] += 1
        busy[1] = max(busy)
        if busy[0] == AT_ONCE:
            full.set()
        await full.wait()
        await asyncio.sleep(0.01)  # one more would come now
        busy[0] -= 1

    async with asyncio.timeout(60):
        await OperationRun(send, rate=100_000).run(some(3 * AT_ONCE))
    assert busy == [0, AT_ONCE]


async def test_it_is_given_up_where_no_worker_answers_and_one_answer_now_and_then_is_enough():
    async def send(target: JourneyTarget) -> None:
        if (number := int(target.id[2:])) % AT_ONCE or number >= 5 * AT_ONCE:
            raise NotAnswered(target.id, "no worker answered")

    tally = await OperationRun(send, rate=100_000).run(some(1000))
    assert (tally.unanswered, len(tally.accepted)) == (True, 5)
    assert 5 * AT_ONCE < len(tally.refused) + len(tally.accepted) <= 7 * AT_ONCE
    assert len(tally.refused) + len(tally.accepted) + tally.left == 1000


@pytest.mark.parametrize("cancelled", [False, True])
async def test_an_interrupted_round_tells_how_far_it_came(cancelled: bool):
    """Whether the server goes away, or the person has had enough."""
    reached = asyncio.Event()

    async def send(target: JourneyTarget) -> None:
        if target.id == "a/7":
            reached.set()
            await asyncio.sleep(60 if cancelled else 0)
            raise ConnectionError

    batch = OperationRun(send, rate=1000)
    running = asyncio.create_task(batch.run(some(100)))
    await reached.wait()
    if cancelled:
        running.cancel()
    with pytest.raises(asyncio.CancelledError if cancelled else ConnectionError):
        await running
    assert batch.tally.accepted[:7] == [f"a/{number}" for number in range(7)]
    assert len(batch.tally.accepted) + batch.tally.left == 100


def test_a_tally_says_it_in_one_line():
    assert (Tally().complete, str(Tally())) == (False, "accepted 0")
    assert str(Tally(["a", "b"], [RefusalView(id="c", why="it is over")])) == "accepted 2, refused 1 (it is over)"
    refused = [RefusalView(id=name, why=why) for name, why in zip("abc", "xyy", strict=True)]
    assert str(Tally([], refused, left=4)) == "accepted 0, refused 3 (2 × y; 1 × x), not asked 4"


async def silent(*_: Any, **__: Any) -> None:
    """Does not answer, as the SDK shows it: what is cancelled becomes an error of its own."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError as error:
        raise WorkflowUpdateRPCTimeoutOrCancelledError from error


async def test_an_operation_that_is_interrupted_was_not_refused():
    asked = AsyncMock(side_effect=silent)
    batch = leave(of(asked))
    running = asyncio.create_task(batch.run(some(1)))
    while not asked.await_count:
        await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (batch.tally.accepted, batch.tally.refused, batch.tally.left) == ([], [], 1)


UNPERFORMED = "Unable to perform workflow execution update due to Workflow Task in failed state."
UNANSWERED: list[tuple[Any, str]] = [
    (
        silent,
        "pending: no worker answered within 0.01 s. Check that one is running: it may carry out the operation later",
    ),
    (
        AsyncMock(side_effect=RPCError(UNPERFORMED, RPCStatusCode.FAILED_PRECONDITION, b"")),
        "it cannot answer, because its workflow tasks fail: the workers' log has the reason",
    ),
]


@pytest.mark.parametrize(("execute_update", "why"), UNANSWERED, ids=["nobody answers in time", "its tasks fail"])
async def test_a_journey_that_cannot_answer_says_why(monkeypatch: pytest.MonkeyPatch, execute_update: Any, why: str):
    monkeypatch.setattr("service.operations.journey_operations.ANSWER", 0.01)
    tally = await leave(of(execute_update)).run(some(1))
    assert [item.why for item in tally.refused] == [why]


async def test_what_cannot_be_the_id_of_a_journey_is_nobodys():
    with pytest.raises(NotFound, match=r"^there is no journey of this id: list the journeys to find its id$"):
        await of(None).send("", Operation.LEAVE, operator="ann", reason="x")


def of(execute_update: Any) -> JourneyOperations:
    """A client that knows but one journey, which answers so."""
    temporal = Mock(get_workflow_handle=Mock(return_value=SimpleNamespace(execute_update=execute_update)))
    return JourneyOperations(temporal, cast("Store", None))


def leave(operations: JourneyOperations) -> OperationRun:
    return operations.batch(Operation.LEAVE, operator="ann", reason="x")


@pytest.fixture
async def found(store: Store) -> ScenarioClient:
    """A client of two journeys: one is held, and the other waits."""
    for number in "12":
        await store.admit(admission_request(number, "a", now=NOW))
    reason = {"reason": "wax answered 422", "at": NOW.isoformat()}
    held = {"state": "held", "at": "hook", "waiting": {"for": "an operator", "step": "hook", **reason}}
    waiting = {"state": "waiting", "at": "mail", "waiting": {"for": "time"}}
    temporal = Search(answers={"a/1": held, "a/2": waiting})
    temporal.put("a/1", noted=reason)
    temporal.put("a/2", "waiting")
    return ScenarioClient(temporal.client, store, PlatformDates("Europe/Paris"))


async def test_each_operation_has_journeys_for_which_it_makes_sense(found: ScenarioClient):
    """Programs may pass the operation's word itself, which type checkers cannot prevent."""
    held = await found.select(Operation.RETRY, JourneyFilter(since=NOW))
    assert targets(held) == [JourneyTarget("a/1", "hook")]
    leaving = await found.select(Operation.LEAVE, JourneyFilter(scenario="a"), everybody=True)
    for both in (leaving, await found.select(Operation.PAUSE, JourneyFilter())):
        assert {item.id for item in both} == {"a/1", "a/2"}
    word: Any = "resume"
    assert await found.select(word, JourneyFilter()) == []
    word, which = "retry_step", JourneyFilter(scenario="a")
    record: dict[str, Any] = {"operator": "ann", "reason": "it is back"}
    for use in (found.select(word, which), found.operate(word, which, **record), found.send("a/1", word, **record)):
        with pytest.raises(BadOperation, match="there is no operation 'retry_step'"):
            await use


@pytest.fixture
async def uncertain(store: Store) -> ScenarioClient:
    """A client of a journey that is held for another cause, and of eight that may have been delivered.

    Each has its outcomes of the step's attempts in the log.
    """
    temporal = Search()
    logged = {
        "a/0": ("failed",),
        "a/1": ("retry", "delivered", "unknown"),
        "a/2": ("unknown", "retry"),
        "a/3": ("unknown", "failed"),
        "a/4": ("retry", "unknown"),
        "a/5": (),
    }
    for name, outcomes in logged.items():
        temporal.put(name, noted={"at": NOW.isoformat()})
        await store.record(
            [
                attempt(f"msg_{name}", attempt=number, workflow_id=name, outcome=outcome, started_at=at)
                for number, outcome in enumerate(outcomes, 1)
                for at in (NOW + timedelta(minutes=number),)
            ]
        )
    # In the round of a repeat before this one, its message was delivered.
    temporal.put("a/6")
    await store.record(
        [
            attempt("msg_before", workflow_id="a/6", started_at=NOW),
            attempt("msg_a/6", workflow_id="a/6", outcome="unknown", started_at=NOW + timedelta(days=1)),
        ]
    )
    # The worker was lost after an attempt that failed, and during one after it.
    for name, lost in {"a/7": 1, "a/8": 2}.items():
        temporal.put(name)
        failed = attempt(f"msg_{name}", workflow_id=name, outcome="retry", started_at=NOW)
        await store.record([failed, replace(failed, attempt=lost + 1, outcome="unknown", error="worker_lost")])
    for number in range(1, 9):
        temporal.database.execute("UPDATE journeys SET HeldReason = 'unknown' WHERE WorkflowId = ?", (f"a/{number}",))
    return ScenarioClient(temporal.client, store)


async def test_a_retry_of_many_leaves_out_what_may_have_been_delivered(uncertain: ScenarioClient):
    async def selected(operation: Operation, **more: Any) -> set[str]:
        which = JourneyFilter(scenario="a", reason=more.pop("reason", None))
        return {item.id for item in await uncertain.select(operation, which, **more)}

    every = {f"a/{number}" for number in range(9)}
    assert await selected(Operation.RETRY) == {"a/0"}
    assert await selected(Operation.RETRY, limit=1) == {"a/0"}, "others come before it"
    assert await selected(Operation.RETRY, reason="unknown") == set()
    assert await selected(Operation.RETRY, unknown=True) == every
    assert await selected(Operation.RETRY, unknown=True, reason="unknown") == every - {"a/0"}
    assert await selected(Operation.SKIP) == every


async def test_what_may_have_been_delivered_is_counted_by_the_last_word_of_the_log(uncertain: ScenarioClient):
    counted = UncertainView(delivered=1, failed=3, nothing=4)
    for which in (JourneyFilter(), JourneyFilter(scenario="a", reason="unknown")):
        assert await uncertain.uncertain(which) == counted
    assert (await uncertain.uncertain(JourneyFilter(reason="permanent"))).total == 0
    assert (await uncertain.uncertain(JourneyFilter(scenario="b"))).total == 0


WAX = {"destination": "wax"}
EXHAUSTED = JourneyFilter(scenario="a", version=3, step="hook", reason="exhausted", since=NOW)
RETRY = RequestedOperation(
    operation=Operation.RETRY, which=JourneyFilter.model_validate(WAX), operator="ann", reason="it is back"
)
MIGRATE = replace(RETRY, operation=Operation.MIGRATE)


def stored(request: RequestedOperation, **more: Any) -> StoredOperation:
    return stored_operation(
        verb=request.operation, request={**request.as_json(), **more}, reason=request.reason, operator=request.operator
    )


@pytest.mark.parametrize(
    "request_",
    [
        RETRY,
        replace(RETRY, which=EXHAUSTED, limit=3),
        replace(RETRY, more={"version": "newest", "now": True}, dry_run=True, rate=0.5),
        replace(RETRY, unknown=True, uncertain={"delivered": 1, "failed": 0, "nothing": 2}),
        replace(RETRY, operation=Operation.LEAVE, which=JourneyFilter(scenario="a", since=NOW), everybody=True),
        replace(RETRY, operation=Operation.RESUME, which=JourneyFilter(scenario="a", operation="op0")),
        replace(RETRY, operation=Operation.RETUNE, more={"retry": {"deadline": "3d", "maximum_attempts": 0}}),
        replace(MIGRATE, which=JourneyFilter(scenario="a", step="x"), more={"map": {"x": "y"}, "waits": "restart"}),
    ],
)
def test_what_makes_sense_is_kept_as_it_was_asked_for(request_: RequestedOperation):
    request_.check()
    assert request_of(stored(request_)) == request_


@pytest.mark.parametrize(
    ("operation", "which", "changes", "at", "sentence"),
    [
        ("retry", {}, {"operator": ""}, "operator", "the operator must have 1 to 500 characters"),
        ("retry", {}, {"reason": "x" * 501}, "reason", "the reason must have 1 to 500 characters"),
        ("retry", {}, {"rate": 0.001}, "rate", "the rate must be from 0.01 to 10000 journeys a second"),
        ("retry", {}, {"rate": float("nan")}, "rate", "the rate must be"),
        ("retry", {}, {"limit": 0}, "limit", "the limit must be at least 1"),
        ("retry", {}, {}, "which", "select journeys: by scenario, destination or since"),
        ("retry", {"contact": "\0"}, {}, "which", "'contact' contains the character U+0000"),
        ("retry", {"since": datetime(2026, 1, 1)}, {}, "which", "'since' needs a time zone"),  # noqa: DTZ001
        ("retry", {"version": 1}, {}, "which", "a version needs a scenario: name it"),
        ("retry", {"operation": "op0"}, {}, "which", "'operation' is for resume"),
        ("retry", {"state": "retrying"}, {}, "which", "'state' is for skip and leave"),
        ("retry", WAX, {"everybody": True}, "everybody", "'everybody' is for leave: leave it out"),
        ("skip", WAX, {"unknown": True}, "unknown", "'unknown' is for retry: leave it out"),
        ("retry", WAX, {"more": {"waits": "keep"}}, "waits", "retry has no argument 'waits': it takes version, now"),
        ("retry", WAX, {"more": {"version": 0}}, "version", "'version' must be the number of a version"),
        ("retry", WAX, {"more": {"now": "yes"}}, "now", "'now' must be true or false"),
        ("leave", {"scenario": "a", "step": "b"}, {"everybody": True}, "which", "'step' is for held"),
        ("skip", {"state": "retrying", "reason": "exhausted"}, {}, "which", "'reason' is for held journeys"),
        ("pause", WAX, {"more": {"now": True}}, "now", "pause has no argument 'now': it takes no arguments"),
        ("pause", {"step": "a"}, {}, "which", "'step' is for held journeys: leave it out"),
        ("resume", {"operation": "op0", "since": NOW}, {}, "which", "'operation' selects the journeys already: leave"),
        ("retune", {"scenario": "a"}, {}, "which", "retune cannot select journeys by 'scenario': it takes dest"),
        ("retune", WAX, {}, "retry", "retune needs 'retry'"),
        ("retune", WAX, {"more": {"retry": {"deadline": "soon"}}}, "retry", "'deadline' must be a duration, such as"),
        ("migrate", {"scenario": "a", "contact": "7"}, {}, "which", "migrate cannot select journeys by 'contact'"),
        ("migrate", {"step": "a"}, {}, "which", "migrate needs a scenario"),
        ("migrate", {"scenario": "a"}, {"more": {"map": {"a": 1}}}, "map", "'map' must be an"),
    ],
)
def test_what_makes_none_is_said_in_one_sentence(
    operation: str, which: dict[str, Any], changes: dict[str, Any], at: str, sentence: str
):
    with pytest.raises(BadOperation) as caught:
        replace(RETRY, operation=Operation(operation), which=JourneyFilter(**which), **changes).check()
    assert caught.value.at is not None
    assert caught.value.at[0] == at
    assert str(caught.value).startswith(sentence)


@pytest.mark.parametrize("more", [{"fairness": 3}, {"which": {"moon": "full"}}, {"which": None}])
def test_what_another_release_has_asked_for_is_none_of_ours(more: dict[str, Any]):
    with pytest.raises(BadOperation, match="requested by a newer release: update this gateway"):
        request_of(stored(RETRY, **more))
    with pytest.raises(BadOperation, match="newer release"):
        request_of(replace(stored(RETRY), verb="explode"))
