"""Why a contact did, or did not, get a message: the stories of its entries, its places under caps, and one answer."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import partial
from itertools import zip_longest
from typing import Final, NamedTuple

from pydantic import ConfigDict
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from authoring.errors import BadInput
from runtime.search_attributes import CONTACT_ID, JOURNEY_STATE, SCENARIO_NAME
from runtime.store import Store
from runtime.store.erasures import ERASED
from scenario.entry.entry import journeys_of
from scenario.plan.plan import Plan
from scenario.policies import caps
from scenario.policies.caps import Cap, Counted, full
from scenario.policies.policies import Policies
from scenario.source.findings import listed, near
from scenario.steps.delivery import Send
from scenario.time import format_duration, zone_of
from scenario.words import BATCHED
from service.concurrency import gather_some
from service.errors import BadCursor, NotFound
from service.index import JourneyIndex, equals, literal, one_of
from service.journeys.snapshot import JourneySnapshot, describe, end_of, read_admitted, read_plan
from service.view import Moment, PageRequest, View, Zone, encode_cursor
from service.why.story import EntryStory, Happening, NotLetIn, clock, refused, told


class CapPlaces(View):
    """A contact's current places under a cap."""

    cap: str
    """Name of the cap."""
    taken: int
    """Places taken."""
    at_most: int
    """Maximum number of places."""
    per: str
    """Period: `day`, `7d`."""
    free_at: datetime | None
    """Time at which the next place is free; null if one is free now."""


def places(caps: Iterable[Cap], claims: Sequence[Counted], now: datetime, zone: tzinfo) -> list[CapPlaces]:
    found: list[CapPlaces] = []
    for cap in caps:
        since, none = cap.since(now, zone), full([cap], claims, now, zone)
        taken = sum(cap.applies_to(one.channel, one.destination) and one.claimed_at >= since for one in claims)
        per = cap.per if isinstance(cap.per, str) else format_duration(cap.per)
        found.append(CapPlaces(cap=cap.name, taken=taken, at_most=cap.at_most, per=per, free_at=none and none.free))
    return found


class WhyView(View):
    """The reasons why a contact did, or did not, get something."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    contact: str
    """Contact id."""
    step: str | None
    """Step of the message in question, if one was named."""
    answer: str | None
    """Whether the contact got the message, and why; null if no step was named."""
    entries: list[EntryStory]
    """The contact's entries, the newest first."""
    caps: list[CapPlaces] | None
    """The contact's places under caps; null if no policies are configured here, or the key is for some scenarios."""
    zone: Zone
    """Time zone of the caps."""
    next: str | None = None
    """Cursor of the next page of entries; null if this is the last."""


@dataclass(frozen=True)
class Question:
    """The question whether a contact got a step's message."""

    step: str
    scenario: str | None = None  # the scenario of the step, or None for the newest entry that has such a step


async def why(
    temporal: Client,
    store: Store,
    contact: str,
    scenarios: Collection[str | None],
    *,
    question: Question | None = None,
    since: datetime | None = None,
    page: PageRequest,
    policies: Policies | None = None,
) -> WhyView:
    """Explain a contact's entries to some scenarios, or to all for None. See `JourneyService.why`."""
    last = page.place(tuple[Moment, str])  # the time and the run of an entry
    try:  # the end of a period is exclusive, and entries of the same moment may be on this page
        period = Period(since, last and last[0] + timedelta(microseconds=1))
    except OverflowError:
        raise BadCursor from None
    wanted = page.limit + 2  # the last one of the page before, and one more to know that there are more
    found = await asyncio.gather(*(_stories(temporal, store, contact, one, period, wanted) for one in scenarios))
    stories = [story for some, _ in found for story in some if last is None or _order(story) < last]
    complete_since = max((at for _, at in found if at is not None), default=None)
    if complete_since is not None:
        stories = [story for story in stories if story.asked_at >= complete_since]
    stories.sort(key=_order, reverse=True)
    following: tuple[datetime, str] | None = (complete_since, "") if complete_since else None
    if len(stories) > page.limit:
        del stories[page.limit :]
        following = _order(stories[-1])
    if not stories and not following:
        (only,) = scenarios if len(scenarios) == 1 else (None,)
        raise NotFound(await _nobody(store, contact, only, since))
    now, zone = datetime.now(UTC), stories[0].zone if stories else zone_of()
    taken: list[CapPlaces] | None = None
    if policies is not None:
        back = caps.since(policies.caps, now, zone) if policies.caps else now
        taken = places(policies.caps, await store.claims_of(contact, back), now, zone)
    return WhyView(
        contact=contact,
        step=question and question.step,
        answer=question and await _answered(store, contact, stories, question),
        entries=stories,
        caps=taken,
        zone=zone,
        next=encode_cursor(following) if following else None,
    )


