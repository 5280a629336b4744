"""Commands about batch calls: one request for many contacts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer

from gateway.cli import session
from gateway.cli.options import Format, FormatOption
from gateway.cli.output import Table
from gateway.service.caller import TERMINAL
from gateway.terminal import dump, local, say
from scenario.words import ItemOutcome

_MOST: Final = 250
LimitOption = Annotated[int, typer.Option(min=1, max=_MOST, metavar="N", help="number of rows at most")]


def listing(limit: LimitOption = 50, form: FormatOption = Format.TEXT) -> None:
    """List batch calls, the newest first, with the numbers of their contacts by outcome."""
    from gateway.service.batches import BatchService
    from gateway.service.view import PageRequest

    found = session.ask_store(lambda store: BatchService(store).list(TERMINAL, PageRequest(limit=limit))).items
    if form is Format.JSON:
        dump([one.model_dump(mode="json") for one in found])
        return
    rows = Table("batch", "scenario", "step", "state", "contacts", "since (local)", "due (local)")
    for one in found:
        rows.add(one.id, one.scenario, one.step, one.state, _numbers(one.outcomes), local(one.since), local(one.due_at))
    rows.show("there was no batch call yet")


def show(
    batch: Annotated[str, typer.Argument(metavar="BATCH", help="the batch's id, such as batch-1f0c…")],
    outcome: Annotated[ItemOutcome | None, typer.Option(help="only contacts with this outcome")] = None,
    limit: LimitOption = _MOST,
    form: FormatOption = Format.TEXT,
) -> None:
    """Show a batch call and the outcome of each contact. 'scenario deliveries BATCH' lists its attempts."""
    from gateway.service.batches import BatchService
    from gateway.service.view import PageRequest

    view = session.ask_store(lambda store: BatchService(store).show(TERMINAL, batch))
    items = session.ask_store(
        lambda store: BatchService(store).items(TERMINAL, batch, PageRequest(limit=limit), outcome)
    ).items
    if form is Format.JSON:
        dump({**view.model_dump(mode="json"), "items": [one.model_dump(mode="json") for one in items]})
        return
    say(f"{view.id}: {view.scenario}, {view.step}, {view.state}")
    say(f"  {_numbers(view.outcomes)}; delivery {view.delivery}")
    rows = Table("place", "contact", "journey", "outcome", "status", "why", right=("place", "status"), prose=("why",))
    for one in items:
        rows.add(f"{one.position:,}", one.contact, one.journey, one.outcome, str(one.status or ""), one.reason or "")
    if rows:
        rows.show()


def _numbers(outcomes: Mapping[Any, int]) -> str:
    return ", ".join(f"{number:,} {outcome}" for outcome, number in sorted(outcomes.items())) or "none"
