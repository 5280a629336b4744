"""Lists as people see them: journeys, held ones, deliveries under way, attempts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from gateway.cli.terminal import console, local, row, styled, table, text

if TYPE_CHECKING:
    from rich.table import Table

    from gateway.journeys.listing import ListedJourney
    from gateway.operations.retry_policy import InFlight
    from runtime.store import Attempt

_EXCERPT: Final = 72  # characters of a response that fit into a list


def journeys(found: Sequence[ListedJourney]) -> None:
    """Prints journeys, one a line."""
    rows = table("journey", "scenario", "state", "step", "entered (local)", "why")
    for item in found:
        rows.add_row(*row(item.id, item.scenario, styled(item.state), item.step, local(item.entered_at), item.reason))
    console().print(rows)


def held(found: Sequence[ListedJourney]) -> None:
    """Prints journeys that wait for an operator: where, what for, since when."""
    columns = ("journey", "scenario", "step", "destination", "reason", "since (local)", "status", "why")
    rows = table(*columns, right=("status",))
    for item in found:
        place = item.id, item.scenario, item.step, item.destination
        why = styled("held", item.held_reason or item.state)
        rows.add_row(*row(*place, why, local(item.since), item.status, item.reason))
    console().print(rows)


def flights(found: Sequence[InFlight]) -> None:
    """Prints deliveries under way; of one that has not been attempted there is less to say."""
    columns = ("journey", "step", "try", "latest", "status", "error", "now", "next try (local)")
    rows = table(*columns, right=("try", "status"))
    for item in found:
        latest = item.latest
        tried = (latest.attempt, local(latest.started_at), latest.status, latest.error) if latest else ("",) * 4
        rows.add_row(*row(item.journey, item.step, *tried, item.pending.state, local(item.pending.next_try_at)))
    console().print(rows)


def attempts(found: Sequence[Attempt], *, named: bool) -> None:
    """Prints attempts, then what was answered to them and their traces, where that is known.

    Args:
        found: The newest last.
        named: Whether to say whose they are.
    """
    columns = ["when (local)", *(["journey"] if named else []), "step", "to", "try", "outcome", "status", "ms"]
    rows = table(*columns, "error", "next try", right=("try", "status", "ms"))
    for item in found:
        whose = [item.workflow_id] if named else []
        what = item.step, f"{item.channel} → {item.destination}", item.attempt
        result = styled(item.outcome), item.status, item.milliseconds, item.error
        rows.add_row(*row(local(item.started_at), *whose, *what, *result, local(item.next_try_at)))
    console().print(rows)
    told = [(item.delivery_id, item.attempt, item.trace_id, item.response) for item in found]
    if (answered := answers(told)) is not None:
        console().print()
        console().print(answered)


def answers(told: Sequence[tuple[str, int, str | None, str | None]]) -> Table | None:
    """What was answered to attempts, and their traces: a table of its own, since one of all would be too wide.

    Args:
        told: Delivery id, number of the attempt, trace id and answer of each.

    Returns:
        The table; None where nothing is known of any.
    """
    rows = table("delivery", "try", "trace", "answer", right=("try",))
    for delivery, number, trace, answer in told:
        if trace or answer:
            line = " ".join((answer or "").split())
            short = line if len(line) <= _EXCERPT else f"{line[: _EXCERPT - 1]}…"
            rows.add_row(*row(text(delivery, "dim"), number, text(trace, "dim"), short))
    return rows if rows.row_count else None
