"""The activity that works on a chunk of a campaign in the gear blast.

Lines are admitted, sent and recorded in groups. A killed worker leaves at most a group without outcomes: another worker
sends those messages again, under the same ids and with the same bytes. Messages that must not be sent twice are marked
before they are sent; their lines continue as journeys of which the outcome is unknown.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from temporalio import activity
from temporalio.client import Client
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from activities.admission import AdmissionActivities
from activities.background import BLAST, LINES, CampaignChunk
from activities.blast.line import MOMENT, CampaignLine, Course
from activities.channel import ChannelActivity
from activities.content import LoadedVersion
from activities.dependencies import WorkerServices
from activities.handover import campaign_root, hand_over, is_started
from activities.server_clock import ServerClock
from activities.webhook.server_rates import campaign_rates
from runtime.encryption.codec import EntryCodec
from runtime.encryption.keyring import Erased
from runtime.errors import StoreUnavailable
from runtime.process.shutdown import background_task
from runtime.store import AdmissionRequest, AdmittedRun
from runtime.store.campaign_lines import LineDeparture, LineEnd
from runtime.store.campaigns import CampaignItem, StoredCampaign
from runtime.store.erasures import ERASED
from runtime.telemetry.metrics import CAMPAIGN_LINES
from scenario.entry.admission import EntryRefused, identity
from scenario.entry.entry import Entry, clean, journey_root, parse_entry
from scenario.errors import EntryError
from scenario.plan.plan import gear_of
from scenario.steps.delivery import Send
from scenario.time import zone_of

_logger = logging.getLogger(__name__)

CHUNKS: Final = 8
"""Maximum number of chunks of a channel that a worker has in progress."""
TOGETHER: Final = 100
"""Maximum number of lines of a group."""
_AT_ONCE: Final = 25  # maximum number of lines of a chunk in progress
_BURST: Final = 1.0  # seconds of which a chunk that was late makes up the lines
_BEAT: Final = 0.5
_LONGEST_PAUSE: Final = 60.0
_STORE_PAUSE: Final = 1.0
_RATED: Final = 10.0  # seconds until the rate is read again
_LONGEST: Final = 500  # characters of a reason
_SOMEBODY_ELSE: Final = "the contact's journey of this campaign was started by somebody else"


class ChannelSender(NamedTuple):
    """A channel's sender, and the number of messages that it may have in flight."""

    sender: ChannelActivity[Any]
    at_once: int


