"""Lists as people see them: journeys, held ones, deliveries under way, attempts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from gateway.cli.terminal import console, local, styled, table, text

if TYPE_CHECKING:
    from rich.table import Table

    from gateway.journeys.listing import Listed
    from gateway.operations.retry_policy import InFlight
    from runtime.store import Attempt

_EXCERPT: Final = 72  # characters of a response that fit into a list


def journeys(found: Sequence[Listed]) -> None:
    """Prints journeys, one a line."""
    rows = table("journey", "scenario", "state", "step", "entered (local)", "why")
    for item in found:
        rows.add_row(
            text(item.id),
            text(item.scenario),
            styled(item.state),
            text(item.step),
            text(local(item.entered_at)),
            text(item.reason),
        )
    console().print(rows)


def held(found: Sequence[Listed]) -> None:
    """Prints journeys that wait for an operator: where, what for, since when."""
    columns = ("journey", "scenario", "step", "destination", "reason", "since (local)", "status", "why")
    rows = table(*columns, right=("status",))
    for item in found:
        rows.add_row(
            text(item.id),
            text(item.scenario),
            text(item.step),
            text(item.destination),
            styled("held", item.held_reason or item.state),
            text(local(item.since)),
            text(item.status),
            text(item.reason),
        )
    console().print(rows)


def flights(found: Sequence[InFlight]) -> None:
    """Prints deliveries under way; of one that has not been attempted there is less to say."""
    columns = ("journey", "step", "try", "latest", "status", "error", "now", "next try (local)")
    rows = table(*columns, right=("try", "status"))
    for item in found:
        latest = item.latest
        rows.add_row(
            text(item.journey),
            text(item.step),
            text(latest and latest.attempt),
            text(local(latest and latest.started_at)),
            text(latest and latest.status),
            text(latest and latest.error),
            text(item.pending.state),
            text(local(item.pending.next_try_at)),
        )
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
        rows.add_row(
            text(local(item.started_at)),
            *([text(item.workflow_id)] if named else []),
            text(item.step),
            text(f"{item.channel} → {item.destination}"),
            text(item.attempt),
            styled(item.outcome),
            text(item.status),
            text(item.milliseconds),
            text(item.error),
            text(local(item.next_try_at)),
        )
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
            rows.add_row(text(delivery, "dim"), text(number), text(trace, "dim"), text(short))
    return rows if rows.row_count else None