# ---- all entries: the store has the admitted ones, and only Temporal the refused ones, until its retention ends

STARTED: Final = "WorkflowType = 'Journey' AND ExecutionStatus IN ('Completed', 'Running')"
_UNDECIDED: Final = f"{STARTED} AND {equals(JOURNEY_STATE, None)}"
"""Journeys that have waited were admitted: the server leaves them out."""
_CHUNK: Final = 20  # scenarios in one query
_LOOKED_AT: Final = 200  # runs that are looked at one by one, for each query
_ASKED: Final = 20  # at the same time: without a worker, each waits for seconds


@dataclass(frozen=True)
class Period:
    """A period in which entries were asked for."""

    since: datetime | None = None
    until: datetime | None = None  # its end, exclusive

    def includes(self, moment: datetime) -> bool:
        return (self.since is None or self.since <= moment) and (self.until is None or moment < self.until)

    @property
    def condition(self) -> str:
        since = f" AND StartTime >= {literal(self.since.isoformat())}" if self.since else ""
        return since + (f" AND StartTime < {literal(self.until.isoformat())}" if self.until else "")


class _Run(NamedTuple):
    id: str
    run_id: str
    started: datetime
    running: bool


async def _journeys(
    temporal: Client, store: Store, contact: str, scenario: str | None, period: Period, limit: int
) -> list[JourneySnapshot]:
    entries = await store.entries(
        contact_id=contact, scenario=scenario, since=period.since, until=period.until, limit=limit
    )
    return await gather_some(_ASKED, partial(read_admitted, temporal, store), entries)


async def _not_let_in(
    temporal: Client, store: Store, contact: str, scenario: str | None, period: Period, limit: int
) -> tuple[list[NotLetIn], datetime | None]:
    """Return a contact's refused and pending entries, newest first.

    They are found by the search attribute of the contact, or by the workflow's id, since engines need not set the
    attribute. If there are too many runs to look at all, also return the time before which none was looked at.
    """
    names = [scenario] if scenario else [found.scenario for found in await store.scenarios()]
    runs, complete_since = await _runs(temporal, contact, names, period, everywhere=scenario is None)
    under_way = await store.find_running({run.id for run in runs if run.running})
    # A run may still be open that the store has ended: a control contact's, say.
    known = await store.admitted({(run.id, run.run_id) for run in runs})
    newest = sorted(runs, key=lambda run: run.started, reverse=True)
    asking = [run for run in newest if run[:2] not in known and not (run.running and run.id in under_way)]
    found: list[NotLetIn] = []
    for start in range(0, len(asking), _ASKED):
        some = asking[start : start + _ASKED]
        found += filter(None, await asyncio.gather(*(_asked(temporal, run) for run in some)))
        if len(found) >= limit:
            break
    return found[:limit], complete_since


async def _asked(temporal: Client, run: _Run) -> NotLetIn | None:
    name = run.id.partition("/")[0]
    if run.running:
        return NotLetIn(run.id, run.run_id, name, run.started, None)
    result, _ = await end_of(temporal.get_workflow_handle(run.id, run_id=run.run_id))
    if result is None or result.get("outcome") != "refused":
        return None
    return NotLetIn(run.id, run.run_id, name, run.started, str(result.get("reason") or "no reason is on record"))


