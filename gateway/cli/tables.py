"""Tables for people: journeys, held journeys, deliveries in progress, attempts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from gateway.cli.layout import Table
from gateway.terminal import console, local, styled, text

if TYPE_CHECKING:
    from rich.text import Text

    from gateway.operations.retry_policy import PendingDelivery
    from gateway.service.journey_view import AttemptView
    from gateway.service.listing import JourneySummary

_EXCERPT: Final = 72  # characters of a response that fit into a list


def journeys(found: Sequence[JourneySummary]) -> None:
    """Print journeys, one per line."""
    rows = Table("journey", "scenario", "state", "step", "entered (local)", "why", prose=("why",))
    for item in found:
        rows.add(item.id, item.scenario, state(item.state, item.reason), item.step, local(item.entered_at), item.reason)
    rows.show(console())


def held(found: Sequence[JourneySummary]) -> None:
    """Print journeys that wait for an operator: where, why, since when."""
    columns = ("journey", "scenario", "step", "destination", "reason", "since (local)", "status", "why")
    rows = Table(*columns, right=("status",), prose=("why",))
    for item in found:
        place = item.id, item.scenario, item.step, item.destination
        why = styled("held", item.held_reason or item.state)
        rows.add(*place, why, local(item.since), item.status, item.reason)
    rows.show(console())


def flights(found: Sequence[PendingDelivery]) -> None:
    """Print deliveries in progress. Those not yet attempted have fewer columns."""
    columns = ("journey", "step", "try", "latest", "status", "error", "now", "next try (local)")
    rows = Table(*columns, right=("try", "status"), prose=("error",))
    for item in found:
        latest = item.latest
        tried = (latest.attempt, local(latest.started_at), latest.status, latest.error) if latest else ("",) * 4
        rows.add(item.journey, item.step, *tried, item.pending.state, local(item.pending.next_try_at))
    rows.show(console())


def attempts(found: Sequence[AttemptView], *, named: bool) -> None:
    """Print attempts, then their responses and traces, if known.

    Args:
        found: The attempts, newest last.
        named: Whether to print contact and journey.
    """
    columns = ["when (local)", *(["journey"] if named else []), "step", "to", "try", "outcome", "status", "ms"]
    rows = Table(*columns, "error", "next try", right=("status", "ms"))
    told = Table("delivery", "try", "trace", "answer", prose=("answer",))
    tries = numbered([(item.delivery_id, item.attempt) for item in found])
    for item, number in zip(found, tries, strict=True):
        whose = [f"test by {item.test_by}" if item.test_by else item.workflow_id] if named else []
        what = item.step, goes_to(item.channel, item.destination), number
        result = styled(item.outcome), item.status, item.milliseconds, item.error
        rows.add(local(item.started_at), *whose, *what, *result, local(item.next_try_at))
        if item.trace_id or item.response:
            line = " ".join((item.response or "").split())
            short = line if len(line) <= _EXCERPT else f"{line[: _EXCERPT - 1]}…"
            told.add(text(item.delivery_id, "dim"), number, text(item.trace_id, "dim"), short)
    rows.show(console())
    if told:
        console().print()
        told.show(console())


def state(word: str, why: str | None) -> Text:
    """Return a journey's state in its colour. A finished journey with a reason is not green."""
    return styled("failed" if word == "finished" and why else word, word)


def numbered(made: Sequence[tuple[str, int]]) -> list[str]:
    """Return the numbers of attempts. If a step is retried, they restart, and say so: ``1 again``.

    Args:
        made: Delivery id and number of each attempt, in order.
    """
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
