"""The story of an entry: its recorded events in order, in plain words. All functions are pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Annotated, Any, Final

from pydantic import ConfigDict, Field

from activities.channel_registry import CHANNELS
from runtime.store import StoredEntry
from scenario.plan.plan import Plan
from scenario.policies.draw import WITHHELD
from scenario.steps.delivery import Send
from scenario.steps.registry import is_delivery
from scenario.time import WEEKDAYS, zone_of
from service.journeys.snapshot import JourneySnapshot
from service.journeys.view import AttemptView, JourneyView, StepView
from service.view import View, Zone

_SKIPPED: Final[Mapping[str | None, str]] = {
    "capped": "a cap had no place",
    "suppressed": "the address is suppressed",
    "no_consent": "there was no consent",
    "expired": "it had waited too long",
}
"""Reasons for a skip by their words in the log, if the journey no longer has them."""
_ENDS: Final[Mapping[str, str]] = {
    "waited": "waited",
    "past": "its date was past",
    "event": "the event came",
    "timeout": "the event did not come in time",
    "left": "broken off",
    "exited": "the journey ends here",
}
"""Outcomes of steps that do not send; all other words are those of their branches."""


def clock(at: datetime, zone: tzinfo) -> str:
    """Return a moment as ``Tue 2026-03-03 21:04``."""
    local = at.astimezone(zone)
    return f"{WEEKDAYS[local.weekday()].capitalize()} {local:%Y-%m-%d %H:%M}"


def sent(step: StepView, attempts: Sequence[AttemptView]) -> str:
    """Return the end of a step's delivery, from the journey's record."""
    tries = len(attempts) or step.attempts or 0
    said, count = _tries(attempts, tries, step.status), f"after {tries} attempts" if tries > 1 else ""
    to = _to(attempts)
    match step.outcome:
        case "delivered":
            words = joined(f"sent{to}{said}", step.reason)
        case "batched":
            words = f"put into a batch call{to}"
        case "unknown":
            words = joined(f"may have been sent{to}", step.reason)
        case "failed":
            words = joined(" ".join(filter(None, (f"could not be sent{to}", count))), step.reason)
        case "left":
            words = " ".join(filter(None, ("no longer sent", count)))
        case _:
            words = joined("not sent", step.reason)
    return "; ".join(filter(None, (words, step.note)))


def tried(attempts: Sequence[AttemptView], zone: tzinfo) -> str:
    """Return a delivery without a recorded end: it is in progress, or the record is gone."""
    last = attempts[-1]
    to = _to(attempts)
    match last.outcome:
        case "delivered":
            words = f"sent{to}{_tries(attempts, len(attempts), last.status)}"
        case "batched":
            words = f"put into a batch call{to}"
        case "skipped":
            words = joined("not sent", _SKIPPED.get(last.error, ""))
        case "unknown":
            words = f"may have been sent{to}: no answer came"
        case "refused_answer":
            words = f"sent{to}, without the response that the step requires"
        case _:
            words = f"not delivered{to}: {_answers(attempts)}"
    if last.next_try_at:
        words += f"; next try {clock(last.next_try_at, zone)}"
    return words


def went(step: StepView, *, drawn: bool) -> str:
    """Return the end of a step that does not send, of which the branch may have been drawn."""
    outcome, reason = step.outcome, step.reason
    match outcome:
        case "left" | "exited":
            return _ENDS[outcome]
        case "skipped":
            return reason or outcome
        case "failed":
            return joined(outcome, reason)
        case _ if outcome in _ENDS:
            words = f"{_ENDS[outcome]} ({step.what})"
        case _ if drawn and step.note:  # which says the branch, and by which number it was drawn
            return step.note
        case _:
            words = f"{outcome} ({step.what})"
    return joined(words, "; ".join(filter(None, (step.way, reason, step.note))))


def _tries(attempts: Sequence[AttemptView], count: int, status: int | None) -> str:
    answered = f" ({status})" if status else ""
    if count < 2:
        return answered
    before = attempts[:-1]
    whose = "the 1st" if len(before) == 1 else "before"
    return f" at the {nth(count)} attempt{answered}" + (f"; {whose}: {_answers(before)}" if before else "")


def _answers(attempts: Iterable[AttemptView]) -> str:
    said = Counter(str(one.status or one.error or one.outcome) for one in attempts)
    return ", ".join(f"{word} ({times} times)" if times > 1 else word for word, times in said.items())


def _to(attempts: Sequence[AttemptView]) -> str:
    last = attempts[-1] if attempts else None
    if last is None or last.destination in ("", last.channel):
        return ""
    channel = CHANNELS.get(last.channel)
    return f" {'to' if channel and channel.addressed else 'by'} {last.destination}"


def standing(report: JourneyView, view: JourneySnapshot, zone: tzinfo, *, commands: bool = True) -> str:
    waiting: Mapping[str, Any] = report.waiting or {}
    at, paused = report.at, report.paused
    until = f" until {clock(datetime.fromisoformat(waiting['until']), zone)}" if waiting.get("until") else ""
    sends = view.plan is not None and isinstance(view.plan.steps.get(at or ""), Send)
    said: list[str] = []
    if report.state == "held":
        decide = f"decide with 'scenario retry|skip|leave {view.id} --reason …'"
        said.append(joined(f"held at {at}", decide if commands else report.reason))
    elif report.pending and not paused:
        going = report.pending[0]
        again = f", next try {clock(going.next_try_at, zone)}" if going.next_try_at else ""
        said.append(joined(f"{going.step} is being sent{again}", going.why))
    elif waiting and not paused and sends:
        said.append(f"{at} is kept back{until}: {waiting['for']}")
    elif waiting and not paused:
        what = "" if waiting["for"] == "time" else f" for {waiting['for']}"
        said.append(f"waits at {at}{what}{until}")
    elif not paused:
        said.append(f"{report.state} at {at}" if at else report.state)
    if paused:
        go_on = f"go on with 'scenario resume {view.id} --reason …'"
        said.append(joined(f"paused at {at} by {paused['operator']}", go_on if commands else paused["reason"]))
    if not report.answered:
        said.append("no worker answers: this is the last recorded state")
    return "; ".join(said)


def joined(words: str, why: str | None) -> str:
    return f"{words}: {why}" if why else words


def nth(number: int) -> str:
    teens = number % 100 in (11, 12, 13)
    return f"{number}{'th' if teens else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"


@dataclass(frozen=True)
class NotLetIn:
    """An entry that was refused, or is not decided yet."""

    id: str
    run_id: str
    scenario: str
    asked_at: datetime  # time of the entry
    reason: str | None  # why it was refused, or None if it is not decided yet


_TOLD_BY_STEPS: Final = ("skip_step", "leave")
"""Operations that the record of a step, or of the journey's end, already includes."""