async def _runs(
    temporal: Client, contact: str, names: Sequence[str], period: Period, *, everywhere: bool
) -> tuple[set[_Run], datetime | None]:
    """Return a contact's runs that may not have been admitted, and the time of the oldest one if there are more."""
    found, complete_since = set[_Run](), None
    try:
        for query in _queries(contact, names, everywhere=everywhere):
            runs = await JourneyIndex(temporal).find(f"{query}{period.condition}", limit=_LOOKED_AT)
            found |= {_Run(one.id, one.run_id, one.started_at, one.is_running) for one in runs}
            if len(runs) == _LOOKED_AT:
                complete_since = max(filter(None, (complete_since, runs[-1].started_at)))
    except RPCError as error:
        if error.status is not RPCStatusCode.UNIMPLEMENTED:
            raise
        # A server without search has the newest run of each id nevertheless.
        for name in names:
            if (described := await describe(temporal, journeys_of(name, contact))) is not None:
                info = described.workflow_execution_info
                run = _Run(
                    info.execution.workflow_id,
                    info.execution.run_id,
                    info.start_time.ToDatetime(tzinfo=UTC),
                    not info.HasField("close_time"),
                )
                found |= {run} if period.includes(run.started) else set()
    return found, complete_since


def _queries(contact: str, names: Sequence[str], *, everywhere: bool) -> Iterator[str]:
    marked = f"{_UNDECIDED} AND {equals(CONTACT_ID, contact)}"
    yield marked if everywhere else f"{marked} AND {equals(SCENARIO_NAME, names[0])}"
    for start in range(0, len(names), _CHUNK):
        ids = [journeys_of(name, contact) for name in names[start : start + _CHUNK]]
        begun = (f"WorkflowId STARTS_WITH {literal(f'{name}/')}" for name in ids)
        yield f"{_UNDECIDED} AND ({' OR '.join((one_of('WorkflowId', ids), *begun))})"


async def _stories(
    temporal: Client, store: Store, contact: str, scenario: str | None, period: Period, limit: int
) -> tuple[list[EntryStory], datetime | None]:
    """Return the stories of a contact's entries, and the time since which they are complete if there are too many."""
    let_in, (others, complete_since) = await asyncio.gather(
        _journeys(temporal, store, contact, scenario, period, limit),
        _not_let_in(temporal, store, contact, scenario, period, limit),
    )
    plans = {name: await read_plan(store, name) for name in {entry.scenario for entry in others}}
    stories = [told(view, view.entry) for view in let_in if view.entry is not None]
    known = {story.run_id for story in stories}  # admitted while Temporal was asked
    stories += [refused(entry, plans.get(entry.scenario)) for entry in others if entry.run_id not in known]
    return stories, complete_since


def _order(story: EntryStory) -> tuple[datetime, str]:
    return story.asked_at, story.run_id


async def _answered(store: Store, contact: str, stories: Sequence[EntryStory], question: Question) -> str:
    step = question.step
    about = [story for story in stories if question.scenario in (None, story.scenario.partition("@")[0])]
    names = {name: None for story in about if story.plan for name in story.plan.steps}
    if step not in names:
        guess = near(step, names)
        there = f"there are {listed(names, 'and')}" if names else "none is known"
        hint = f"did you mean '{guess}'?" if guess else there
        raise BadInput(f"no scenario that the contact asked for has a step '{step}': {hint}")
    said = answer(contact, about, step)
    if (end := _ended(about[0], step)) is not None and end.what == BATCHED:
        said = await _in_batch(store, contact, about[0], step, said)
    return said


_IN_BATCH: Final = {
    "delivered": ("Yes", "The receiver took the contact"),
    "refused": ("No", "The receiver refused the contact"),
    "skipped": ("No", "The batch call was given up"),
    "unknown": ("Perhaps", "The receiver's response does not say what became of the contact"),
}
_PENDING: Final = ("Not yet", "The batch call has no answer yet")


