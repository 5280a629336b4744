"""One journey on a terminal: why it waits, its steps, deliveries and attempts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any, Final, cast
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.text import Text

from gateway.cli.layout import Table, print_line, print_prose
from gateway.cli.tables import goes_to, numbered, state
from gateway.journeys.pending_activities import DeliveryStatus
from gateway.service.journey_view import AttemptView, GoalView, JourneyView
from gateway.terminal import local, styled, text
from scenario.time.duration import format_duration
from workflows.state import MARKS

_MARKS: Final = {"done": "✓", "now": "▶", "to come": "·"}
_EXCERPT: Final = 300


def portray(console: Console, report: JourneyView, zone: str) -> None:
    """Print a journey. Times are in this machine's time zone.

    Args:
        console: The terminal.
        report: The journey.
        zone: IANA zone of the scenario.
    """

    def show(line: Text) -> None:
        is_command = f" {report.id} " in line.plain
        (print_line if is_command else print_prose)(console, line)

    def say(said: str, style: str = "") -> None:
        for line in said.splitlines():
            show(text(line, style))

    for line in _header(report):
        show(line)
    if report.waiting:
        for line in _waiting(report.id, report.waiting, ZoneInfo(zone)):
            show(line)
    if report.paused and report.state == "held":
        say(_paused(report.id, report.paused), "yellow")
    if report.moves_to:
        say(f"goes on in {report.moves_to} once its delivery is over")
    if not report.answered and report.status == "running":
        say("no worker answers: this is the last recorded state", "yellow")
    if goal := report.goal:
        say(_goal(goal))
    for item in report.pending:
        say(_goes_on(item), "yellow" if item.turned_away else "")
    if report.steps:
        console.print()
        _steps(report).show(console)
    _deliveries(console, report.deliveries)
    if report.earlier_deliveries:
        newest = f"only the newest {len(report.deliveries)} attempts are shown"
        say(f"{newest}: see 'scenario deliveries {report.id} --limit 10000'", "yellow")
    if report.operations or report.passed_over:
        console.print()
    for operation in report.operations:
        say(_operation(operation), "dim")
    for lost in report.passed_over:
        say(_passed_over(lost), "yellow")
    console.print()
    for trace in dict.fromkeys(item.trace_id for item in report.deliveries if item.trace_id):
        say(f"trace {trace}", "dim")
    say(f"times of this machine's clock; the scenario's zone is {zone}", "dim")


def _goal(goal: GoalView) -> str:
    if not goal.reached_at:
        return f"goal not reached; it counts until {local(goal.until)}"
    return f"goal reached {local(goal.reached_at)}" + (f", worth {goal.value}" if goal.value else "")


def _operation(operation: Mapping[str, Any]) -> str:
    details: Mapping[str, Any] = operation.get("details") or {}
    said = ", ".join(f"{name} {_plain(value)}" for name, value in details.items())
    what = f"{operation['name']} ({said})" if said else operation["name"]
    return f"{local(operation['at'])}  {what} by {operation['operator']}: {operation['reason']}"


def _passed_over(lost: Mapping[str, Any]) -> str:
    often = f" {lost['count']} times" if lost["count"] > 1 else ""
    return f"{local(lost['at'])}  {lost['what']} ignored{often}: {lost['reason']}"


def _paused(journey: str, pause: Mapping[str, Any]) -> str:
    """Return the line for a paused journey. If it is also held, a decision alone does not continue it."""
    since = local(pause["at"])
    return (
        f"paused as well since {since} by {pause['operator']}: {pause['reason']}\n"
        f"let it go on with: scenario resume {journey} --reason …"
    )


def _plain(value: Any) -> str:
    """Return a value without JSON punctuation: ``initial_interval 1, deadline 86400``."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {item}" for name, item in cast("Mapping[str, Any]", value).items())
    return str(value)


