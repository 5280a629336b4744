"""Why a contact did, or did not, get a message: the stories of its entries, its places under caps, and one answer."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import zip_longest
from typing import Final

from pydantic import ConfigDict
from temporalio.client import Client

from gateway.errors import BadInput, NotFound
from gateway.service.view import Moment, PageRequest, View, Zone, encode_cursor
from gateway.why import of_contact
from gateway.why.of_contact import Period
from gateway.why.story import EntryStory, Happening, refused, told
from runtime.store import Store
from runtime.store.erasures import ERASED
from scenario.plan.plan import Plan, load_plan
from scenario.policies import caps
from scenario.policies.caps import Cap, Counted, full
from scenario.policies.policies import Policies
from scenario.source.findings import listed, near
from scenario.steps.delivery import Send
from scenario.time import format_duration, spell, zone_of
from scenario.words import BATCHED


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
    # The end of a period is exclusive. Entries of the same moment may be on this page.
    period = Period(since, last and last[0] + timedelta(microseconds=1))
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


async def _stories(
    temporal: Client, store: Store, contact: str, scenario: str | None, period: Period, limit: int
) -> tuple[list[EntryStory], datetime | None]:
    """Return the stories of a contact's entries, and the time since which they are complete if there are too many."""
    let_in, (others, complete_since) = await asyncio.gather(
        of_contact.journeys(temporal, store, contact, scenario, period, limit),
        of_contact.not_let_in(temporal, store, contact, scenario, period, limit),
    )
    names = {entry.scenario for entry in others}
    plans = {name: load_plan(newest.plan) for name in names if (newest := await store.version(name))}
    stories = [told(view, view.entry) for view in let_in if view.entry is not None]
    known = {story.run_id for story in stories}  # admitted while Temporal was asked
    stories += [refused(entry, plans.get(entry.scenario)) for entry in others if entry.run_id not in known]
    return stories, complete_since


def _order(story: EntryStory) -> tuple[datetime, str]:
    return story.asked_at, story.run_id


async def _answered(store: Store, contact: str, stories: Sequence[EntryStory], question: Question) -> str:
    step = question.step
    about = [story for story in stories if question.scenario in (None, story.scenario.partition("@")[0])]
    _require(about, step)
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


def _require(stories: Sequence[EntryStory], step: str) -> None:
    names = {name: None for story in stories if story.plan for name in story.plan.steps}
    if step in names:
        return
    guess = near(step, names)
    there = f"there are {listed(names, 'and')}" if names else "none is known"
    hint = f"did you mean '{guess}'?" if guess else there
    raise BadInput(f"no scenario that the contact asked for has a step '{step}': {hint}")


async def _nobody(store: Store, contact: str, scenario: str | None, since: datetime | None) -> str:
    if await store.is_erased(contact):
        return ERASED
    if not (scenario or since) or not await store.has_entered(contact):
        where = f" in {scenario}" if scenario else ""
        return (
            f"nothing is on record of a contact '{contact}'{where}: it has never entered, or Temporal has "
            f"deleted its refused entries since"
        )
    place, time = f" in {scenario}" if scenario else "", " since then" if since else ""
    return f"contact {contact} has no entries{place}{time}"


def answer(contact: str, stories: Sequence[EntryStory], step: str) -> str:
    """Return whether a contact got a step's message, and why, for its newest entry to a scenario with that step."""
    newest, *earlier = (story for story in stories if story.plan and step in story.plan.steps)
    said = f"Did contact {contact} get '{step}' of {newest.scenario}? {_answer(newest, newest.plan, step)}"
    got = next((one for story in earlier if (one := _ended(story, step, "delivered"))), None)
    if got is not None and _ended(newest, step, "delivered") is None:
        said += f" By an earlier entry, on {spell(_minute(got.at), earlier[0].zone)}, it was {got.words}."
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
    return f"on {spell(_minute(happening.at), story.zone)}, {happening.words}"


def _minute(moment: datetime) -> datetime:
    return moment - timedelta(seconds=moment.second, microseconds=moment.microsecond)