_UNKNOWN: Final = datetime.min.replace(tzinfo=UTC)


class Happening(View):
    """An event in the course of an entry."""

    at: datetime
    """Time."""
    what: str = Field(examples=["delivered"])
    """In one word: `let in`, `refused`, `held`, the outcome of a step, an operation, `finished`, …"""
    words: str
    """In plain words, without the step."""
    step: str | None
    """Step id."""
    over: bool
    """True if the step ended with it."""
    delivery_id: str | None = None
    """Delivery, if the step sent something."""


class EntryStory(View):
    """The course of one entry."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    journey: str
    """Journey id."""
    run_id: str
    """First run."""
    scenario: str
    """Name and version of the scenario; only the name if the entry was not admitted."""
    key: str | None = None
    """Key that distinguishes several journeys of a contact."""
    asked_at: datetime
    """Time of the entry."""
    let_in: bool | None
    """True if it was admitted; null if that is not decided yet."""
    zone: Zone
    """Time zone of the words: the contact's, as far as it is known."""
    state: str
    """State of the journey."""
    happenings: list[Happening]
    """What happened, oldest first."""
    now: str | None = None
    """Where the journey is and what it waits for; null if it has ended."""
    at: str | None = None
    """Current step."""
    stands: Annotated[str, Field(exclude=True)] = ""
    """`now` without the commands by which an operator decides."""
    known: Annotated[bool, Field(exclude=True)] = True
    """True if the steps that were done are on record."""
    plan: Annotated[Plan | None, Field(exclude=True, repr=False)] = None
    """The version's plan; for an entry that was not admitted, the newest version's."""


def _happening(
    at: datetime,
    what: str,
    words: str,
    step: str | None = None,
    *,
    over: bool = False,
    attempts: Sequence[AttemptView] = (),
) -> Happening:
    delivery = attempts[-1].delivery_id if attempts else None
    return Happening(at=at, what=what, words=words, step=step, over=over, delivery_id=delivery)


def refused(entry: NotLetIn, plan: Plan | None) -> EntryStory:
    over = () if entry.reason is None else (_happening(entry.asked_at, "refused", f"not let in: {entry.reason}"),)
    asks = "" if over else "waits for admission: no worker has processed it yet"
    return EntryStory(
        journey=entry.id,
        run_id=entry.run_id,
        scenario=entry.scenario,
        asked_at=entry.asked_at,
        let_in=None if entry.reason is None else False,
        zone=zone_of(plan.zone if plan else None),
        state="refused" if over else "entering",
        happenings=list(over),
        now=asks or None,
        stands=asks,
        plan=plan,
    )


