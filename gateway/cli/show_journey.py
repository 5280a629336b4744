"""One journey on a terminal: a header that says why it waits, its steps, its deliveries and their attempts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, cast
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.text import Text

from gateway.cli.tables import answers
from gateway.cli.terminal import local, row, styled, table, text
from scenario.time.duration import format_duration
from workflows.records import MARKS

_MARKS: Final = {"done": "✓", "now": "▶", "to come": "·"}
_EXCERPT: Final = 300


def portray(console: Console, report: Mapping[str, Any], zone: str) -> None:
    """Prints a journey.

    Args:
        console: Where.
        report: From `gateway.journeys.as_json.journey`.
        zone: IANA zone of the times: the scenario's.
    """
    clock = ZoneInfo(zone)
    console.print(_header(report, clock))
    if report["waiting"]:
        console.print(*_waiting(report["id"], report["waiting"], clock), sep="\n")
    if report["paused"] and report["state"] == "held":
        console.print(text(_paused(report["id"], report["paused"], clock), "yellow"))
    if not report["answered"] and report["status"] == "running":
        console.print(text("no worker answers: what follows is what is on record", "yellow"))
    if report["steps"]:
        console.print()
        console.print(_steps(report, clock))
    if report["deliveries"] or report["pending"]:
        console.print()
        console.print(_deliveries(report["deliveries"], report["pending"], clock))
    if report["earlier_deliveries"]:
        newest = f"only the newest {len(report['deliveries'])} attempts are shown"
        console.print(text(f"{newest}: see 'scenario deliveries {report['id']} --limit 10000'", "yellow"))
    told = [(item["delivery_id"], item["attempt"], item["trace_id"], item["response"]) for item in report["deliveries"]]
    if (answered := answers(told)) is not None:
        console.print()
        console.print(answered)
    for item in report["pending"]:
        console.print(text(_policy(item, clock)))
    for operation in report["operations"]:
        console.print(text(_operation(operation, clock), "dim"))
    for lost in report["passed_over"]:
        console.print(text(_passed_over(lost, clock), "yellow"))
    console.print(text(f"times of {zone}", "dim"))


def _operation(operation: Mapping[str, Any], clock: ZoneInfo) -> str:
    details: Mapping[str, Any] = operation.get("details") or {}
    said = ", ".join(f"{name} {_plain(value)}" for name, value in details.items())
    what = f"{operation['name']} ({said})" if said else operation["name"]
    return f"{local(operation['at'], clock)}  {what} by {operation['operator']}: {operation['reason']}"


def _passed_over(lost: Mapping[str, Any], clock: ZoneInfo) -> str:
    often = f" {lost['count']} times" if lost["count"] > 1 else ""
    return f"{local(lost['at'], clock)}  {lost['what']} ignored{often}: {lost['reason']}"


def _paused(journey: str, pause: Mapping[str, Any], clock: ZoneInfo) -> str:
    """Of a journey that is held as well: deciding alone does not let it go on."""
    since = local(pause["at"], clock)
    return (
        f"paused as well since {since} by {pause['operator']}: {pause['reason']}\n"
        f"let it go on with: scenario resume {journey} --reason …"
    )


def _plain(value: Any) -> str:
    """A value without the marks of JSON: ``initial_interval 1, deadline 86400``."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {item}" for name, item in cast("Mapping[str, Any]", value).items())
    return str(value)


def _header(report: Mapping[str, Any], clock: ZoneInfo) -> Text:
    title = Text().append_text(text(report["id"], "bold"))
    facts = [report["scenario"], report["contact"] and f"contact {report['contact']}"]
    facts += [report["key"] and f"key {report['key']}"]
    facts += [report["entered_at"] and f"entered {local(report['entered_at'], clock)}"]
    facts += [report["ended_at"] and f"ended {local(report['ended_at'], clock)}"]
    if any(facts):
        title.append("\n").append_text(text(" · ".join(fact for fact in facts if fact)))
    title.append("\n").append_text(styled(report["state"]))
    if report["at"]:
        rounds = [f", round {one['round']} of {one['of']}" for one in report["rounds"]]
        title.append_text(text(f" at {report['at']}{''.join(rounds)}"))
    # Since it is held, which may be long after the step began.
    waiting: Mapping[str, Any] = report["waiting"] or {}
    since = waiting.get("at") or report["since"]
    if since:
        title.append_text(text(f" since {local(since, clock)}"))
    if report["reason"]:
        title.append_text(text(f": {report['reason']}"))
    return title


