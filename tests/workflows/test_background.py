"""Workflows on the store and for the platform: what they do, and that they go on whatever fails meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio import activity
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ActivityError, ApplicationError
from temporalio.testing import WorkflowEnvironment

from activities.background import (
    CLEAR_ROWS,
    DELETE_HISTORIES,
    END_JOURNEYS,
    ERASE_WORKFLOW,
    PRUNE,
    PRUNE_WORKFLOW,
    TELL,
    TELL_WORKFLOW,
    ErasurePass,
    JourneysEnded,
    PlatformReply,
    PruneRequest,
    PruneResult,
    RowsCleared,
    SuppressionNotice,
)
from activities.channel_registry import WEBHOOK, webhook_queue
from activities.interface import JOURNEYS
from activities.retention import Prunings
from activities.suppressions import PlatformNotifier, address_seal
from activities.webhook.destinations.destinations import Destination, Destinations
from activities.webhook.destinations.form import SuppressionsForm
from runtime.errors import StoreFault
from runtime.store import Store
from runtime.telemetry.metrics import RETENTION_DELETED
from scenario.policies.suppression import Suppression
from tests.measured import Measured
from tests.stage import failure_of, timers, worker
from workflows.background import Erase, Prune, TellPlatform


class Pruner:
    def __init__(self) -> None:
        self.asked: list[PruneRequest] = []
        self.answers: list[PruneResult | Exception] = []

    @activity.defn(name=PRUNE.name)
    async def prune(self, asked: PruneRequest) -> PruneResult:
        self.asked.append(asked)
        answer = self.answers.pop(0) if self.answers else PruneResult()
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def pruner() -> Pruner:
    return Pruner()


@dataclass
class Eraser:
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
def eraser() -> Eraser:
    return Eraser([2, 1, 0])


SEAL = address_seal([b"k" * 32])
ADDRESS = "zoe@example.com"
BOUNCE = Suppression("email", "ab" * 32, "bounce", datetime(2026, 11, 26, tzinfo=UTC))
BOOK = Destinations(
    {
        "splio": Destination(
            "splio", "https://a.example", suppressions=SuppressionsForm(preset="splio", sources=["bounce"])
        ),
        "wax": Destination("wax", "https://b.example"),
    }
)


@dataclass
class Platform:
    """Takes no news at first."""

    deaf: int = 0
    heard: list[tuple[str, SuppressionNotice]] = field(default_factory=list[tuple[str, SuppressionNotice]])
    some: asyncio.Event = field(default_factory=asyncio.Event)

    @activity.defn(name=TELL.name)
    async def tell(self, news: SuppressionNotice) -> PlatformReply:
        if self.deaf:
            self.deaf -= 1
            raise ApplicationError("splio answered 503")
        self.heard.append((activity.info().workflow_id or "", news))
        self.some.set()
        return PlatformReply(outcome="told", status=200)


@pytest.fixture
def platform() -> Platform:
    return Platform()


@pytest.fixture
async def client(
    environment: WorkflowEnvironment, pruner: Pruner, eraser: Eraser, platform: Platform
) -> AsyncIterator[Client]:
    client, tell = environment.client, [platform.tell]
    own = [pruner.prune, eraser.end_journeys, eraser.delete_histories, eraser.clear_rows]
    async with (
        worker(client, [Prune, Erase, TellPlatform], own),
        worker(client, [], tell, task_queue=WEBHOOK.queue),
        worker(client, [], tell, task_queue=webhook_queue("splio", 2)),
    ):
        yield client


# ---- pruning


async def prune(client: Client, argument: Any) -> dict[str, Any]:
    handle = await client.start_workflow(PRUNE_WORKFLOW, argument, id="scenario-retention", task_queue=JOURNEYS)
    return await handle.result()


async def test_it_goes_on_where_it_was_until_all_is_done(client: Client, pruner: Pruner) -> None:
    at = "2026-01-01T00:00:00+00:00"
    pruner.answers = [
        PruneResult(job="deliveries", since=at, deleted={"responses": 7, "deliveries": 2}),
        OSError("the store is away"),
        PruneResult(job="entries/welcome", since=at, deleted={"deliveries": 3}),
        PruneResult(deleted={"entries": 1}, kept=("once keeps all its entries",)),
    ]
    done = await prune(client, {"ages": "deliveries=180d"})
    assert done == {"deleted": {"responses": 7, "deliveries": 5, "entries": 1}, "kept": ["once keeps all its entries"]}
    assert [(one.job, one.since) for one in pruner.asked] == [
        ("", ""),
        ("deliveries", at),
        ("deliveries", at),
        ("entries/welcome", at),
    ]
    assert len({(one.ages, one.now) for one in pruner.asked}) == 1  # what is old does not change meanwhile


async def test_others_get_on_for_as_long_as_the_activity_says(client: Client, pruner: Pruner) -> None:
    pruner.answers = [PruneResult(job="claims", pause=45), PruneResult(job="claims", pause=0.1)]
    await prune(client, {"ages": "claims=60d"})
    history = await client.get_workflow_handle("scenario-retention").fetch_history()
    seconds = [timer.start_to_fire_timeout.seconds for timer in timers(history)]
    assert seconds == [45, 1]


@pytest.mark.usefixtures("_always_suggested")
async def test_a_long_pruning_continues_as_new(client: Client, pruner: Pruner) -> None:
    times = [f"2026-01-0{n}T00:00:00+00:00" for n in range(1, 6)]
    pruner.answers = [PruneResult(job="claims", since=time, deleted={"claims": 1}) for time in times]
    done = await prune(client, PruneRequest(ages="claims=60d"))
    assert done["deleted"] == {"claims": 5}
    assert [one.since for one in pruner.asked] == ["", *times]
    newest = await client.get_workflow_handle("scenario-retention").describe()
    assert newest.raw_description.workflow_execution_info.first_run_id != newest.run_id


async def test_ages_that_are_none_are_not_tried_again(store: Store) -> None:
    with pytest.raises(ApplicationError, match="'x' is not one of deliveries") as caught:
        await Prunings(store).prune(PruneRequest(ages="x", now="2026-11-27T00:00:00+00:00"))
    assert caught.value.non_retryable


async def test_what_the_database_refuses_is_not_tried_again_this_day(store: Store, monkeypatch: pytest.MonkeyPatch):
    async def refuse(*_: Any) -> None:
        raise StoreFault("its user lacks a permission")

    monkeypatch.setattr(store, "delete_some", refuse)
    with pytest.raises(ApplicationError, match="its user lacks a permission") as caught:
        await Prunings(store).prune(PruneRequest(ages="claims=60d", now="2026-11-27T00:00:00+00:00"))
    assert caught.value.non_retryable


async def test_the_store_is_asked(store: Store) -> None:
    bounced = datetime(2026, 10, 1, tzinfo=UTC)
    await store.record_soft_bounce("email", ["a hash"], "msg_1", bounced)
    asked = PruneRequest(ages="claims=60d", now=(bounced + timedelta(days=31)).isoformat())
    measured = Measured(RETENTION_DELETED)
    assert await Prunings(store).prune(asked) == PruneResult(deleted={"soft_bounces": 1})
    assert measured.of(RETENTION_DELETED) == {("soft_bounces",): (1, 1)}


# ---- erasing


async def erase(client: Client, argument: Any) -> WorkflowHandle[Any, int]:
    return await client.start_workflow(ERASE_WORKFLOW, argument, id="erasure-e1", task_queue=JOURNEYS, result_type=int)


PASSES = [
    *(("end", 0, 0), ("delete", 0, 2), ("clear", 0, 2)),
    *(("end", 1, 2), ("delete", 1, 1), ("clear", 1, 1)),
    *(("end", 2, 1), ("clear", 2, 0)),
]


async def test_it_passes_until_nothing_is_found_with_pauses_between(client: Client, eraser: Eraser) -> None:
    handle = await erase(client, {"erasure": "e1"})
    assert await handle.result() == 3
    assert eraser.done == PASSES
    seconds = [timer.start_to_fire_timeout.seconds for timer in timers(await handle.fetch_history())]
    assert seconds == [65, 66]


async def test_whatever_fails_is_retried(client: Client, eraser: Eraser) -> None:
    eraser.failures = {
        "end": [ApplicationError("Temporal cannot be reached", type="Trouble"), OSError("the store is away")],
        "delete": [OSError("the store is away")],
        "clear": [OSError("the store is away")],
    }
    await (await erase(client, ErasurePass(erasure="e1"))).result()
    first = [*[PASSES[0]] * 3, *[PASSES[1]] * 2, *[PASSES[2]] * 2]
    assert eraser.done == [*first, *PASSES[3:]]


@pytest.mark.usefixtures("_always_suggested")
async def test_a_long_erasure_continues_as_new(client: Client, eraser: Eraser) -> None:
    handle = await erase(client, ErasurePass(erasure="e1"))
    assert await handle.result() == 3
    assert eraser.done == PASSES
    assert (await client.get_workflow_handle(handle.id).describe()).run_id != handle.first_execution_run_id


async def test_one_that_the_store_does_not_have_fails(client: Client, eraser: Eraser) -> None:
    eraser.failures["end"] = [ApplicationError("the store has no such erasure", non_retryable=True)]
    with pytest.raises(WorkflowFailureError) as caught:
        await (await erase(client, ErasurePass(erasure="e1"))).result()
    assert isinstance(caught.value.cause, ActivityError)


# ---- the platform is told of suppressions


async def test_each_suppression_is_told_once(client: Client, platform: Platform) -> None:
    tell = PlatformNotifier(client, SEAL, lambda: BOOK, shards=2)
    for suppression in (BOUNCE, BOUNCE, Suppression("email", "ab" * 32, "stop", BOUNCE.suppressed_at)):
        await tell(suppression, ADDRESS)
    await platform.some.wait()
    identifier, news = platform.heard[0]
    assert identifier.startswith("suppression:splio:")
    handle = client.get_workflow_handle(identifier, result_type=PlatformReply)
    assert await handle.result() == PlatformReply(outcome="told", status=200)
    await tell(BOUNCE, ADDRESS)  # it bounces again, weeks later
    assert len(platform.heard) == 1
    assert (news.destination, news.channel, news.source) == ("splio", "email", "bounce")
    assert SEAL.open_fields(news.address) == [ADDRESS]
    assert ADDRESS not in str((await handle.fetch_history()).to_json_dict())


async def test_it_is_told_for_days(client: Client, platform: Platform) -> None:
    platform.deaf = 40
    news = SuppressionNotice(destination="splio", channel="email", address=SEAL.seal_fields([ADDRESS]), source="bounce")
    handle = await client.start_workflow(TELL_WORKFLOW, news, id="x", task_queue=JOURNEYS, result_type=PlatformReply)
    assert (await handle.result()).outcome == "told"
    described = await handle.describe()
    assert described.close_time is not None
    assert described.close_time - described.start_time > timedelta(hours=24)


# ---- what nobody of ours starts

NONE: list[tuple[str, str, list[Any]]] = [
    (PRUNE_WORKFLOW, "NotAges", ["deliveries=180d", {"deliveries": "180d"}, {"ages": "claims=60d", "job": "claims"}]),
    (PRUNE_WORKFLOW, "NotAges", [{"ages": "claims=60d", "now": now} for now in ("nonsense", "2026-01-01T00:00:00")]),
    (PRUNE_WORKFLOW, "NotAges", [{"ages": "claims=60d", "job": "claims", "since": "x"}]),
    (ERASE_WORKFLOW, "NotAnErasure", ["e1", {}, {"erasure": 1}, {"erasure": "e1", "passes": "x"}]),
    (TELL_WORKFLOW, "NotNews", ["x", {"destination": "splio"}]),
]


async def test_an_argument_that_is_none_fails_at_once(client: Client) -> None:
    for workflow, kind, arguments in NONE:
        for argument in (None, [1], *arguments):
            result = client.execute_workflow(workflow, argument, id="x", task_queue=JOURNEYS)
            assert (argument, (await failure_of(result))[0]) == (argument, kind)
