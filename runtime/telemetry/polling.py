"""Gauges about all journeys and queues, which one worker reports for all.

Workers elect it by a lease. Every half a minute it makes a few queries, whatever the number of scenarios and journeys,
and less often if they take more than a twentieth of the time. Temporal's search cannot group by an attribute, so
journeys are counted by scenario in the store; of held or paused ones, which only search knows, a sample is read, and if
there are more, the groups in the sample are counted.

If a query fails, or another worker may have the lease, the gauges are removed instead of kept stale;
`scenario.poll.age` shows for how long. Groups of held or paused journeys that were reported before are reported as 0
once they are empty.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple
from uuid import uuid4

from temporalio.client import Client, WorkflowExecution
from temporalio.common import SearchAttributeKey
from temporalio.service import RPCError, RPCStatusCode

from runtime.connection import describe_namespace, describe_queue
from runtime.errors import StoreError
from runtime.process.shutdown import background_task
from runtime.search_attributes import (
    DESTINATION,
    HELD_REASON,
    JOURNEY_STATE,
    RUNNING,
    SCENARIO_NAME,
    quote,
    read_last_hold,
    running,
)
from runtime.store import Store
from runtime.telemetry import metrics
from runtime.telemetry.metrics import OTHER, Gauge, Labels

EVERY: Final = 30.0  # seconds between rounds
SHARE: Final = 20  # a round is followed by a pause of this many times its duration
SELDOM: Final = 300.0  # maximum number of seconds between rounds
LEASE: Final = 60.0  # seconds of the lease beyond the next round: more than the clocks of two machines differ
LOOKED_AT: Final = 1_000  # size of the sample of held, and of paused journeys: the page size of the server
GROUPS: Final = 20  # maximum number of groups to count if there are more journeys; the rest is in ``other``
REMEMBERED: Final = 3_000  # maximum number of groups to report as 0: more than the bounded names can produce
WHAT: Final = "metrics"  # the lease's name
_RECENT: Final = timedelta(minutes=2)  # a worker polls every minute at least
_FAILED: Final = timedelta(hours=1)  # time for which a failed campaign is reported
_PATIENCE: Final = timedelta(seconds=5)
_STORE: Final = 10.0
_GIVE_UP: Final = 1.0
_AGES: Final = (90, 30, 7, 1)  # days
# Statuses of a server without search, or without a newer attribute.
_UNABLE: Final = (RPCStatusCode.UNIMPLEMENTED, RPCStatusCode.INVALID_ARGUMENT, RPCStatusCode.PERMISSION_DENIED)

Figures = dict[Gauge, list[tuple[Labels, float]]]

logger = logging.getLogger(__name__)


def _machine_time() -> datetime:
    return datetime.now(UTC)


class _Looked(NamedTuple):
    total: int
    some: Sequence[WorkflowExecution]


class ClusterMetrics:
    """One worker's part in the election and the queries."""

    def __init__(
        self,
        client: Client,
        store: Store,
        queues: Mapping[str, bool],
        *,
        server_time: Callable[[], datetime] = _machine_time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client, self._store, self._queues, self._clock = client, store, queues, clock
        self._server_time = server_time  # ages are those of times that servers noted
        self._holder = f"{socket.gethostname()}/{os.getpid()}/{uuid4().hex[:8]}"
        self._figures: Figures | None = None
        self._since = self._until = 0.0
        self._told: dict[Gauge, dict[Labels, None]] = {metrics.JOURNEYS: {}, metrics.HELD: {}}
        self._troubles: dict[str, str] = {}
        self._parts = {
            "queues": self._queued,
            "journeys": self._journeys,
            "problems": self._problems,
            "erasures": self._erasures,
            "journal": self._journal,
            "campaigns": self._campaigns,
            "audiences": self._audiences,
            "outgoing events": self._outgoing,
            "namespace": self._namespace,
        }

    @property
    def figures(self) -> Figures:
        """The current values; empty if another worker reports them, or may do so."""
        figures = self._figures  # one read: a scrape runs in another thread
        if figures is None or self._clock() >= self._until:
            return {}
        return {**figures, metrics.POLL_AGE: [((), self._clock() - self._since)]}

    async def round(self, pause: float) -> float:
        """Make all queries once, if this worker is elected. Return the seconds until the next round."""
        began, whole = self._clock(), True
        if not await self._elected(pause):
            self._figures = None
            return EVERY
        if self._figures is None:
            self._figures, self._since = {}, self._clock()
        found: Figures = {}
        for name, part in self._parts.items():
            try:
                async with asyncio.timeout(EVERY):
                    found |= await part()
            except Exception as error:  # any error: the next round may succeed
                self._tell(name, error)
                whole = whole and isinstance(error, RPCError) and error.status in _UNABLE
            else:
                self._troubles.pop(name, None)
        for gauge in self._told.keys() & found.keys():
            there = dict(found[gauge])
            told = list(self._told[gauge] | dict.fromkeys(there))[-REMEMBERED:]
            found[gauge] += [(labels, 0) for labels in told if labels not in there]
            self._told[gauge] = dict.fromkeys(told)
        self._figures = found
        if whole:
            self._since = began
        pause = min(max(EVERY, SHARE * (self._clock() - began)), SELDOM)
        if pause > EVERY:  # the lease may expire sooner
            await self._elected(pause)  # otherwise the gauges are removed when it expires
        return pause

    async def run(self) -> None:
        pause = EVERY
        while True:
            pause = await self.round(pause)
            await asyncio.sleep(pause)

    async def _elected(self, pause: float) -> bool:
        """Take or extend the lease beyond a pause."""
        now, until = datetime.now(UTC), self._clock() + pause + LEASE
        try:
            async with asyncio.timeout(_STORE):
                elected = await self._store.lease(
                    WHAT, self._holder, now=now, expires_at=now + timedelta(seconds=pause + LEASE)
                )
        except (StoreError, TimeoutError) as error:
            elected = False
            self._tell("lease", error)
        else:
            self._troubles.pop("lease", None)
        if elected:
            self._until = until
        return elected

    async def close(self) -> None:
        if self._figures is not None:
            self._figures = None
            with suppress(StoreError, TimeoutError):
                async with asyncio.timeout(_GIVE_UP):
                    await self._store.give_up(WHAT, self._holder)

    def _tell(self, what: str, error: Exception) -> None:
        said = error.status.name if isinstance(error, RPCError) else type(error).__name__
        if self._troubles.get(what) != said:
            logger.warning("the metrics of all workers together lack the %s (%s): retrying", what, said)
        self._troubles[what] = said

    async def _queued(self) -> Figures:
        found: Figures = {metrics.BACKLOG: [], metrics.BACKLOG_AGE: [], metrics.POLLERS: []}
        recent = self._server_time() - _RECENT
        for queue, steers in self._queues.items():
            answer = await describe_queue(self._client, queue, _PATIENCE, workflows=steers, stats=True)
            seen = [one for one in answer.pollers if one.last_access_time.ToDatetime(UTC) > recent]
            found[metrics.POLLERS].append(((queue,), len({one.identity for one in seen})))
            if answer.HasField("stats"):
                age = answer.stats.approximate_backlog_age.ToTimedelta().total_seconds()
                found[metrics.BACKLOG].append(((queue,), answer.stats.approximate_backlog_count))
                found[metrics.BACKLOG_AGE].append(((queue,), age))
        return found

    async def _problems(self) -> Figures:
        return {metrics.PROBLEMS: [((), await self._count(f"{RUNNING} AND TemporalReportedProblems IS NOT NULL"))]}

    async def _erasures(self) -> Figures:
        number, oldest = await self._store.count_open_erasures()
        age = (self._server_time() - oldest).total_seconds() if oldest else 0.0
        return {metrics.ERASURES: [((), number)], metrics.ERASURES_OLDEST_AGE: [((), age)]}

    async def _journal(self) -> Figures:
        oldest = await self._store.oldest_in_outbox()
        return {metrics.JOURNAL_OLDEST_AGE: [((), (datetime.now(UTC) - oldest).total_seconds() if oldest else 0.0)]}

    async def _campaigns(self) -> Figures:
        states: Counter[str] = Counter(dict.fromkeys(("scheduled", "running", "paused"), 0))
        ages = [0.0]
        now = self._server_time()
        for one in await self._store.stored_campaigns(is_open=True, limit=LOOKED_AT):
            if one.paused_by is not None:
                states["paused"] += 1
            elif one.starts_at is not None and one.starts_at > now:
                states["scheduled"] += 1
            elif one.loaded_at is not None and one.confirmed_at is not None:
                states["running"] += 1
                latest = max(filter(None, (one.loaded_at, one.confirmed_at, one.starts_at, one.progressed_at)))
                ages.append((now - latest).total_seconds())
        states["failed"] = await self._store.count_failed_campaigns(now - _FAILED)
        return {
            metrics.CAMPAIGNS: [((state,), number) for state, number in states.items()],
            metrics.CAMPAIGNS_STALLED_AGE: [((), max(ages))],
        }

    async def _audiences(self) -> Figures:
        return {metrics.AUDIENCES_HELD: [((), await self._store.count_held_audiences())]}

    async def _outgoing(self) -> Figures:
        found: Figures = {metrics.OUTGOING_PENDING: [], metrics.OUTGOING_OLDEST_AGE: []}
        now = self._server_time()
        for one in await self._store.subscription_states():
            counts = {"held": one.held, "failing": one.failing, "waiting": one.waiting, "behind": one.behind}
            found[metrics.OUTGOING_PENDING] += [((one.subscription, state), n) for state, n in counts.items()]
            age = (now - one.oldest).total_seconds() if one.oldest else 0.0
            found[metrics.OUTGOING_OLDEST_AGE].append(((one.subscription,), age))
        return found

    async def _namespace(self) -> Figures:
        described = await describe_namespace(self._client, _PATIENCE)
        retention = described.config.workflow_execution_retention_ttl.ToTimedelta().total_seconds()
        return {metrics.NAMESPACE_RETENTION: [((), retention)]}

    async def _journeys(self) -> Figures:
        async with asyncio.timeout(_STORE):
            counted = await self._store.counts()
        running: Counter[str] = Counter()
        for (scenario, _), number in counted.items():
            running[scenario] += number
        looked_at = {state: await self._look(state) for state in ("retrying", "held", "paused")}
        held = looked_at["held"]
        found: Figures = {metrics.JOURNEYS: []}
        for state, looked in looked_at.items():
            for (scenario,), number in (await self._grouped(state, looked, SCENARIO_NAME)).items():
                found[metrics.JOURNEYS].append(((scenario, state), number))
                running[scenario] -= number
        found[metrics.JOURNEYS] += [((scenario, "running"), max(number, 0)) for scenario, number in running.items()]
        found[metrics.HELD] = list((await self._grouped("held", held, DESTINATION, HELD_REASON)).items())
        found[metrics.HELD_OLDEST_AGE] = [((), await self._oldest(held))]
        return found

    async def _look(self, state: str) -> _Looked:
        query = _in(state)
        total = await self._count(query)
        return _Looked(total, await self._some(query) if total else [])

    async def _grouped(self, state: str, looked: _Looked, *by: SearchAttributeKey[str]) -> dict[tuple[str, ...], int]:
        """Count the journeys in a state by the values of attributes."""
        groups = Counter(tuple(one.typed_search_attributes.get(key) or "" for key in by) for one in looked.some)
        if looked.total <= LOOKED_AT:
            return dict(groups)
        found = {
            group: await self._count(f"{_in(state)} AND {_having(by, group)}")
            for group, _ in groups.most_common(GROUPS)
        }
        if (others := looked.total - sum(found.values())) > 0:
            rest = (OTHER,) * len(by)
            found[rest] = found.get(rest, 0) + others
        return found

    async def _oldest(self, held: _Looked) -> float:
        """Return the seconds since the first hold of the held journeys; of many, of the oldest."""
        some = list(held.some)
        if held.total > LOOKED_AT:
            for days in _AGES:  # no journey is held before it starts
                since = (self._server_time() - timedelta(days=days)).isoformat(timespec="seconds")
                if old := await self._some(f"{_in('held')} AND StartTime < '{since}'"):
                    some += old
                    break
        noted = [await read_last_hold(one) or {} for one in some]
        moments = [datetime.fromisoformat(one["at"]) for one in noted if one.get("at")]
        return (self._server_time() - min(moments)).total_seconds() if moments else 0.0

    async def _count(self, query: str) -> int:
        return (await self._client.count_workflows(query, rpc_timeout=_PATIENCE)).count

    async def _some(self, query: str) -> Sequence[WorkflowExecution]:
        listed = self._client.list_workflows(query, page_size=LOOKED_AT, limit=LOOKED_AT, rpc_timeout=_PATIENCE)
        await listed.fetch_next_page()
        return listed.current_page or []


def _in(state: str) -> str:
    return f"{running(state)} AND {JOURNEY_STATE.name} = '{state}'"


def _having(keys: Sequence[SearchAttributeKey[str]], values: Sequence[str]) -> str:
    said = zip((key.name for key in keys), values, strict=True)
    return " AND ".join(f"{name} = {quote(value)}" if value else f"{name} IS NULL" for name, value in said)


@asynccontextmanager
async def cluster_metrics(
    client: Client, store: Store, queues: Mapping[str, bool], server_time: Callable[[], datetime] = _machine_time
) -> AsyncGenerator[ClusterMetrics]:
    """Take part in the election, and report while elected."""
    poller = ClusterMetrics(client, store, queues, server_time=server_time)

    def reading(gauge: Gauge) -> Callable[[], list[tuple[Labels, float]]]:
        return lambda: poller.figures.get(gauge, [])

    async with AsyncExitStack() as stack:
        stack.push_async_callback(poller.close)
        for gauge in metrics.OF_ALL:
            stack.enter_context(gauge.reading(reading(gauge)))
        await stack.enter_async_context(background_task(poller.run(), "metrics-of-all"))
        yield poller
