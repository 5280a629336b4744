"""What one worker tells for all: who does, what it asks, and what is told when it cannot be known."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from temporalio.api.workflowservice.v1 import (
    DescribeNamespaceResponse,
    DescribeTaskQueueRequest,
    DescribeTaskQueueResponse,
)
from temporalio.client import Client
from temporalio.common import SearchAttributePair, TypedSearchAttributes
from temporalio.service import RPCError, RPCStatusCode

from runtime.encryption.keyring import Erased
from runtime.search_attributes import DESTINATION, HELD_REASON, LAST_HELD, SCENARIO_NAME
from runtime.store import Store, StoreUnavailable
from runtime.store.campaign_lines import LineEnd
from runtime.store.outgoing_sends import PendingSend
from runtime.telemetry import metrics, polling
from runtime.telemetry.polling import ClusterMetrics, cluster_metrics
from tests.factories import admission_request, stored_campaign
from tests.fakes import ERASURE, Clock
from tests.measured import now

QUEUES = {"journeys": True, "webhooks": False}


@dataclass
class Journey:
    scenario: str
    destination: str = ""
    reason: str = ""
    hours: float = 1.0

    @property
    def typed_search_attributes(self) -> TypedSearchAttributes:
        said = ((SCENARIO_NAME, self.scenario), (DESTINATION, self.destination), (HELD_REASON, self.reason))
        return TypedSearchAttributes([SearchAttributePair(key, value) for key, value in said if value])

    async def memo(self) -> Mapping[str, Any]:
        return {LAST_HELD: {"at": (datetime.now(UTC) - timedelta(hours=self.hours)).isoformat()}}


@dataclass
class Server:
    """What the poller asks of Temporal. `counts` and `trouble` are by a text of the query, or the call's name."""

    held: Sequence[Journey] = ()
    paused: Sequence[Journey] = ()
    counts: dict[str, int] = field(default_factory=dict[str, int])
    trouble: dict[str, RPCStatusCode] = field(default_factory=dict[str, RPCStatusCode])
    calls: int = 0
    namespace: str = "default"

    @property
    def workflow_service(self) -> Any:
        return self

    def _asked(self, what: str) -> None:
        self.calls += 1
        for part, status in self.trouble.items():
            if part in what:
                raise RPCError("no", status, b"")

    async def describe_task_queue(self, request: DescribeTaskQueueRequest, **_: Any) -> Any:
        del request
        self._asked("describe_task_queue")
        answer = DescribeTaskQueueResponse()
        answer.stats.approximate_backlog_count = 7
        answer.stats.approximate_backlog_age.FromTimedelta(timedelta(seconds=3))
        for identity, age in (("a", 1), ("a", 60), ("b", 60), ("gone", 240)):
            poller = answer.pollers.add(identity=identity)
            poller.last_access_time.FromDatetime(datetime.now(UTC) - timedelta(seconds=age))
        return answer

    async def describe_namespace(self, *_: Any, **__: Any) -> DescribeNamespaceResponse:
        self._asked("describe_namespace")
        answer = DescribeNamespaceResponse()
        answer.config.workflow_execution_retention_ttl.FromTimedelta(timedelta(days=3))
        return answer

    async def count_workflows(self, query: str, rpc_timeout: timedelta) -> Any:
        self._asked(query)
        found = next((number for part, number in self.counts.items() if query.endswith(part)), None)
        some = self.held if "'held'" in query else self.paused if "'paused'" in query else ()
        return SimpleNamespace(count=len(some) if found is None else found)

    def list_workflows(self, query: str, **_: Any) -> Any:
        self._asked(query)

        async def nothing() -> None:
            return None

        some = self.held if "'held'" in query else self.paused
        return SimpleNamespace(fetch_next_page=nothing, current_page=some if "StartTime" not in query else some[-1:])


Poller = Callable[[Server], ClusterMetrics]


@pytest.fixture
def clock() -> Clock:
    return Clock(100.0)


@pytest.fixture
def poller(store: Store, clock: Clock) -> Poller:
    return lambda server: ClusterMetrics(cast("Client", server), store, QUEUES, clock=clock)


