"""Comparison of the store with Temporal, page by page. Search lags, so the server confirms whatever seems to differ.

Nothing is changed unless a repair is asked for. A repair may be interrupted, run again, and run while workers do: it
changes a row or a workflow only if that still stands as it was found.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from temporalio.api.workflow.v1 import WorkflowExecutionInfo

from activities.journal.journal import journal_in
from activities.journal.replay import lacking
from runtime.encryption.codec import contact_of
from runtime.store import AcceptedEntry, StoredEntry
from runtime.store.deliveries import DELIVERED, Attempt
from runtime.store.entries import LOST
from service.client import ScenarioClient
from service.journeys.snapshot import word_of
from service.reconcile.temporal import PacedTemporal, WorkflowEnd, is_running, lost_entry


class Kind(StrEnum):
    """A kind of difference."""

    AHEAD = "ahead"
    UNADMITTED = "unadmitted"
    LOST = "lost"
    OVER = "over"
    UNKNOWN = "unknown"
    REVIVED = "revived"
    ERASED = "erased"
    DIFFERENT = "different"


class KindWords(NamedTuple):
    """A kind of difference in words."""

    what: str
    repair: str  # what a repair does


MEANINGS: Final = {
    Kind.AHEAD: KindWords("journeys that have sent messages which Temporal does not know of", "terminated, and 'lost'"),
    Kind.UNADMITTED: KindWords("acknowledged entries that Temporal has lost", "forgotten: send them again"),
    Kind.LOST: KindWords("journeys that run in the store, and that Temporal does not have", "ended as 'lost'"),
    Kind.OVER: KindWords("journeys that run in the store, and have ended in Temporal", "ended as in Temporal"),
    Kind.UNKNOWN: KindWords("journeys that Temporal has, and the store does not", "written back"),
    Kind.REVIVED: KindWords(
        "journeys that are over in the store, and run in Temporal", "terminated; those that were 'lost' run again"
    ),
    Kind.ERASED: KindWords("journeys of erased contacts that Temporal has", "being erased again"),
    Kind.DIFFERENT: KindWords("journeys that ended otherwise in Temporal", "corrected"),
}
NOT_COMPARED: Final = (
    "entries and events that came in and are on neither side: have your platform send them again",
    "suppressions that are not in the journal: import what your platform and your mail server's log know",
    "places under caps: contacts may get more than caps allow, until these look back no further",
    "published versions: publish the same files in the same order",
    "keys of contacts: data encrypted with them cannot be read",
    "API keys: make and revoke them again",
    "goals reached, people per step, the log of attempts: data since the backup is missing",
)
"""Losses that neither side can show."""


class Discrepancy(BaseModel):
    """A journey that stands otherwise in the store than in Temporal; `trouble`: why it is not repaired, what to do."""

    model_config = ConfigDict(frozen=True)

    kind: Kind
    id: str
    run: str | None = None
    store: str | None = None
    temporal: str | None = None
    repaired: bool = False
    trouble: str | None = None


class MissingVersion(BaseModel):
    """A published version that running journeys follow, and that the store lacks."""

    version: str  # name and number
    journeys: int


class Reconciliation(BaseModel):
    """The result of a comparison."""

    namespace: str
    repair: bool
    since: datetime  # journeys that ended before were not compared
    running_in_store: int = 0
    running_in_temporal: int = 0
    ended_in_temporal: int = 0
    counts: dict[Kind, int] = Field(default_factory=dict[Kind, int])
    repaired: dict[Kind, int] = Field(default_factory=dict[Kind, int])
    missing_versions: list[MissingVersion] = Field(default_factory=list[MissingVersion])  # to publish again
    forgotten: int = 0  # number of erased contacts and suppressed addresses of the journal that the store lacked
    not_compared: tuple[str, ...] = NOT_COMPARED

    @property
    def is_clean(self) -> bool:
        """Return True if nothing differs, or all that differed was repaired."""
        is_complete = self.repair or not self.forgotten
        return is_complete and not self.missing_versions and self.counts == self.repaired

    def add(self, finding: Discrepancy) -> None:
        for numbers in (self.counts, *([self.repaired] if finding.repaired else [])):
            numbers[finding.kind] = numbers.get(finding.kind, 0) + 1


RATE: Final = 200.0  # calls to Temporal a second at most
SINCE: Final = timedelta(days=1)  # how far back journeys that have ended are compared
SETTLED: Final = timedelta(minutes=5)  # maximum delay between a record in the store and Temporal
UNSETTLED: Final = "it changed within the last 5 minutes: run this again in 5 minutes"
_PAGE: Final = 500
_AT_ONCE: Final = 20
_RUNNING: Final = "ExecutionStatus = 'Running'"
_CLOSED: Final = "ExecutionStatus IN ('Completed', 'Failed', 'Canceled', 'Terminated', 'TimedOut')"

Item = TypeVar("Item")
Findings = AsyncIterator[Discrepancy]


class Reconciler:
    """Compares a store with Temporal.

    Args:
        since: Compare the journeys that have ended since then.
        sent_since: Also compare the messages that were delivered since then.
        rate: Calls to Temporal a second at most.
        found: Called with each difference. An acknowledged entry is forgotten only after this returned.
        told: Called after each journey that was compared.
    """

    def __init__(
        self,
        client: ScenarioClient,
        *,
        repair: bool = False,
        since: datetime | None = None,
        sent_since: datetime | None = None,
        rate: float = RATE,
        operator: str = "scenario store reconcile",
        found: Callable[[Discrepancy], None] = lambda _: None,
        told: Callable[[], None] = lambda: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client, self._store, self._temporal = client, client.store, PacedTemporal(client.temporal, rate)
        self._repair, self._operator, self._found, self._told, self._now = repair, operator, found, told, now
        self._since = (now() - SINCE if since is None else since).astimezone(UTC)
        self._sent_since = sent_since
        self._compared, self._lacking = Counter[str](), Counter[str]()

    async def run(self) -> Reconciliation:
        """Compare everything, and repair it if that is asked for. After a StoreError or RPCError, run it again."""
        result = Reconciliation(namespace=self._client.temporal.namespace, repair=self._repair, since=self._since)
        if (journal := journal_in(self._store)) is not None:  # first, since journeys of erased contacts differ
            result.forgotten = await lacking(journal, repair=self._repair)
        for part in (self._sent(), self._pending(), self._stored(), self._running(), self._ended()):
            async for finding in part:
                result.add(finding)
                self._found(finding)
        for (scenario, version), journeys in (await self._store.counts()).items():
            if await self._store.version(scenario, version) is None:
                self._lacking[f"{scenario}@{version}"] += journeys
        result.running_in_store = self._compared["store"]
        result.running_in_temporal = self._compared["running"]
        result.ended_in_temporal = self._compared["ended"]
        result.missing_versions = [
            MissingVersion(version=version, journeys=journeys) for version, journeys in sorted(self._lacking.items())
        ]
        return result

    # ---- the store's side

    async def _sent(self) -> Findings:
        if self._sent_since is None:
            return
        last: tuple[datetime, int, str] | None = None
        while page := await self._store.deliveries(outcome=DELIVERED, since=self._sent_since, after=last, limit=_PAGE):
            newest = {attempt.run_id: attempt for attempt in page if attempt.test_by is None}
            async for finding in self._each(list(newest.values()), self._of_sent):
                yield finding
            last = page[0].started_at, page[0].attempt, page[0].delivery_id

    async def _of_sent(self, attempt: Attempt) -> list[Discrepancy]:
        """Compare what a run has delivered, of which this is the newest."""
        journey, run = attempt.workflow_id, attempt.run_id
        sent = await self._store.deliveries(journey, run, outcome=DELIVERED)
        info = await self._temporal.info(journey)
        if sent[-1:] != [attempt] or info is None or not is_running(info):
            return []
        known = await self._temporal.delivered(journey, run)
        if known is None and attempt.started_at < info.start_time.ToDatetime(tzinfo=UTC):
            return []  # an earlier run with a deleted history
        if not Counter(step for _, step in {(one.delivery_id, one.step) for one in sent}) - (known or Counter()):
            return []
        stands, trouble = f"delivered '{attempt.step}'", self._unsettled(attempt.started_at)
        if self._repair and trouble is None:
            await self._temporal.terminate(info, f"it has {stands}, and would again")
            reason = "terminated: it would have sent again"
            await self._store.depart(journey, info.first_run_id, LOST, reason, self._now())
        return [self._finding(Kind.AHEAD, journey, info.first_run_id, stands, info, trouble)]

    async def _pending(self) -> Findings:
        last: AcceptedEntry | None = None
        while page := await self._store.pending_page(last, _PAGE):
            entries: dict[str | None, AcceptedEntry] = {entry.run_id: entry for entry in page}
            async for finding in self._each(page, self._of_pending):
                yield finding
                if self._repair:  # after it was reported: there is no other record of it
                    await self._store.forget_accepted(entries[finding.run])
            last = page[-1]

    async def _of_pending(self, entry: AcceptedEntry) -> list[Discrepancy]:
        journey, run = entry.workflow_id, entry.run_id
        if await self._temporal.info(journey, run) is not None or await self._store.entry(journey, run) is not None:
            return []
        return [self._finding(Kind.UNADMITTED, journey, run, "acknowledged")]

    async def _stored(self) -> Findings:
        last: StoredEntry | None = None
        while page := await self._store.entries(running=True, after=last, limit=_PAGE):
            self._count("store", len(page))
            running = await self._temporal.running([entry.workflow_id for entry in page])
            suspects = [entry for entry in page if entry.workflow_id not in running]
            async for finding in self._each(suspects, self._of_stored):
                yield finding
            last = page[-1]

    async def _of_stored(self, entry: StoredEntry) -> list[Discrepancy]:
        journey, run = entry.workflow_id, entry.run_id
        if entry.is_inline:
            return await self._of_inline(entry)
        info = await self._temporal.of_first_run(journey, run)
        if info is not None and is_running(info):
            return []
        gone = WorkflowEnd(LOST, "Temporal does not have its workflow", self._now())
        return await self._over(entry, info, await self._temporal.end(info) if info else gone)

    async def _of_inline(self, entry: StoredEntry) -> list[Discrepancy]:
        """Compare an entry without a workflow, which its campaign sends, or a workflow is about to continue."""
        info = await self._temporal.info(entry.workflow_id)
        campaign = await self._store.stored_campaign(entry.key or "")
        if (info is not None and is_running(info)) or (campaign is not None and campaign.ended_at is None):
            return []
        return await self._over(entry, None, WorkflowEnd(LOST, "its campaign ended before", self._now()))

    async def _over(
        self, entry: StoredEntry, info: WorkflowExecutionInfo | None, end: WorkflowEnd
    ) -> list[Discrepancy]:
        journey, run = entry.workflow_id, entry.run_id
        known = await self._store.entry(journey, run)
        if known is None or known.ended_at is not None:
            return []
        if self._repair:
            await self._store.depart(journey, run, end.outcome, end.reason, end.at)
        return [self._finding(Kind.OVER if info else Kind.LOST, journey, run, "running", info)]

    # ---- Temporal's side

    async def _running(self) -> Findings:
        async for page in self._temporal.search(f"WorkflowType = 'Journey' AND {_RUNNING}"):
            self._count("running", len(page))
            known = await self._store.find_running([one.execution.workflow_id for one in page])
            # A run that continues another has an id that the store does not know.
            suspects = [
                one
                for one in page
                if (entry := known.get(one.execution.workflow_id)) is None or entry.run_id != one.execution.run_id
            ]
            async for finding in self._each(suspects, self._of_running):
                yield finding

    async def _of_running(self, searched: WorkflowExecutionInfo) -> list[Discrepancy]:
        """Compare a journey that runs in Temporal, and perhaps not in the store."""
        journey = searched.execution.workflow_id
        info = await self._temporal.info(journey)
        if info is None or not is_running(info):
            return []
        run = info.first_run_id
        stale = (await self._store.find_running([journey])).get(journey)
        if stale is not None and stale.run_id == run:
            return []
        # Of a run before, which seemed to run since the workflow id does.
        found = [] if stale is None else await self._of_stored(stale)
        entry = await self._store.entry(journey, run)
        if entry is None:
            return [*found, *await self._unknown(info)]
        if entry.ended_at is None:
            return found
        trouble = self._unsettled(entry.ended_at)
        if self._repair and trouble is None:
            if entry.outcome == LOST:
                await self._store.reopen(journey, run)
            else:
                await self._temporal.terminate(info, f"it is over in the store: {entry.outcome}")
        return [*found, self._finding(Kind.REVIVED, journey, run, entry.outcome, info, trouble)]

    async def _ended(self) -> Findings:
        since = f"CloseTime > '{self._since.isoformat()}'"
        async for page in self._temporal.search(f"WorkflowType = 'Journey' AND {_CLOSED} AND {since}"):
            self._count("ended", len(page))
            async for finding in self._each(page, self._of_ended):
                yield finding

    async def _of_ended(self, info: WorkflowExecutionInfo) -> list[Discrepancy]:
        journey, run = info.execution.workflow_id, info.execution.run_id
        entry = await self._store.entry(journey, run)
        if entry is None:  # it has continued as new, or the store does not have it
            described = await self._temporal.info(journey, run)
            if described is None:
                return []
            info, entry = described, await self._store.entry(journey, described.first_run_id)
        if entry is None:
            return await self._unknown(info)
        end = await self._temporal.end(info)
        if entry.ended_at is None or end.outcome in (entry.outcome, LOST):
            return []
        if self._repair:
            await self._store.depart(journey, entry.run_id, end.outcome, end.reason, end.at)
        return [self._finding(Kind.DIFFERENT, journey, entry.run_id, entry.outcome, end.outcome)]

    async def _unknown(self, info: WorkflowExecutionInfo) -> list[Discrepancy]:
        journey, run = info.execution.workflow_id, info.first_run_id
        contact = contact_of(journey)
        if contact is not None and await self._store.is_erased(contact):
            if await self._store.has_open_erasure(contact):
                return []
            if self._repair:
                await self._client.erase(contact, operator=self._operator, reason="Temporal had the contact again")
            return [self._finding(Kind.ERASED, journey, run, "erased", info)]
        end = None if is_running(info) else await self._temporal.end(info)
        lost = await lost_entry(
            self._temporal, self._client.services.scenarios.content, self._client.platform, info, end
        )
        if lost is None or await self._store.entry(journey, run) is not None:
            return []
        if lost.lacks:
            self._lacking[lost.lacks] += 1
        if self._repair and lost.entry is not None:
            await self._store.restore(lost.entry)
        return [self._finding(Kind.UNKNOWN, journey, run, None, info, lost.trouble)]

    # ---- helpers of all comparisons

    async def _each(self, items: Sequence[Item], compare: Callable[[Item], Awaitable[list[Discrepancy]]]) -> Findings:
        for start in range(0, len(items), _AT_ONCE):
            for found in await asyncio.gather(*map(compare, items[start : start + _AT_ONCE])):
                for finding in found:
                    yield finding

    def _unsettled(self, changed: datetime) -> str | None:
        return UNSETTLED if self._now() - changed < SETTLED else None

    def _count(self, side: str, journeys: int) -> None:
        self._compared[side] += journeys
        for _ in range(journeys):
            self._told()

    def _finding(
        self,
        kind: Kind,
        name: str,
        run: str | None,
        stored: str | None,
        found: WorkflowExecutionInfo | str | None = None,
        trouble: str | None = None,
    ) -> Discrepancy:
        word = word_of(found).replace("_", " ") if isinstance(found, WorkflowExecutionInfo) else found
        repaired = self._repair and trouble is None
        return Discrepancy(kind=kind, id=name, run=run, store=stored, temporal=word, repaired=repaired, trouble=trouble)
