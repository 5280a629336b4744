"""What became of an entry, in plain words: what is on record of it, in the order in which it happened.

Everything here is a pure function of what others have looked up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import Any, Final

from gateway.journeys import as_json
from gateway.journeys.of_contact import NotLetIn
from gateway.journeys.view import JourneyView
from gateway.why.words import joined, moment, nth, sent, standing, tried, went
from runtime.store import StoredEntry
from scenario.plan.plan import Plan
from scenario.policies.draw import WITHHELD
from scenario.steps.registry import is_delivery
from scenario.time.timing import zone_of

_TOLD_BY_STEPS: Final = ("skip_step", "leave")
"""Operations that the record of the step, or of the journey's end, tells with their reasons."""


@dataclass(frozen=True)
class Happening:
    """Something that happened on the way.

    Attributes:
        at: When.
        what: In one word: ``let in``, ``refused``, the outcome of a step, ``held``, an operation, ``finished``, …
        words: In plain words, without the step.
        step: The step's id, where it is about one.
        over: Whether the step was over with it.
    """

    at: datetime
    what: str
    words: str
    step: str | None = None
    over: bool = False


@dataclass(frozen=True, kw_only=True)
class EntryStory:
    """What became of one entry.

    Attributes:
        journey: The workflow id.
        run_id: Its first run.
        scenario: Name and version; of an entry that was not let in, the name.
        key: What tells it from others of the contact.
        asked_at: When it asked to come in.
        let_in: Whether it came in; None where that is not known yet.
        zone: On whose clock times are told: the contact's, as far as it is known.
        state: What it is doing, or how it ended: see `gateway.journeys.as_json`.
        happenings: What happened, the oldest first.
        now: Where it stands and what it waits for; empty where it is over.
        stands: The same, without the commands by which an operator decides.
        at: The step at which it stands.
        known: Whether the steps that it went through are on record, beside what was sent.
        plan: What it follows; of an entry that was not let in, the newest version. None where there is none.
    """

    journey: str
    run_id: str
    scenario: str
    key: str | None = None
    asked_at: datetime
    let_in: bool | None
    zone: tzinfo
    state: str
    happenings: tuple[Happening, ...]
    now: str = ""
    stands: str = ""
    at: str | None = None
    known: bool = True
    plan: Plan | None = field(default=None, repr=False)


def refused(entry: NotLetIn, plan: Plan | None) -> EntryStory:
    """What became of an entry that was not let in.

    Args:
        entry: The entry.
        plan: The newest version of its scenario, if there is one.
    """
    over = () if entry.reason is None else (Happening(entry.asked_at, "refused", f"not let in: {entry.reason}"),)
    asks = "" if over else "asks to come in: no worker has looked at it yet"
    return EntryStory(
        journey=entry.id,
        run_id=entry.run_id,
        scenario=entry.scenario,
        asked_at=entry.asked_at,
        let_in=None if entry.reason is None else False,
        zone=zone_of(plan.zone if plan else None),
        state="refused" if over else "entering",
        happenings=over,
        now=asks,
        stands=asks,
        plan=plan,
    )


def told(view: JourneyView, entry: StoredEntry) -> EntryStory:
    """What became of an entry that was let in.

    Args:
        view: Its journey.
        entry: As the store has it.
    """
    report = as_json.journey(view)
    zone = zone_of((view.progress or {}).get("zone"), view.plan.zone if view.plan else None)
    happenings = [_entered(entry), *_on_the_way(report, view, zone), *_end(report, entry)]
    happenings.sort(key=lambda one: _second(one.at))
    under_way = view.status in ("running", "paused")
    return EntryStory(
        journey=view.id,
        run_id=entry.run_id,
        scenario=report["scenario"],
        key=entry.key,
        asked_at=entry.admitted_at,
        let_in=True,
        zone=zone,
        state=report["state"],
        happenings=tuple(happenings),
        now=standing(report, view, zone) if under_way else "",
        stands=standing(report, view, zone, commands=False) if under_way else "",
        at=report["at"],
        known=view.progress is not None or view.result is not None,
        plan=view.plan,
    )


# ---- one entry