def _header(report: JourneyView) -> Iterator[Text]:
    yield text(report.id, "bold")
    facts = [report.scenario, report.contact and f"contact {report.contact}"]
    facts += [report.key and f"key {report.key}"]
    facts += [report.entered_at and f"entered {local(report.entered_at)}"]
    facts += [report.ended_at and f"ended {local(report.ended_at)}"]
    if any(facts):
        yield text(" · ".join(fact for fact in facts if fact))
    line = state(report.state, report.reason)
    if report.at:
        rounds = [f", round {one['round']} of {one['of']}" for one in report.rounds]
        line.append_text(text(f" at {report.at}{''.join(rounds)}"))
    # Since it is held, which may be long after the step began.
    waiting: Mapping[str, Any] = report.waiting or {}
    since = waiting.get("at") or report.since
    if since:
        line.append_text(text(f" since {local(since)}"))
    if report.reason:
        line.append_text(text(f": {report.reason}"))
    yield line


def _waiting(journey: str, waiting: Mapping[str, Any], zone: ZoneInfo) -> Sequence[Text]:
    if waiting["for"] != "an operator":
        until = f" until {_moment(waiting['until'], zone)}" if waiting.get("until") else ""
        what = "waits" if waiting["for"] == "time" else f"waits for {waiting['for']}"
        return [text(f"{what}{until}")]
    facts = [waiting.get("cause"), waiting.get("destination")]
    facts += [waiting.get("status") and f"status {waiting['status']}", _times(waiting.get("attempts"))]
    said = [text(" · ".join(str(fact) for fact in facts if fact))] if any(facts) else []
    if excerpt := waiting.get("excerpt"):
        said.append(text(f"it answered: {' '.join(str(excerpt).split())[:_EXCERPT]}", "dim"))
    said.append(text(f"decide with: scenario retry|skip|leave {journey} --reason …"))
    return said


def _moment(moment: str, zone: ZoneInfo) -> str:
    """Return a moment in this machine's time zone, and in the scenario's if it shows another time."""
    here, there = local(moment), local(moment, zone)
    return here if here == there else f"{here} ({there} {zone})"


def _steps(report: JourneyView) -> Table:
    rows = Table("", "step", "what", "outcome", "when", "", prose=("what", ""))
    for step in report.steps:
        outcome = step.outcome or ""
        style = "dim" if step.state == "to come" else "bold" if step.state == "now" else ""
        mark = MARKS.get(outcome, _MARKS[step.state])
        remarks = [step.way, step.status, _times(step.attempts), step.reason, step.note]
        # The present step's reason stands in the header.
        remark = " · ".join(str(part) for part in remarks if part) if step.state == "done" else ""
        when = local(step.at or (report.since if step.state == "now" else None))
        what = (
            styled(outcome, mark) if outcome else text(mark, style),
            text(step.id, style),
            text(step.what, style),
        )
        rows.add(*what, styled(outcome or step.state), when, text(remark, "dim"))
    return rows


def _times(attempts: int | None) -> str:
    return f"{attempts} attempts" if attempts and attempts > 1 else ""


def _deliveries(console: Console, attempts: Sequence[AttemptView]) -> None:
    """Print each delivery with its attempts and their responses."""
    for _, group in groupby(attempts, key=lambda attempt: attempt.delivery_id):
        made = list(group)
        console.print()
        goes = goes_to(made[-1].channel, made[-1].destination)
        print_line(console, Text.assemble(text(made[0].step, "bold"), f"  {goes}  ", (made[0].delivery_id, "dim")))
        rows = Table("try", "when", "outcome", "status", "ms", "error", "next try", right=("status", "ms"))
        numbers = numbered([(item.delivery_id, item.attempt) for item in made])
        for attempt, number in zip(made, numbers, strict=True):
            result = styled(attempt.outcome), attempt.status, attempt.milliseconds, attempt.error
            rows.add(number, local(attempt.started_at), *result, local(attempt.next_try_at))
        rows.show(console)
        answered = [
            (number, " ".join((item.response or "").split())) for number, item in zip(numbers, made, strict=True)
        ]
        for answer, same in groupby((pair for pair in answered if pair[1]), key=itemgetter(1)):
            tries = ", ".join(number for number, _ in same)
            print_prose(console, text(f"try {tries} was answered: {answer[:_EXCERPT]}", "dim"))


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
