"""The answer to whether a contact got a message, and why, as one paragraph."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import zip_longest

from gateway.why.story import EntryStory, Happening
from scenario.plan.plan import Plan
from scenario.steps.delivery import Send
from scenario.time.timing import spell


def answer(contact: str, stories: Sequence[EntryStory], step: str) -> str:
    """Return whether a contact got a step's message, and why, for its newest entry to a scenario with that step.

    Args:
        contact: The contact's id.
        stories: The entries, newest first; at least one has the step.
        step: The step's id.
    """
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
        return f"Not yet: {story.now}."
    if (end := _ended(story, step)) is not None:
        sends = plan is not None and isinstance(plan.steps[step], Send)
        sure = "Perhaps" if end.what == "unknown" else "No" if sends else "It sends nothing"
        return f"{sure}: {_on(story, end)}."
    if plan is None or (story.at is not None and step in plan.ahead(story.at)):
        return f"Not yet: it comes after {story.at}. Now: {story.now}."
    if turned := _turned(story, plan, step):
        return f"No: the journey went another way at {turned.step}: {_on(story, turned)}."
    if not story.known:
        return f"That is not on record any more: {_on(story, story.happenings[-1])}."
    return f"No: the journey was over before: {_on(story, story.happenings[-1])}."


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
    """Return the last end of a step, optionally with a certain outcome."""
    ends = [one for one in story.happenings if one.step == step and one.over and what in (None, one.what)]
    return ends[-1] if ends else None


def _on(story: EntryStory, happening: Happening) -> str:
    return f"on {spell(_minute(happening.at), story.zone)}, {happening.words}"


def _minute(moment: datetime) -> datetime:
    return moment - timedelta(seconds=moment.second, microseconds=moment.microsecond)
