"""How an operation finds its journeys and asks them, also when it is interrupted and begins again."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import AsyncMock, Mock

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import ActivityEnvironment

from runtime.store import OperationItem, Store, StoredOperation, StoreUnavailable
from service.errors import NotAccepted, NotAnswered, NotFound
from service.index import JourneyFilter
from service.listing import JourneySummary
from service.operations import background
from service.operations.background import OperationActivities, RecordedUpdates
from service.operations.journey_operations import JourneyOperations
from service.operations.request import JourneyTarget, OperationRun
from service.operations.uncertain import UncertainView
from service.operations.views import OperationView
from tests.cli.samples import LISTED
from tests.factories import attempt, present, stored_operation
from workflows.operation import Chunk, ChunkDone, Closing

NOW = datetime(2026, 11, 27, 4, 0, tzinfo=UTC)
Page = list[str] | Exception


@dataclass
class Client:
    """Finds the journeys that a test names, and answers for them."""

    store: Store
    found: Sequence[Page] = ()
    known: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    answers: dict[str, Exception] = field(default_factory=dict[str, Exception])
    asked: list[JourneyTarget] = field(default_factory=list[JourneyTarget])
    answering: asyncio.Event = field(default_factory=asyncio.Event)
    told: list[tuple[Any, dict[str, Any]]] = field(default_factory=list[tuple[Any, dict[str, Any]]])

    async def select_by_page(self, *_: Any, **__: Any) -> AsyncIterator[list[JourneySummary]]:
        for page in self.found:
            if isinstance(page, Exception):
                raise page
            yield [LISTED.model_copy(update={"id": name, "step": "hook", **self.known.get(name, {})}) for name in page]

    async def paused_by(self, which: JourneyFilter) -> StoredOperation | None:
        return None if which.operation is None else await self.store.stored_operation(which.operation)

    async def forecast_migration(self, *_: Any, **__: Any) -> Any:
        stays = SimpleNamespace(fits=False, step="hook", becomes="which version 4 has not", ids=["a/0"])
        goes = SimpleNamespace(fits=True, step="pause", becomes="pause", ids=["a/1", "a/2"])
        return SimpleNamespace(standing=[stays, goes])

    def sender(self, verb: str, **more: Any) -> Callable[[JourneyTarget], Awaitable[None]]:
        self.told.append((verb, more))
        return self.send

    async def send(self, target: JourneyTarget) -> None:
        self.asked.append(target)
        await self.answering.wait()
        if error := self.answers.get(target.id):
            raise error


def silent(name: str) -> NotAnswered:
    return NotAnswered(name, "no worker answered")


LOST = RPCError("lost", RPCStatusCode.UNAVAILABLE, b"")


@pytest.fixture
def client(store: Store) -> Client:
    made = Client(store)
    made.answering.set()
    return made


async def begin(client: Client, verb: str = "retry", name: str = "one", **request: Any) -> OperationActivities:
    """Put an operation on record; give the activities that carry it out."""
    given = {"which": {"destination": "wax"}, "rate": 1000.0, "dry_run": False, **request}
    await client.store.add_operation(stored_operation(name, verb=verb, request=given))
    return OperationActivities(cast("JourneyOperations", client))


async def survey(activities: OperationActivities) -> None:
    await ActivityEnvironment().run(activities.survey, "one")


async def operate(activities: OperationActivities, most: int = 100, rate: float = 1000.0, **chunk: Any) -> ChunkDone:
    given = Chunk(operation="one", most=most, rate=rate, **chunk)
    return await ActivityEnvironment().run(activities.operate, given)


async def stored(client: Client) -> StoredOperation:
    return present(await client.store.stored_operation("one"))


async def surveyed(client: Client) -> tuple[bool, str | None]:
    seen = await stored(client)
    return seen.surveyed_at is not None, seen.trouble


async def journeys(client: Client) -> list[tuple[int, str]]:
    return [item.place for item in await client.store.items("one")]


async def test_why_no_journeys_are_found_is_told_until_they_are(client: Client):
    activities = await begin(client)
    for error, said in ((LOST, "Temporal's search failed (UNAVAILABLE, "), (silent("a/1"), "no worker answered (")):
        client.found = [error]
        with pytest.raises(type(error)):
            await survey(activities)
        is_surveyed, trouble = await surveyed(client)
        assert (is_surveyed, (trouble or "").startswith(said)) == (False, True)
    client.found = [[]]
    await survey(activities)
    assert await surveyed(client) == (True, None)


async def test_what_resumes_the_journeys_of_a_pause_begins_when_that_has_ended(client: Client):
    await begin(client, "pause", "first")
    activities = await begin(client, "resume", which={"operation": "first"})
    with pytest.raises(NotAnswered):
        await survey(activities)
    assert await surveyed(client) == (False, "it begins when the operation first has ended")
    await client.store.end_operation("first", "finished", NOW)
    await survey(activities)
    assert await surveyed(client) == (True, None)


async def test_a_limit_holds_over_a_survey_that_begins_again(client: Client):
    activities = await begin(client, limit=3)
    client.found = [["a/0"], ["a/1"], LOST]
    with pytest.raises(RPCError):
        await survey(activities)
    client.found = [["a/0"], ["a/1", "a/2", "a/3"], AssertionError("no more are looked for")]
    await survey(activities)
    assert await journeys(client) == [(0, "a/0"), (1, "a/1"), (2, "a/2")]


@pytest.mark.parametrize(
    ("verb", "more", "found"),
    [
        ("retry", {}, ["a/0", "a/4"]),
        ("retry", {"unknown": True}, ["a/0", "a/1", "a/2", "a/3", "a/4"]),
        ("skip", {}, ["a/0", "a/1", "a/2", "a/3", "a/4"]),
    ],
)
async def test_a_retry_leaves_out_what_may_have_been_delivered_and_counts_it(
    client: Client, verb: str, more: dict[str, Any], found: list[str]
):
    activities = await begin(client, verb, **more)
    client.known = {f"a/{number}": {"held_reason": "unknown"} for number in (1, 2, 3)}
    await client.store.record([attempt(workflow_id="a/1"), attempt("msg_2", workflow_id="a/3", outcome="failed")])
    client.found = [["a/0", "a/1", "a/2"], LOST]
    with pytest.raises(RPCError):
        await survey(activities)
    client.found = [["a/0", "a/1", "a/2"], ["a/3", "a/4"]]  # the survey begins again, and counts none twice
    await survey(activities)
    assert [name for _, name in await journeys(client)] == found
    view = OperationView.of(await stored(client), {})
    counted = UncertainView(delivered=1, failed=1, nothing=1) if verb == "retry" else None
    assert (view.uncertain, view.unknown) == (counted, bool(more))


async def test_a_journey_that_cannot_be_asked_is_refused_as_it_is_found(client: Client):
    activities = await begin(client, "migrate", which={"scenario": "a"}, more={"version": 4})
    await survey(activities)
    refused, *others = await client.store.items("one")
    assert (refused.outcome, refused.reason) == ("refused", "it is at hook, which version 4 has not")
    assert refused.answered_at is not None
    assert [(item.place, item.outcome, item.answered_at) for item in others] == [
        ((1, "a/1"), None, None),
        ((2, "a/2"), None, None),
    ]
    assert (await operate(activities)).asked == 2


async def test_journeys_are_asked_chunk_by_chunk_each_under_the_operations_own_update_id(client: Client):
    activities = await begin(client, more={"now": True})
    client.found = [["a/0", "a/1", "a/2"]]
    client.answers = {"a/1": NotAccepted("a/1", "the journey is over")}
    await survey(activities)
    client.found = [["a/3"]]  # fits later, and was not meant
    await survey(activities)
    first = await operate(activities, most=2)
    assert first == ChunkDone(asked=2, answered=2, after=(1, "a/1"), left=1)
    assert await operate(activities, most=2, after=first.after) == ChunkDone(asked=1, answered=1, after=None, left=0)
    assert await operate(activities) == ChunkDone(asked=0, answered=0, after=None, left=0)
    assert (await stored(client)).trouble is None
    assert client.asked == [JourneyTarget(f"a/{number}", "hook") for number in range(3)]
    # A gateway that begins again asks under the same id, and a journey does what it is asked once.
    more = {"operator": "ann", "reason": "x", "update_id": "operation/one", "now": True}
    assert client.told == [("retry", more)] * 3


async def test_a_chunk_that_ends_with_the_last_journey_leads_to_an_empty_one(client: Client):
    activities = await begin(client)
    client.found, client.answers = [["a/0"]], {"a/0": silent("a/0")}
    await survey(activities)
    full = await operate(activities, most=1)
    assert full == ChunkDone(asked=1, answered=0, after=(0, "a/0"), left=1)
    assert await operate(activities, most=1, after=full.after) == ChunkDone(asked=0, answered=0, after=None, left=1)


async def test_silence_ends_a_chunk_and_is_told_until_somebody_answers(client: Client):
    activities = await begin(client)
    names = [f"a/{number}" for number in range(60)]
    client.found = [names]
    client.answers = {name: NotAnswered(name, "no worker answered") for name in names}
    await survey(activities)
    silent = await operate(activities)
    # Twenty in a row end it; as many may have been asked meanwhile.
    assert 20 <= silent.asked < 40
    # It goes on behind those that were asked, though there are fewer than a chunk takes.
    assert (silent.answered, silent.after, silent.left) == (0, (silent.asked - 1, names[silent.asked - 1]), 60)
    assert re.match(r"no worker has answered since 20\d\d-", (await stored(client)).trouble or "")
    await operate(activities, silent_since="2026-11-27T04:00:00+00:00")
    assert (await stored(client)).trouble == (
        "no worker has answered since 2026-11-27T04:00:00+00:00, and 60 journeys are left: check that one is running; "
        "the operation continues until it is stopped"
    )
    client.answers.clear()
    rest = await operate(activities, after=silent.after)
    assert (rest.answered, rest.after, rest.left) == (60 - silent.asked, None, silent.asked)
    assert (await stored(client)).trouble is None


async def test_a_journey_that_was_asked_when_its_gateway_stops_may_still_answer(client: Client):
    activities, gateway = await begin(client), ActivityEnvironment()
    client.found = [["a/0"]]
    client.answering.clear()
    await survey(activities)
    working = asyncio.create_task(gateway.run(activities.operate, Chunk(operation="one", most=1, rate=1000.0)))
    while not client.asked:
        await asyncio.sleep(0.001)
    gateway.cancel()
    client.answering.set()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert [item.outcome for item in await client.store.items("one")] == ["accepted"]


async def test_the_rate_holds_between_two_chunks(client: Client):
    activities = await begin(client)
    client.found = [["a/0", "a/1"]]
    await survey(activities)
    clock = asyncio.get_running_loop()
    first = await operate(activities, most=1, rate=20)
    begun = clock.time()
    await operate(activities, most=1, rate=20, after=first.after)
    assert clock.time() - begun >= 0.05


@pytest.mark.parametrize(("looked", "last"), [(False, "stopped"), (True, "not_asked")])
async def test_what_has_not_answered_at_the_end_never_will_unless_it_was_only_looked_for(
    client: Client, looked: bool, last: str
):
    activities = await begin(client)
    client.found, client.answers = [["a/0", "a/1", "a/2"]], {"a/1": silent("a/1")}
    await survey(activities)
    await operate(activities, most=2)
    closing = Closing(operation="one", outcome="stopped", trouble="t", operator="bob", reason="wrong", looked=looked)
    await ActivityEnvironment().run(activities.close, closing)
    seen = await stored(client)
    assert (seen.outcome, seen.trouble, seen.stopped_by, seen.stop_reason) == ("stopped", "t", "bob", "wrong")
    assert await client.store.item_counts(["one"]) == {"one": {"accepted": 1, "unanswered": 1, last: 1}}


async def test_one_that_has_ended_asks_nobody_after_a_restore_of_temporal(client: Client):
    activities = await begin(client)
    client.found = [["a/0"]]
    await client.store.end_operation("one", "stopped", NOW)
    for again in (survey(activities), operate(activities)):
        with pytest.raises(ApplicationError, match=r"the operation has ended already \(stopped\)"):
            await again
    assert (client.asked, await journeys(client)) == ([], [])


async def test_what_the_store_does_not_know_and_what_is_our_fault_is_not_tried_again(client: Client):
    activities = OperationActivities(cast("JourneyOperations", client))
    for error, said, kind in (
        (None, "the store has no such operation", "BadInput"),
        (ValueError("x"), r"unexpected error \(ValueError\)", "Fault"),
    ):
        if error is not None:
            await begin(client)
            client.found = [error]
        with pytest.raises(ApplicationError, match=said) as caught:
            await survey(activities)
        assert (caught.value.type, caught.value.non_retryable) == (kind, True)
    for error in (StoreUnavailable("away"), OSError("lost")):
        client.found = [error]
        with pytest.raises(type(error)):
            await survey(activities)


async def test_a_worker_that_waits_for_a_server_that_is_away_does_not_keep_the_gateway(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    wait = asyncio.Event().wait
    worker = SimpleNamespace(task_queue="operations", is_running=True, run=wait, shutdown=wait)
    monkeypatch.setattr(background, "_SHUTDOWN", 0.01)
    monkeypatch.setattr(background, "operations_worker", Mock(return_value=worker))
    given = Mock(settle=AsyncMock(), audiences=Mock(deleting_old=nullcontext))
    async with asyncio.timeout(30), background.running_operations(given, given):
        pass
    assert caplog.messages == ["the worker of the queue 'operations' did not stop in time"]


async def prepared(store: Store, count: int) -> list[JourneyTarget]:
    await store.add_operation(stored_operation())
    await store.add_items("op1", [OperationItem(number=n, workflow_id=f"a/{n}") for n in range(count)])
    return [JourneyTarget(f"a/{n}") for n in range(count)]


async def test_each_answer_is_on_record_and_silence_is_none(store: Store, client: Client):
    busy = "Temporal did not accept the update"
    answers: tuple[tuple[Exception | None, str | None, str | None], ...] = (
        (None, "accepted", None),
        (NotAccepted("a/1", "the journey is over"), "refused", "the journey is over"),
        (NotFound("there is no journey 'a/2'"), "refused", "there is no journey 'a/2'"),
        (silent("a/3"), None, "no worker answered"),
        (RPCError("", RPCStatusCode.RESOURCE_EXHAUSTED, b""), None, f"{busy} (RESOURCE_EXHAUSTED)"),
        (RPCError("", RPCStatusCode.FAILED_PRECONDITION, b""), "refused", f"{busy} (FAILED_PRECONDITION)"),
        (RPCError("", RPCStatusCode.PERMISSION_DENIED, b""), None, f"{busy} (PERMISSION_DENIED)"),
    )
    client.answers = {f"a/{number}": error for number, (error, *_) in enumerate(answers) if error}
    updates = RecordedUpdates(store, "op1", client.send)
    journeys = await prepared(store, len(answers))
    tally = await OperationRun(updates.ask, rate=10_000).run(journeys)
    await updates.end()
    assert (updates.asked, updates.answered, tally.left) == (7, 4, 0)
    assert [(item.outcome, item.reason) for item in await store.items("op1")] == [
        (outcome, why) for _, outcome, why in answers
    ]
    assert await store.item_counts(["op1"]) == {"op1": {"accepted": 1, "refused": 3, "unanswered": 3}}


async def test_who_was_asked_when_it_was_interrupted_may_still_answer(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("service.operations.background._LATE_ANSWERS", 0.2)
    both, quick = asyncio.Event(), asyncio.Event()
    asked: list[str] = []

    async def send(target: JourneyTarget) -> None:
        asked.append(target.id)
        if len(asked) == 2:
            both.set()
        await (quick.wait() if target.id == "a/0" else asyncio.Event().wait())

    updates = RecordedUpdates(store, "op1", send)
    running = asyncio.create_task(OperationRun(updates.ask, rate=50).run(await prepared(store, 100)))
    async with asyncio.timeout(60):
        await both.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    quick.set()
    await updates.end()
    await store.end_operation("op1", "stopped", NOW)
    first, second, third = (await store.items("op1"))[:3]
    assert first.outcome == "accepted"
    assert (second.outcome, second.reason) == ("unanswered", "it had not answered when the operation was interrupted")
    assert (third.outcome, third.reason) == ("stopped", None)


async def test_a_store_that_fails_ends_the_round_and_leaves_nothing_behind(store: Store):
    targets = await prepared(store, 3)
    updates = RecordedUpdates(Mock(record_answer=AsyncMock(side_effect=ConnectionError)), "op1", AsyncMock())
    with pytest.raises(ConnectionError):
        await OperationRun(updates.ask, rate=10_000).run(targets)
    await updates.end()