async def admit(store: Store, scenario: str, number: int) -> None:
    for contact in range(number):
        await store.admit(admission_request(str(contact), scenario, now=datetime.now(UTC)))


async def add_campaigns(store: Store) -> None:
    """Campaigns of which the one without progress for the longest time has had none for 20 minutes."""
    now = datetime.now(UTC)

    def ago(minutes: float) -> datetime:
        return now - timedelta(minutes=minutes)

    for name, starts_at in (
        *(("slow", None), ("begun", ago(5)), ("quick", None)),
        *(("late", now + timedelta(hours=1)), ("paused", None), ("failed", None), ("long ago", None)),
        *(("preparing", None), ("ready", None)),
    ):
        loaded = None if name == "preparing" else ago(300)
        times = {"loaded_at": loaded, "confirmed_at": None if name == "ready" else ago(300)}
        await store.add_campaign(stored_campaign(name, created_at=ago(300), starts_at=starts_at, **times))
    for name, minutes in (("slow", 20), ("quick", 1), ("paused", 90)):
        await store.end_campaign_lines(name, [LineEnd(1, "entered")], ago(minutes))
    await store.pause_campaign("paused", "ops", "holiday")
    for name, minutes in (("failed", 30), ("long ago", 61)):
        await store.end_campaign(name, "failed", ago(minutes))


async def test_everything_is_told_in_a_dozen_calls(store: Store, poller: Poller):
    await store.want_events(["journey.entered"])
    await admit(store, "welcome", 5)
    await admit(store, "birthday", 2)
    await store.outgoing_cursor("crm", 3)
    an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
    about: dict[str, Any] = {"subscription": "crm", "position": 1, "subject": "welcome/1", "attempts": 1}
    times = dict.fromkeys(("next_try_at", "held_at", "recorded_at"), an_hour_ago)
    await store.add_sends([PendingSend(**about, **times, reason="crm answered 400")])
    held = [Journey("welcome", "wax", "exhausted", 5), Journey("welcome", "wax", "exhausted"), Journey("welcome")]
    server = Server(held=held, paused=[Journey("birthday")], counts={"TemporalReportedProblems IS NOT NULL": 4})
    asked = datetime.now(UTC) - timedelta(hours=2)
    await store.add_erasure(replace(ERASURE, requested_at=asked))
    await add_campaigns(store)
    await store.record_audience_trouble("meta", "vip", "meta answered 400", datetime.now(UTC))
    one = poller(server)
    await one.round(30)
    told = {gauge.name: dict(rows) for gauge, rows in one.figures.items()}
    assert told.pop("scenario.campaigns.stalled_age")[()] == pytest.approx(20 * 60, abs=60)
    assert told.pop("scenario.held.oldest_age")[()] == pytest.approx(5 * 3600, abs=60)
    assert told.pop("scenario.erasures.oldest_age")[()] == pytest.approx(2 * 3600, abs=60)
    assert 0 < told.pop("scenario.journal.oldest_age")[()] < 60  # of that erasure, which is not in the journal yet
    assert told.pop("scenario.outgoing.oldest_age")[("crm",)] == pytest.approx(3600, abs=60)
    assert told == {
        "scenario.outgoing.pending": {
            ("crm", "held"): 1, ("crm", "failing"): 0, ("crm", "waiting"): 0, ("crm", "behind"): 4,
        },
        "scenario.backlog": {("journeys",): 7, ("webhooks",): 7},
        "scenario.backlog.age": {("journeys",): 3, ("webhooks",): 3},
        "scenario.pollers": {("journeys",): 2, ("webhooks",): 2},
        "scenario.problems": {(): 4},
        "scenario.erasures": {(): 1},
        "scenario.audiences.held": {(): 1},
        "scenario.campaigns": {("scheduled",): 1, ("running",): 3, ("paused",): 1, ("failed",): 1},
        "scenario.namespace.retention": {(): 3 * 86_400},
        "scenario.held": {("wax", "exhausted"): 2, ("", ""): 1},
        "scenario.journeys": {
            ("welcome", "running"): 2, ("birthday", "running"): 1, ("welcome", "held"): 3, ("birthday", "paused"): 1,
        },
        "scenario.poll.age": {(): 0},
    }  # fmt: skip
    assert server.calls <= 12