@dataclass(frozen=True)
class BlastActivities:
    """The activity `blast_lines`, which is on a queue of each channel."""

    temporal: Client
    services: WorkerServices
    admissions: AdmissionActivities
    senders: Mapping[str, ChannelSender]  # by channel
    _places: dict[str, asyncio.Semaphore] = field(default_factory=dict[str, asyncio.Semaphore])

    def place(self, destination: str, number: int) -> asyncio.Semaphore:
        """Return the places that campaigns share for a receiver in this process: half of all."""
        key = f"{destination}/{number}"
        return self._places.setdefault(key, asyncio.Semaphore(max(1, number // 2)))

    @activity.defn(name=BLAST)
    async def blast_lines(self, chunk: CampaignChunk) -> None:
        """Send the messages of the lines of a chunk that have no outcome yet, and record their outcomes."""
        clock = ServerClock(activity.info().started_time)
        waits: list[str] = []  # why it waits for its receiver: `service.operations.service` reads it from heartbeats
        async with background_task(_beat(waits), "heartbeats"):
            store = self.services.store
            campaign = await store.stored_campaign(chunk.campaign)
            if campaign is None:
                return  # it has ended, and was deleted
            opened = await self.services.content.open(campaign.scenario, campaign.version)
            due = datetime.fromisoformat(chunk.due) if chunk.due else None
            items = await store.campaign_chunk(chunk.campaign, due, chunk.first, chunk.last)
            await _Chunk(self, campaign, opened, lambda: self._rate(chunk, campaign, clock), waits, clock).work(items)

    async def _rate(self, chunk: CampaignChunk, campaign: StoredCampaign, clock: ServerClock) -> float:
        """Return the rate of a chunk: the campaign's, but at most its share of the destination's."""
        destinations = self.services.destinations
        if not campaign.destination or not destinations.configured:
            return chunk.rate
        others = await self.services.store.stored_campaigns(is_open=True, limit=LINES)
        others = [one for one in others if one.name != campaign.name]
        this = replace(campaign, rate=chunk.rate / chunk.share, paused_by=None, starts_at=None)
        rates = campaign_rates([this, *others], destinations.book, clock.now())
        return rates[campaign.name] * chunk.share


class _Asked(NamedTuple):
    item: CampaignItem
    given: dict[str, Any]
    entry: Entry
    values: dict[str, Any]  # of the entry, by root name
    asking: AdmissionRequest


class _Chunk:
    def __init__(
        self,
        blast: BlastActivities,
        campaign: StoredCampaign,
        opened: LoadedVersion,
        read_rate: Callable[[], Awaitable[float]],
        waits: list[str],
        clock: ServerClock,
    ) -> None:
        self._blast, self._services = blast, blast.services
        self._campaign, self._opened, self._read_rate, self._waits = campaign, opened, read_rate, waits
        self._rate = self._rated_until = 0.0
        self._codec = EntryCodec(blast.temporal)
        gear = gear_of(opened.table)
        found = blast.senders.get(gear.channel)
        if found is None:
            message = f"{opened.name}@{opened.version} cannot be sent without journeys: {gear.reason}"
            raise ApplicationError(message, type="NotBlast", non_retryable=True)
        book = self._services.destinations.book
        named = book.get(gear.destination)
        limits = named.limits if named else book.limits
        at_once = min(found.at_once, limits.concurrency) if gear.destination else found.at_once
        self._place = blast.place(gear.destination or gear.channel, at_once)
        self._now = clock.now
        self._clock = asyncio.get_running_loop()
        self._turn = self._clock.time()
        self._paused_until = 0.0
        self._is_over = False
        self._put_back: list[_Asked] = []
        self._new: set[int] = set()  # lines that this chunk has admitted, and no earlier one
        self._withdrawn: set[int] = set()  # those of them that were put back
        self._trouble: Exception | None = None
        self._platform = self._services.platform
        steps = [row for row in opened.table.steps.values() if isinstance(row, Send)]
        self._once = any(row.on_unknown != "retry" for row in steps)
        self._course = Course(
            scenario=f"{opened.name}@{opened.version}",
            plan=opened.table,
            info=activity.info(),
            clock=clock,
            sender=found.sender,
            adjust=self._adjust,
            pause=self._pause,
        )

    async def work(self, items: Sequence[CampaignItem]) -> None:
        """Work on the lines. Messages in progress are completed when the chunk is cancelled."""
        left, paused_until = deque(items), self._paused_until
        while left:
            await self._ready()
            if self._clock.time() >= self._rated_until:  # other campaigns have begun or ended, perhaps
                self._rate, self._rated_until = await self._read_rate(), self._clock.time() + _RATED
            # After a pause, one line shows whether the receiver takes messages again.
            size = 1 if paused_until != self._paused_until else max(1, min(TOGETHER, int(self._rate)))
            paused_until = self._paused_until
            group = [left.popleft() for _ in range(min(size, len(left)))]
            working = asyncio.create_task(self._group(group))
            try:
                await asyncio.shield(working)
            except asyncio.CancelledError:
                self._is_over = True
                await asyncio.wait([working])
                working.exception()
                raise
            if self._trouble is not None:
                raise self._trouble
            left.extendleft(one.item for one in reversed(self._put_back))
            self._put_back.clear()

    async def _ready(self) -> None:
        """Wait while the receiver takes no messages."""
        while True:
            if activity.is_worker_shutdown():
                raise ApplicationError("the worker stops: another one continues", type="WorkerStops")
            left = self._paused_until - self._clock.time()
            if left <= 0:
                self._waits.clear()
                return
            await asyncio.sleep(min(left, _BEAT))

    def _pause(self, seconds: float, why: str) -> None:
        self._paused_until = self._clock.time() + min(max(seconds, MOMENT), _LONGEST_PAUSE)
        self._waits[:] = [why]
        activity.heartbeat(why)

    def _adjust(self, row: Send) -> Send:
        found = self._services.destinations.book.get(row.to) if row.destination else None
        return row if found is None else row.as_asked(found.retry, found.timeout)

    async def _group(self, items: Sequence[CampaignItem]) -> None:
        ends: list[LineEnd] = []
        asked = await self._asked(items, ends)
        store = self._services.store
        answers = await store.admit_many([one.asking for one in asked])
        again = [
            one.item.line
            for one, answer in zip(asked, answers, strict=True)
            if isinstance(answer, AdmittedRun) and answer.again
        ]
        done = {*again}.difference(await store.pending_campaign_lines(self._campaign.name, again))
        lines: list[tuple[_Asked, CampaignLine]] = []
        for one, answer in zip(asked, answers, strict=True):
            number = one.item.line
            if number in done:
                continue  # by a worker that was taken for lost, and was not
            try:
                admitted = self._blast.admissions.admitted(answer, self._opened, number in self._withdrawn)
            except EntryRefused as error:
                ends.append(self._refused(number, error))
                continue
            if admitted.outcome:
                ends.append(LineEnd(number, "skipped", admitted.reason))
            elif admitted.taken_over_by or (
                # a killed chunk has started its journey
                admitted.again and await is_started(self._blast.temporal, one.asking.workflow_id, one.asking.run_id)
            ):
                ends.append(LineEnd(number, "entered"))
            else:
                lines.append((one, self._line(one, admitted.admitted_at)))
                if not admitted.again:
                    self._new.add(number)
        if self._once:
            lines = await self._marked(lines)
        rest = iter(lines)
        await asyncio.gather(*(self._perform(rest, ends) for _ in range(min(_AT_ONCE, len(lines)))))
        await self._record(ends)

    async def _marked(self, lines: list[tuple[_Asked, CampaignLine]]) -> list[tuple[_Asked, CampaignLine]]:
        """Mark lines, and return them without those that another worker has marked meanwhile."""
        asked = {one.item.line for one, _ in lines if not one.item.marked}
        marked = set(await self._services.store.mark_campaign_lines(self._campaign.name, sorted(asked)))
        if others := asked - marked:
            message = f"another worker sends {len(others)} of these lines: their outcomes are read again"
            self._trouble = ApplicationError(message, type="TwoWorkers")
        return [(one, line) for one, line in lines if one.item.line not in others]

    async def _withdraw(self) -> None:
        """Forget that lines were put back: nothing was sent, and they may wait for long."""
        if self._put_back:
            numbers = {one.item.line for one in self._put_back if not one.item.marked}
            new = {one.item.line: one.asking for one in self._put_back if one.item.line in self._new}
            journeys = [(one.workflow_id, one.run_id) for one in new.values()]
            await self._services.store.put_back_campaign_lines(self._campaign.name, sorted(numbers), journeys)
            self._new -= new.keys()
            self._withdrawn |= new.keys()

    async def _asked(self, items: Sequence[CampaignItem], ends: list[LineEnd]) -> list[_Asked]:
        """Return the requests for admission. Lines that the scenario refuses are added to `ends`."""
        erased = await self._services.store.erased_among({item.contact_id for item in items})
        now, asked = self._now(), list[_Asked]()
        for item in items:
            journey = item.journey or ""
            if item.contact_id in erased:
                ends.append(self._refused(item.line, EntryRefused(ERASED, "erased")))
                continue
            try:
                given = await self._codec.decode(journey, item.entry or "")
                entry = parse_entry(given)
                root = campaign_root(journey, self._campaign.created_at)
                values = clean(entry, self._platform)
                asking = self._blast.admissions.request(
                    entry, self._opened, journey, root, now, root=root, values=values
                )
            except (EntryRefused, EntryError) as error:
                ends.append(self._refused(item.line, error))
            except Erased as error:
                ends.append(self._refused(item.line, EntryRefused(str(error), "erased")))
            else:
                asked.append(_Asked(item, given, entry, values, asking))
        return asked

    def _refused(self, line: int, error: EntryRefused | EntryError) -> LineEnd:
        self._blast.admissions.count_refusal(self._opened.name, error)
        return LineEnd(line, "refused", str(error)[:_LONGEST])

    def _line(self, one: _Asked, admitted_at: datetime) -> CampaignLine:
        values, workflow_id = one.values, one.asking.workflow_id
        zone = zone_of(values["contact"].get("timezone"), self._course.plan.zone)
        entered = admitted_at.astimezone(UTC)
        root = journey_root(workflow_id, self._opened.name, self._opened.version, entered.isoformat())
        return CampaignLine(
            course=self._course,
            workflow_id=workflow_id,
            root=one.asking.run_id,
            entered=entered,
            zone=zone,
            values={**values, "journey": {**root, "timezone": str(zone)}},
            unknown=one.item.marked,
        )

    async def _perform(self, lines: Iterator[tuple[_Asked, CampaignLine]], ends: list[LineEnd]) -> None:
        """Perform lines at the chunk's rate, until none is left.

        They are put back while the receiver takes no messages, and once the chunk is cancelled or the worker stops.
        """
        for one, line in lines:
            now = self._clock.time()
            ahead = self._turn - now
            self._turn = max(self._turn, now - _BURST) + 1 / self._rate
            if ahead > 0:
                await asyncio.sleep(ahead)
            async with self._place:
                is_late = self._is_over or activity.is_worker_shutdown() or self._clock.time() < self._paused_until
                if not is_late:
                    await self._run(line)
            if is_late:
                self._put_back.append(one)
            else:
                await self._complete(one, line, ends)

    async def _complete(self, one: _Asked, line: CampaignLine, ends: list[LineEnd]) -> None:
        try:
            ends.append(await self._ended(one, line))
        except Exception as error:  # the line stays pending: the chunk's next attempt works on it again
            if not isinstance(error, (RPCError, OSError)):
                _logger.exception("a line of the campaign %s has no outcome", self._campaign.name)
            self._trouble = error

    async def _run(self, line: CampaignLine) -> None:
        try:
            await line.run()
        except Exception:  # a mistake in the program: the journey shows it to operators
            _logger.exception("a line of the campaign %s continues as a journey", self._campaign.name)

    async def _ended(self, one: _Asked, line: CampaignLine) -> LineEnd:
        """Return the outcome of a line. A line that has not ended continues as a journey."""
        number = one.item.line
        if line.ended is not None:
            outcome, reason = line.outcome()
            return LineEnd(number, outcome, reason and reason[:_LONGEST], self._departure(line, *line.ended))
        _, summary = identity(one.entry, self._opened.scenario, self._opened.version, self._platform, line.entered)
        try:
            is_journey = await hand_over(
                self._blast.temporal,
                entry=one.given,
                root=line.root,
                state=line.carried(),
                workflow_id=line.workflow_id,
                summary=summary,
            )
        except Erased as error:
            return LineEnd(number, "refused", str(error), self._departure(line, "exited", str(error)))
        if not is_journey:
            return LineEnd(number, "refused", _SOMEBODY_ELSE, self._departure(line, "exited", _SOMEBODY_ELSE))
        if line.held is not None:
            return LineEnd(number, "held", line.held.reason[:_LONGEST])
        return LineEnd(number, "entered", line.memory.deferral and f"it waits for {line.memory.deferral}")

    def _departure(self, line: CampaignLine, outcome: str, reason: str) -> LineDeparture:
        now = self._now()
        return LineDeparture(line.workflow_id, line.root, outcome, reason or None, now, line.passed())

    async def _record(self, ends: Sequence[LineEnd]) -> None:
        """Record outcomes. While the store is unavailable, nothing further is sent."""
        while True:
            try:
                await self._services.store.end_campaign_lines(self._campaign.name, ends, self._now())
                await self._withdraw()
            except StoreUnavailable:
                if activity.is_worker_shutdown():
                    raise
                await asyncio.sleep(_STORE_PAUSE)
            else:
                break
        for outcome, number in Counter(one.outcome for one in ends).items():
            CAMPAIGN_LINES.add(outcome, number=number)


async def _beat(waits: Sequence[str]) -> None:
    while True:
        activity.heartbeat(*waits)
        await asyncio.sleep(_BEAT)