def _waiting(journey: str, waiting: Mapping[str, Any], clock: ZoneInfo) -> Sequence[Text]:
    if waiting["for"] != "an operator":
        until = f" until {local(waiting['until'], clock)}" if waiting.get("until") else ""
        what = "waits" if waiting["for"] == "time" else f"waits for {waiting['for']}"
        return [text(f"{what}{until}")]
    facts = [waiting.get("cause"), waiting.get("destination")]
    facts += [waiting.get("status") and f"status {waiting['status']}", _times(waiting.get("attempts"))]
    said = [text(" · ".join(str(fact) for fact in facts if fact))] if any(facts) else []
    if excerpt := waiting.get("excerpt"):
        said.append(text(f"it answered: {' '.join(str(excerpt).split())[:_EXCERPT]}", "dim"))
    said.append(text(f"decide with: scenario retry|skip|leave {journey} --reason …"))
    return said


def _steps(report: Mapping[str, Any], clock: ZoneInfo) -> Any:
    rows = table("", "step", "what", "outcome", "when", "")
    for step in report["steps"]:
        outcome = step["outcome"] or ""
        style = "dim" if step["state"] == "to come" else "bold" if step["state"] == "now" else ""
        mark = MARKS.get(outcome, _MARKS[step["state"]])
        remarks = [step["way"], step["status"], _times(step["attempts"]), step["reason"], step["note"]]
        # The present step's reason stands in the header.
        remark = " · ".join(str(part) for part in remarks if part) if step["state"] == "done" else ""
        when = local(step["at"] or (report["since"] if step["state"] == "now" else None), clock)
        what = (
            styled(outcome, mark) if outcome else text(mark, style),
            text(step["id"], style),
            text(step["what"], style),
        )
        rows.add_row(*row(*what, styled(outcome or step["state"]), when, text(remark, "dim")))
    return rows


def _times(attempts: int | None) -> str:
    return f"{attempts} attempts" if attempts and attempts > 1 else ""


def _deliveries(attempts: Sequence[Mapping[str, Any]], pending: Sequence[Mapping[str, Any]], clock: ZoneInfo) -> Any:
    columns = ("delivery", "step", "to", "try", "when", "outcome", "status", "ms", "error", "next try")
    rows = table(*columns, right=("try", "status", "ms"))
    shown = ""
    waiting = {item["step"]: item for item in pending}
    for index, attempt in enumerate(attempts):
        first = attempt["delivery_id"] != shown
        shown = attempt["delivery_id"]
        latest = not any(later["step"] == attempt["step"] for later in attempts[index + 1 :])
        # What Temporal has scheduled is what will happen: an operator may have changed it since.
        due = waiting.get(attempt["step"], {}).get("next_try_at") if latest else None
        to = f"{attempt['channel']} → {attempt['destination']}"
        what = (text(attempt["delivery_id"][:12], "dim"), attempt["step"], to) if first else ("", "", "")
        result = styled(attempt["outcome"]), attempt["status"], attempt["milliseconds"], attempt["error"]
        following = local(due or attempt["next_try_at"], clock) if latest else ""
        rows.add_row(*row(*what, attempt["attempt"], local(attempt["started_at"], clock), *result, following))
    for item in pending:
        if not any(attempt["step"] == item["step"] for attempt in attempts):
            state, due = item["state"], local(item["next_try_at"], clock)
            rows.add_row(*row("", item["step"], "", item["attempt"], "", state, "", "", item["last_failure"], due))
    return rows


def _policy(item: Mapping[str, Any], clock: ZoneInfo) -> str:
    """How a delivery under way goes on, as Temporal has it now."""
    said = [f"{item['step']} is {item['state']}", f"attempt {item['attempt']}"]
    if item["next_try_at"]:
        said.append(f"next try {local(item['next_try_at'], clock)}")
    if policy := item["retry"]:
        first, longest = _length(policy["initial_interval"]), _length(policy["maximum_interval"])
        said.append(f"pauses from {first} × {policy['backoff_coefficient']:g} to {longest}")
        said += [f"at most {policy['maximum_attempts']} attempts"] if policy["maximum_attempts"] else []
    if item["gives_up_at"]:
        said.append(f"gives up {local(item['gives_up_at'], clock)}")
    return ", ".join(said)


def _length(seconds: float) -> str:
    return format_duration(timedelta(seconds=seconds))