async def test_a_hold_that_nobody_can_read_hides_no_other(poller: Poller):
    class Unreadable(Journey):
        async def memo(self) -> Mapping[str, Any]:
            raise Erased

    one = poller(Server(held=[Unreadable("welcome", "wax", "exhausted"), Journey("welcome", "wax", "exhausted", 5)]))
    await one.round(30)
    assert dict(one.figures[metrics.HELD]) == {("wax", "exhausted"): 2}
    [(_, oldest)] = one.figures[metrics.HELD_OLDEST_AGE]
    assert oldest == pytest.approx(5 * 3600, abs=60)


async def test_of_many_that_are_held_the_groups_are_counted(poller: Poller, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(polling, "LOOKED_AT", 3)
    monkeypatch.setattr(polling, "GROUPS", 2)
    held = [Journey("welcome", "wax", "exhausted"), Journey("welcome", "wax", "exhausted"), Journey("a'b", hours=99)]
    counts = {
        "JourneyState = 'held'": 1000,
        "Destination = 'wax' AND HeldReason = 'exhausted'": 900,
        "Destination IS NULL AND HeldReason IS NULL": 30,
        "ScenarioName = 'welcome'": 940,
        r"ScenarioName = 'a\'b'": 20,
    }
    one = poller(Server(held=held, counts=counts))
    await one.round(30)
    assert dict(one.figures[metrics.HELD]) == {("wax", "exhausted"): 900, ("", ""): 30, ("other", "other"): 70}
    assert dict(one.figures[metrics.JOURNEYS]) == {
        ("welcome", "held"): 940, ("a'b", "held"): 20, ("other", "held"): 40,
        ("welcome", "running"): 0, ("a'b", "running"): 0, ("other", "running"): 0,
    }  # fmt: skip
    [(_, oldest)] = one.figures[metrics.HELD_OLDEST_AGE]
    assert oldest == pytest.approx(99 * 3600, abs=60)


async def test_one_of_two_tells_it_and_the_other_one_goes_on_when_that_stops(poller: Poller):
    first, second = poller(Server()), poller(Server())
    await asyncio.gather(first.round(30), second.round(30))
    assert sorted(bool(one.figures) for one in (first, second)) == [False, True]
    if second.figures:
        first, second = second, first
    await first.close()
    assert first.figures == {}
    await second.round(30)
    assert second.figures
    await first.round(30)  # it comes too late
    assert first.figures == {}


async def test_who_does_not_know_whether_it_has_the_lease_any_more_tells_nothing(poller: Poller, clock: Clock):
    one = poller(Server())
    await one.round(30)
    clock.now += 89
    assert one.figures
    clock.now += 1  # the next round hangs
    assert one.figures == {}


async def test_figures_that_go_while_they_are_read_are_whole(poller: Poller, monkeypatch: pytest.MonkeyPatch):
    def goes(clock: Clock) -> float:
        one._figures = None  # pyright: ignore[reportPrivateUsage]
        return clock.now

    one = poller(Server())
    await one.round(30)
    monkeypatch.setattr(Clock, "__call__", goes)
    assert one.figures


async def test_where_the_answers_take_long_the_lease_lasts_until_the_next_round(
    store: Store, poller: Poller, clock: Clock, monkeypatch: pytest.MonkeyPatch
):
    class Slow(Server):
        async def describe_task_queue(self, request: DescribeTaskQueueRequest, **given: Any) -> Any:
            clock.now += 5
            return await super().describe_task_queue(request, **given)

    one = poller(Slow())
    pause = await one.round(30)
    assert pause == polling.SHARE * 5 * len(QUEUES)
    moment = datetime.now(UTC) + timedelta(seconds=pause)
    assert not await store.lease("metrics", "another", now=moment, expires_at=moment)

    leases = iter([True])

    async def lease(*_: Any, **__: Any) -> bool:
        if next(leases, False):
            return True
        raise StoreUnavailable("The store is away.")

    monkeypatch.setattr(store, "lease", lease)
    await one.round(30)
    assert one.figures  # it has the lease that it began with
    clock.now += 90
    assert one.figures == {}


async def test_where_there_are_none_any_more_0_is_told(poller: Poller):
    server = Server(held=[Journey("welcome", "wax", "exhausted")], paused=[Journey("birthday")])
    one = poller(server)
    await one.round(30)
    server.held, server.paused = [Journey("welcome", "shop", "unknown")], []
    await one.round(30)
    assert dict(one.figures[metrics.HELD]) == {("wax", "exhausted"): 0, ("shop", "unknown"): 1}
    assert dict(one.figures[metrics.JOURNEYS]) == {
        ("welcome", "held"): 1, ("birthday", "paused"): 0, ("welcome", "running"): 0, ("birthday", "running"): 0,
    }  # fmt: skip


async def test_not_all_that_there_ever_were_are_told(poller: Poller, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(polling, "REMEMBERED", 2)
    server = Server()
    one = poller(server)
    for destination in ("a", "b", "c", "d"):
        server.held = [Journey("welcome", destination, "exhausted")]
        await one.round(30)
    assert dict(one.figures[metrics.HELD]) == {("c", "exhausted"): 0, ("d", "exhausted"): 1}


async def test_what_cannot_be_found_out_is_gone_not_old_and_logged_once(
    poller: Poller, clock: Clock, caplog: pytest.LogCaptureFixture
):
    server = Server()
    one = poller(server)
    await one.round(30)
    assert metrics.BACKLOG in one.figures
    server.trouble = {"describe_task_queue": RPCStatusCode.UNAVAILABLE}
    for _ in range(2):
        clock.now += 30
        await one.round(30)
    assert metrics.BACKLOG not in one.figures
    assert metrics.PROBLEMS in one.figures
    assert one.figures[metrics.POLL_AGE] == [((), 60)]
    assert [record.message for record in caplog.records] == [
        "the metrics of all workers together lack the queues (UNAVAILABLE): retrying"
    ]
    server.trouble.clear()
    await one.round(30)
    assert one.figures[metrics.POLL_AGE] == [((), 0)]


async def test_what_a_server_does_not_know_makes_the_rest_no_older(poller: Poller, clock: Clock):
    one = poller(Server(trouble={"TemporalReportedProblems": RPCStatusCode.INVALID_ARGUMENT}))
    clock.now += 30
    await one.round(30)
    assert metrics.PROBLEMS not in one.figures
    assert one.figures[metrics.POLL_AGE] == [((), 0)]


async def test_gauges_are_there_while_it_is_told_and_gone_with_the_worker(store: Store):
    async with cluster_metrics(cast("Client", Server()), store, QUEUES) as one:
        async with asyncio.timeout(60):
            while metrics.PROBLEMS not in one.figures:
                await asyncio.sleep(0.01)
        assert now(metrics.BACKLOG) == {("journeys",): (7, 7), ("webhooks",): (7, 7)}
    assert now(metrics.BACKLOG) == {}
    assert await store.lease("metrics", "another", now=datetime.now(UTC), expires_at=datetime.now(UTC))


@pytest.mark.parametrize("offset", [timedelta(hours=2), timedelta(hours=-2)], ids=["ahead", "behind"])
async def test_ages_go_by_the_time_of_the_servers(store: Store, monkeypatch: pytest.MonkeyPatch, offset: timedelta):
    """The figures of a worker with a wrong clock are those of one with the right clock."""
    right = datetime.now(UTC)

    class WrongClock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return right.astimezone(tz) + offset

    await add_campaigns(store)
    monkeypatch.setattr(polling, "datetime", WrongClock)
    poller = ClusterMetrics(cast("Client", Server(held=[Journey("welcome")])), store, QUEUES, server_time=lambda: right)
    await poller.round(30)
    assert [number for _, number in poller.figures[metrics.POLLERS]] == [2, 2]
    assert poller.figures[metrics.HELD_OLDEST_AGE] == [((), pytest.approx(3600, abs=5))]
    assert poller.figures[metrics.CAMPAIGNS_STALLED_AGE] == [((), pytest.approx(1200, abs=5))]
