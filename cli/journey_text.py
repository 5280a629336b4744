"""Journeys on a terminal: lists of journeys, deliveries in progress and attempts, and one journey in full."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any, Final
from zoneinfo import ZoneInfo

from rich.text import Text

from cli.output import Table, print_line, print_prose
from cli.terminal import console, local, styled, text
from scenario.time import format_duration
from scenario.type_guards import is_mapping
from service.destinations import PendingDelivery
from service.journeys.snapshot import DeliveryStatus
from service.journeys.view import AttemptView, JourneyView
from service.listing import JourneySummary
from workflows.state import MARKS

_MARKS: Final = {"done": "✓", "now": "▶", "to come": "·"}
_EXCERPT: Final = 300
_SHORT_EXCERPT: Final = 72  # characters of a response in a list


def journeys(found: Sequence[JourneySummary]) -> None:
    rows = Table("journey", "scenario", "state", "step", "entered (local)", "why", prose=("why",))
    for item in found:
        rows.add(item.id, item.scenario, state(item.state, item.reason), item.step, local(item.entered_at), item.reason)
    rows.show()


def held(found: Sequence[JourneySummary]) -> None:
    """Print journeys that wait for an operator: where, why, since when."""
    columns = ("journey", "scenario", "step", "destination", "reason", "since (local)", "status", "why")
    rows = Table(*columns, right=("status",), prose=("why",))
    for item in found:
        place = item.id, item.scenario, item.step, item.destination
        why = styled("held", item.held_reason or item.state)
        rows.add(*place, why, local(item.since), item.status, item.reason)
    rows.show()


def flights(found: Sequence[PendingDelivery]) -> None:
    """Print deliveries in progress. Those not yet attempted have fewer columns."""
    columns = ("journey", "step", "try", "latest", "status", "error", "now", "next try (local)")
    rows = Table(*columns, right=("try", "status"), prose=("error",))
    for item in found:
        latest = item.latest
        tried = (latest.attempt, local(latest.started_at), latest.status, latest.error) if latest else ("",) * 4
        rows.add(item.journey, item.step, *tried, item.pending.state, local(item.pending.next_try_at))
    rows.show()


def attempts(found: Sequence[AttemptView], *, named: bool) -> None:
    """Print attempts, then their responses and traces, if known."""
    columns = ["when (local)", *(["journey"] if named else []), "step", "to", "try", "outcome", "status", "ms"]
    rows = Table(*columns, "error", "next try", right=("status", "ms"))
    responses = Table("delivery", "try", "trace", "answer", prose=("answer",))
    tries = numbered([(item.delivery_id, item.attempt) for item in found])
    for item, number in zip(found, tries, strict=True):
        whose = [f"test by {item.test_by}" if item.test_by else item.workflow_id] if named else []
        what = item.step, goes_to(item.channel, item.destination), number
        result = styled(item.outcome), item.status, item.milliseconds, item.error
        rows.add(local(item.started_at), *whose, *what, *result, local(item.next_try_at))
        if item.trace_id or item.response:
            line = " ".join((item.response or "").split())
            short = line if len(line) <= _SHORT_EXCERPT else f"{line[: _SHORT_EXCERPT - 1]}…"
            responses.add(text(item.delivery_id, "dim"), number, text(item.trace_id, "dim"), short)
    rows.show("no deliveries on record")
    if responses:
        console().print()
        responses.show()


def state(word: str, why: str | None) -> Text:
    """Return a journey's state in its colour. A finished journey with a reason is not green."""
    return styled("failed" if word == "finished" and why else word, word)


def numbered(made: Sequence[tuple[str, int]]) -> list[str]:
    """Return the numbers of attempts in order. If a step is retried, they restart, and say so: ``1 again``."""
    highest: dict[str, int] = {}
    anew: set[str] = set()
    said: list[str] = []
    for delivery, number in made:
        if number <= highest.get(delivery, 0):
            anew.add(delivery)
        highest[delivery] = number
        said.append(f"{number} again" if delivery in anew else str(number))
    return said


