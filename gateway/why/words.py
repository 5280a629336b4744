"""Words for the events of an entry."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, tzinfo
from typing import Any, Final

from activities.channel_registry import CHANNELS
from gateway.journeys.snapshot import JourneySnapshot
from gateway.service.journey_view import AttemptView, JourneyView, StepView
from scenario.steps.delivery import Send
from scenario.time.timing import WEEKDAYS

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
    """Return the successful attempt's number, and the answers to earlier ones."""
    answered = f" ({status})" if status else ""
    if count < 2:
        return answered
    before = attempts[:-1]
    whose = "the 1st" if len(before) == 1 else "before"
    return f" at the {nth(count)} attempt{answered}" + (f"; {whose}: {_answers(before)}" if before else "")


def _answers(attempts: Iterable[AttemptView]) -> str:
    """Return the answers: ``503 (3 times), timeout``."""
    said = Counter(str(one.status or one.error or one.outcome) for one in attempts)
    return ", ".join(f"{word} ({times} times)" if times > 1 else word for word, times in said.items())


def _to(attempts: Sequence[AttemptView]) -> str:
    """Return the destination, or the provider."""
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