def _entered(entry: StoredEntry) -> Happening:
    facts = [f"by {entry.trigger}" if entry.trigger else "", f"with the key {entry.key}" if entry.key else ""]
    facts.append(f"for the {nth(entry.ordinal)} time" if entry.ordinal > 1 else "")
    if entry.outcome in WITHHELD:
        facts.append(f"to get nothing: {entry.reason}")
    return Happening(entry.admitted_at, "let in", " ".join(["let in", *filter(None, facts)]))


def _end(report: Mapping[str, Any], entry: StoredEntry) -> Iterator[Happening]:
    if entry.reached_at is not None:
        yield Happening(entry.reached_at, "goal", f"the goal was reached{_worth(entry)}")
    if entry.ended_at is not None and report["state"] not in WITHHELD:
        word = "left" if report["state"] == "exited" else report["state"]
        yield Happening(entry.ended_at, report["state"], joined(word, report["reason"]))


def _worth(entry: StoredEntry) -> str:
    return f", worth {entry.goal_value}" if entry.goal_value else ""


def _on_the_way(report: Mapping[str, Any], view: JourneyView, zone: tzinfo) -> list[Happening]:
    """Steps, holds, operations and what was ignored, in their order: of the same second, what led to the other."""
    done = [step for step in report["steps"] if step["state"] == "done"]
    ends = [moment(step["at"]) for step in done]
    made = _deliveries(report["deliveries"])
    nothing: list[Mapping[str, Any]] = []
    found: list[tuple[datetime, int, int, Happening]] = []

    def add(happening: Happening, rank: int, place: int | None = None) -> None:
        if place is None:
            ahead = (index for index, end in enumerate(ends) if end >= _second(happening.at))
            place = next((at for at in ahead if happening.step in (None, done[at]["id"])), len(done))
        found.append((_second(happening.at), place, rank, happening))

    for place in reversed(range(len(done))):
        step, began = done[place], ends[place - 1] if place else None
        own = next((one for one in reversed(made) if _is_of(one[0], step, began, ends[place])), nothing)
        made = [one for one in made if one is not own]
        row = view.plan.steps.get(step["id"]) if view.plan else None
        drawn = row is not None and row.lot is not None
        words = sent(step, own) if is_delivery(step["kind"]) else went(step, drawn=drawn)
        add(Happening(ends[place], step["outcome"], words, step["id"], over=True), 9, place)
    for attempts in made:
        last = attempts[-1]
        over = last["outcome"] != "retry"
        add(Happening(moment(last["started_at"]), last["outcome"], tried(attempts, zone), last["step"], over=over), 0)
    for held in _holds(report, view):
        add(held, 1)
    for done_by in report["operations"]:
        if done_by["name"] not in _TOLD_BY_STEPS:
            words = f"{done_by['name'].replace('_', ' ')} by {done_by['operator']}: {done_by['reason']}"
            add(Happening(moment(done_by["at"]), done_by["name"], words, done_by.get("step")), 2)
    for lost in report["passed_over"]:
        often = f" {lost['count']} times" if lost["count"] > 1 else ""
        add(Happening(moment(lost["at"]), "ignored", f"{lost['what']} ignored{often}: {lost['reason']}"), 3)
    return [one[-1] for one in sorted(found, key=lambda one: one[:3])]


def _holds(report: Mapping[str, Any], view: JourneyView) -> Iterator[Happening]:
    """That it is held, and that it was the last time before."""
    waiting: Mapping[str, Any] = report["waiting"] or {}
    present = waiting if report["state"] == "held" else {}
    for held in (view.last_held, present) if view.last_held.get("at") != present.get("at") else (present,):
        if held.get("at"):
            yield Happening(moment(held["at"]), "held", f"held for an operator: {held['reason']}", held["step"])


def _deliveries(attempts: Iterable[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """The attempts of each delivery."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for attempt in attempts:
        found.setdefault(attempt["delivery_id"], []).append(attempt)
    return list(found.values())


def _is_of(first: Mapping[str, Any], step: Mapping[str, Any], began: datetime | None, end: datetime) -> bool:
    """Whether an attempt is a step's, which may have been performed several times."""
    at = _second(moment(first["started_at"]))
    return first["step"] == step["id"] and (began is None or began <= at) and at <= end


def _second(moment: datetime) -> datetime:
    """Records of steps have whole seconds."""
    return moment.replace(microsecond=0)