def goes_to(channel: str, destination: str) -> str:
    """Return a message's channel and destination, or only the channel if it failed before the destination was known."""
    return channel if destination in ("", channel) else f"{channel} → {destination}"


def portray(report: JourneyView, zone: str) -> None:
    """Print a journey with times in this machine's zone. `zone` is the scenario's."""
    page = console()

    def show(line: Text) -> None:
        is_command = f" {report.id} " in line.plain
        (print_line if is_command else print_prose)(page, line)

    def say(said: str, style: str = "") -> None:
        for line in said.splitlines():
            show(text(line, style))

    for line in _header(report):
        show(line)
    if report.campaign:
        say(f"{'sent' if report.ended_at else 'being sent'} by the campaign {report.campaign}, without a workflow")
    if report.waiting:
        for line in _waiting(report.id, report.waiting, ZoneInfo(zone)):
            show(line)
    if report.paused and report.state == "held":
        # A decision alone does not continue it.
        pause = f"{local(report.paused['at'])} by {report.paused['operator']}: {report.paused['reason']}"
        say(f"paused as well since {pause}", "yellow")
        say(f"resume it with: scenario resume {report.id} --reason …", "yellow")
    if report.moves_to:
        say(f"continues in {report.moves_to} after its current delivery")
    if not report.answered and report.status == "running":
        say("no worker answers: this is the last recorded state", "yellow")
    if goal := report.goal:
        worth = f", worth {goal.value}" if goal.value else ""
        reached = f"goal reached {local(goal.reached_at)}{worth}"
        say(reached if goal.reached_at else f"goal not reached; it counts until {local(goal.until)}")
    for item in report.pending:
        say(_goes_on(item), "yellow" if item.turned_away else "")
    if report.steps:
        page.print()
        _steps(report).show()
    _deliveries(report.deliveries)
    if report.earlier_deliveries:
        newest = f"only the newest {len(report.deliveries)} attempts are shown"
        say(f"{newest}: see 'scenario deliveries {report.id} --limit 10000'", "yellow")
    if report.operations or report.passed_over:
        page.print()
    for operation in report.operations:
        say(_operation(operation), "dim")
    for lost in report.passed_over:
        often = f" {lost['count']} times" if lost["count"] > 1 else ""
        say(f"{local(lost['at'])}  {lost['what']} ignored{often}: {lost['reason']}", "yellow")
    page.print()
    for trace in dict.fromkeys(item.trace_id for item in report.deliveries if item.trace_id):
        say(f"trace {trace}", "dim")
    say(f"times of this machine's clock; the scenario's zone is {zone}", "dim")


def _operation(operation: Mapping[str, Any]) -> str:
    def plain(value: Any) -> str:  # without JSON punctuation: ``initial_interval 1, deadline 86400``
        return ", ".join(f"{name} {item}" for name, item in value.items()) if is_mapping(value) else str(value)

    details: Mapping[str, Any] = operation.get("details") or {}
    said = ", ".join(f"{name} {plain(value)}" for name, value in details.items())
    what = f"{operation['name']} ({said})" if said else operation["name"]
    return f"{local(operation['at'])}  {what} by {operation['operator']}: {operation['reason']}"


def _header(report: JourneyView) -> Iterator[Text]:
    yield text(report.id, "bold")
    entered, ended = (moment and local(moment) for moment in (report.entered_at, report.ended_at))
    facts = {"contact": report.contact, "key": report.key, "entered": entered, "ended": ended}
    shown = [report.scenario, *(fact and f"{name} {fact}" for name, fact in facts.items())]
    if any(shown):
        yield text(" · ".join(filter(None, shown)))
    line = state(report.state, report.reason)
    if report.at:
        rounds = [f", round {one['round']} of {one['of']}" for one in report.rounds]
        line.append_text(text(f" at {report.at}{''.join(rounds)}"))
    # The time of the hold, which may be long after the step began.
    waiting: Mapping[str, Any] = report.waiting or {}
    since = waiting.get("at") or report.since
    if since:
        line.append_text(text(f" since {local(since)}"))
    if report.reason:
        line.append_text(text(f": {report.reason}"))
    yield line