async def _in_batch(store: Store, contact: str, story: EntryStory, step: str, said: str) -> str:
    """Return the answer about a message that went into a batch call, with the outcome of the call."""
    for item in await store.batch_items_of(contact):
        batch = await store.stored_batch(item.batch) if item.workflow_id == story.journey else None
        if batch is not None and batch.step == step:
            word, words = _IN_BATCH.get(item.outcome or "", _PENDING)
            because = f": {item.reason}" if item.reason else ""
            return f"{said.replace('Perhaps', word, 1)} {words}{because}."
    return said


async def _nobody(store: Store, contact: str, scenario: str | None, since: datetime | None) -> str:
    if await store.is_erased(contact):
        return ERASED
    where, when = f" in {scenario}" if scenario else "", " since then" if since else ""
    if (scenario or since) and await store.has_entered(contact):
        return f"contact {contact} has no entries{where}{when}"
    why = "it has never entered, or Temporal has deleted its refused entries since"
    return f"nothing is on record of a contact '{contact}'{where}: {why}"


def answer(contact: str, stories: Sequence[EntryStory], step: str) -> str:
    """Return whether a contact got a step's message, and why, for its newest entry to a scenario with that step."""
    newest, *earlier = (story for story in stories if story.plan and step in story.plan.steps)
    said = f"Did contact {contact} get '{step}' of {newest.scenario}? {_answer(newest, newest.plan, step)}"
    got = next((one for story in earlier if (one := _ended(story, step, "delivered"))), None)
    if got is not None and _ended(newest, step, "delivered") is None:
        zone = earlier[0].zone
        said += f" By an earlier entry, on {clock(got.at, zone)} {zone}, it was {got.words}."
    return said


def _answer(story: EntryStory, plan: Plan | None, step: str) -> str:
    if not story.let_in:
        said = _on(story, story.happenings[0]) if story.happenings else story.now
        return f"{'Not yet' if story.let_in is None else 'No'}: {said}."
    if got := _ended(story, step, "delivered"):
        return f"Yes: {_on(story, got)}."
    if story.at == step:
        return f"Not yet: {story.stands}."
    if (end := _ended(story, step)) is not None:
        sends = plan is not None and isinstance(plan.steps[step], Send)
        sure = "Perhaps" if end.what in ("unknown", BATCHED) else "No" if sends else "It sends nothing"
        return f"{sure}: {_on(story, end)}."
    if plan is None or (story.at is not None and step in plan.ahead(story.at)):
        return f"Not yet: it comes after {story.at}. Now: {story.stands}."
    if turned := _turned(story, plan, step):
        return f"No: the journey went another way at {turned.step}: {_on(story, turned)}."
    if not story.known:
        return f"That is not on record any more: {_on(story, story.happenings[-1])}."
    end = next((one for one in reversed(story.happenings) if one.what != "goal"), story.happenings[-1])
    return f"No: the journey was over before: {_on(story, end)}."


def _turned(story: EntryStory, plan: Plan, step: str) -> Happening | None:
    """Return where the journey took another branch than that of a step, unless it ended."""
    over = [one for one in story.happenings if one.over and one.step in plan.steps]
    for one, following in zip_longest(over, over[1:]):
        after = following.step if following else story.at
        ahead = after is not None and after in plan.steps and (after == step or step in plan.ahead(after))
        forks = len(plan.steps[one.step or ""].ways) > 1
        if forks and step in plan.ahead(one.step or "") and not ahead:
            return None if one.what == "left" else one
    return None


def _ended(story: EntryStory, step: str, what: str | None = None) -> Happening | None:
    ends = [one for one in story.happenings if one.step == step and one.over and what in (None, one.what)]
    return ends[-1] if ends else None


def _on(story: EntryStory, happening: Happening) -> str:
    return f"on {clock(happening.at, story.zone)} {story.zone}, {happening.words}"