def told(view: JourneySnapshot, entry: StoredEntry) -> EntryStory:
    report = JourneyView.of(view)
    zone = zone_of((view.progress or {}).get("zone"), view.plan.zone if view.plan else None)
    happenings = [_entered(entry), *_on_the_way(report, view, zone), *_end(report, entry)]
    happenings.sort(key=lambda one: _second(one.at))
    under_way = view.status in ("running", "paused")
    return EntryStory(
        journey=view.id,
        run_id=entry.run_id,
        scenario=report.scenario or entry.scenario,
        key=entry.key,
        asked_at=entry.admitted_at,
        let_in=True,
        zone=zone,
        state=report.state,
        happenings=happenings,
        now=standing(report, view, zone) if under_way else None,
        stands=standing(report, view, zone, commands=False) if under_way else "",
        at=report.at,
        known=view.progress is not None or view.result is not None or view.status == "inline",
        plan=view.plan,
    )


# ---- one entry


def _entered(entry: StoredEntry) -> Happening:
    facts = [f"by {entry.trigger}" if entry.trigger else "", f"with the key {entry.key}" if entry.key else ""]
    facts.append(f"to be sent by the campaign {entry.key} without a workflow" if entry.is_inline else "")
    facts.append(f"for the {nth(entry.ordinal)} time" if entry.ordinal > 1 else "")
    if entry.outcome in WITHHELD:
        facts.append(f"to get nothing: {entry.reason}")
    return _happening(entry.admitted_at, "let in", " ".join(["let in", *filter(None, facts)]))


def _end(report: JourneyView, entry: StoredEntry) -> Iterator[Happening]:
    if entry.reached_at is not None:
        worth = f", worth {entry.goal_value}" if entry.goal_value else ""
        yield _happening(entry.reached_at, "goal", f"the goal was reached{worth}")
    if entry.ended_at is not None and report.state not in WITHHELD:
        word = "left" if report.state == "exited" else report.state
        yield _happening(entry.ended_at, report.state, joined(word, report.reason))


def _on_the_way(report: JourneyView, view: JourneySnapshot, zone: tzinfo) -> list[Happening]:
    """Return steps, holds, operations and ignored input in order; within a second, causes first."""
    done = [step for step in report.steps if step.state == "done"]
    ends = [step.at or _UNKNOWN for step in done]
    by_delivery: dict[str, list[AttemptView]] = {}
    for attempt in report.deliveries:
        by_delivery.setdefault(attempt.delivery_id, []).append(attempt)
    made = list(by_delivery.values())
    nothing: list[AttemptView] = []
    found: list[tuple[datetime, int, int, Happening]] = []

    def add(happening: Happening, rank: int, place: int | None = None) -> None:
        if place is None:
            ahead = (index for index, end in enumerate(ends) if end >= _second(happening.at))
            place = next((at for at in ahead if happening.step in (None, done[at].id)), len(done))
        found.append((_second(happening.at), place, rank, happening))

    for place in reversed(range(len(done))):
        step, began = done[place], ends[place - 1] if place else None
        own = next((one for one in reversed(made) if _is_of(one[0], step, began, ends[place])), nothing)
        made = [one for one in made if one is not own]
        row = view.plan.steps.get(step.id) if view.plan else None
        drawn = row is not None and row.lot is not None
        words = sent(step, own) if is_delivery(step.kind) else went(step, drawn=drawn)
        add(_happening(ends[place], step.outcome or "", words, step.id, over=True, attempts=own), 9, place)
    for attempts in made:
        last = attempts[-1]
        over = last.outcome != "retry"
        told = tried(attempts, zone)
        add(_happening(last.started_at, last.outcome, told, last.step, over=over, attempts=attempts), 0)
    for held in _holds(report, view):
        add(held, 1)
    for done_by in report.operations:
        if done_by["name"] not in _TOLD_BY_STEPS:
            words = f"{done_by['name'].replace('_', ' ')} by {done_by['operator']}: {done_by['reason']}"
            add(_happening(datetime.fromisoformat(done_by["at"]), done_by["name"], words, done_by.get("step")), 2)
    for lost in report.passed_over:
        often = f" {lost['count']} times" if lost["count"] > 1 else ""
        words = f"{lost['what']} ignored{often}: {lost['reason']}"
        add(_happening(datetime.fromisoformat(lost["at"]), "ignored", words), 3)
    return [one[-1] for one in sorted(found, key=lambda one: one[:3])]


def _holds(report: JourneyView, view: JourneySnapshot) -> Iterator[Happening]:
    waiting: Mapping[str, Any] = report.waiting or {}
    present = waiting if report.state == "held" else {}
    for held in (view.last_held, present) if view.last_held.get("at") != present.get("at") else (present,):
        if held.get("at"):
            yield _happening(datetime.fromisoformat(held["at"]), "held", f"held: {held['reason']}", held["step"])


def _is_of(first: AttemptView, step: StepView, began: datetime | None, end: datetime) -> bool:
    at = _second(first.started_at)
    return first.step == step.id and (began is None or began <= at) and at <= end


def _second(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)