def _waiting(journey: str, waiting: Mapping[str, Any], zone: ZoneInfo) -> Sequence[Text]:
    if waiting["for"] != "an operator":
        # In this machine's time zone, and in the scenario's if it shows another time.
        here, there = local(waiting.get("until")), local(waiting.get("until"), zone)
        what = "waits" if waiting["for"] == "time" else f"waits for {waiting['for']}"
        until = f" until {here}" if here else ""
        also = f" ({there} {zone})" if here != there else ""
        return [text(f"{what}{until}{also}")]
    facts = [waiting.get("cause"), waiting.get("destination")]
    facts += [waiting.get("status") and f"status {waiting['status']}", _times(waiting.get("attempts"))]
    said = [text(" · ".join(str(fact) for fact in facts if fact))] if any(facts) else []
    if excerpt := waiting.get("excerpt"):
        said.append(text(f"it answered: {' '.join(str(excerpt).split())[:_EXCERPT]}", "dim"))
    said.append(text(f"decide with: scenario retry|skip|leave {journey} --reason …"))
    return said


def _steps(report: JourneyView) -> Table:
    rows = Table("", "step", "what", "outcome", "when", "", prose=("what", ""))
    for step in report.steps:
        outcome = step.outcome or ""
        style = "dim" if step.state == "to come" else "bold" if step.state == "now" else ""
        mark = MARKS.get(outcome, _MARKS[step.state])
        remarks = [step.way, step.status, _times(step.attempts), step.reason, step.note]
        # The header has the current step's reason.
        remark = " · ".join(str(part) for part in remarks if part) if step.state == "done" else ""
        when = local(step.at or (report.since if step.state == "now" else None))
        what = (styled(outcome, mark) if outcome else text(mark, style), text(step.id, style), text(step.what, style))
        rows.add(*what, styled(outcome or step.state), when, text(remark, "dim"))
    return rows


def _times(attempts: int | None) -> str:
    return f"{attempts} attempts" if attempts and attempts > 1 else ""


def _deliveries(attempts: Sequence[AttemptView]) -> None:
    page = console()
    for _, group in groupby(attempts, key=lambda attempt: attempt.delivery_id):
        made = list(group)
        page.print()
        goes = goes_to(made[-1].channel, made[-1].destination)
        print_line(page, Text.assemble(text(made[0].step, "bold"), f"  {goes}  ", (made[0].delivery_id, "dim")))
        rows = Table("try", "when", "outcome", "status", "ms", "error", "next try", right=("status", "ms"))
        numbers = numbered([(item.delivery_id, item.attempt) for item in made])
        for attempt, number in zip(made, numbers, strict=True):
            result = styled(attempt.outcome), attempt.status, attempt.milliseconds, attempt.error
            rows.add(number, local(attempt.started_at), *result, local(attempt.next_try_at))
        rows.show()
        answered = [
            (number, " ".join((item.response or "").split())) for number, item in zip(numbers, made, strict=True)
        ]
        for answer, same in groupby((pair for pair in answered if pair[1]), key=itemgetter(1)):
            tries = ", ".join(number for number, _ in same)
            print_prose(page, text(f"try {tries} was answered: {answer[:_EXCERPT]}", "dim"))


def _goes_on(item: DeliveryStatus) -> str:
    """Return how a delivery in progress continues, according to Temporal."""
    said = [f"{item.step} is {item.state}"]
    if item.next_try_at:
        said = [f"{item.step} is tried next at {local(item.next_try_at)}"]
    if policy := item.retry:
        first, longest = _length(policy.initial_interval), _length(policy.maximum_interval)
        said.append(f"pauses from {first} × {policy.backoff_coefficient:g} to {longest}")
        said += [f"at most {policy.maximum_attempts} attempts"] if policy.maximum_attempts else []
    if item.gives_up_at:
        said.append(f"gives up {local(item.gives_up_at)}")
    return "\n".join([*([f"{item.step}: {item.why}"] if item.why else []), ", ".join(said)])


def _length(seconds: float) -> str:
    return format_duration(timedelta(seconds=seconds))
