"""The command that deletes old data: prune."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli import session
from gateway.cli.options import Format, FormatOption, grouped
from gateway.cli.output import progress
from gateway.terminal import dump, note, say

if TYPE_CHECKING:
    from runtime.retention import Ages


def _age(name: str, help_: str) -> Any:
    return typer.Option(name, metavar="AGE", help=help_)


@dataclass(frozen=True, kw_only=True)
class _Given:
    """The minimum ages of the data to delete."""

    deliveries: Annotated[str | None, _age("--deliveries", "attempts, by when they began")] = None
    responses: Annotated[str | None, _age("--responses", "responses of receivers; the attempts stay")] = None
    entries: Annotated[str | None, _age("--entries", "journeys, by when they ended")] = None
    claims: Annotated[str | None, _age("--claims", "places under caps; 92d without it")] = None
    passages: Annotated[str | None, _age("--passages", "people per step and hour")] = None
    operations: Annotated[str | None, _age("--operations", "ended operations on many journeys")] = None


_LONG = 5.0  # seconds. A longer pause is reported

DryRunOption = Annotated[bool, typer.Option("--dry-run", help="report the numbers, and delete nothing")]


@grouped
def prune(*, given: _Given, dry_run: DryRunOption = False, form: FormatOption = Format.TEXT) -> None:
    """Delete old data from the store in small batches, while journeys run.

    An AGE is 30d, 26w or 2y. The defaults are those of SCENARIO_RETENTION. Some data has a fixed retention: counts for
    caps 92 days, soft bounces 30 days, answers to requests with an Idempotency-Key one day. Running journeys stay, and
    so do those that 'again:' of a published version needs. Ctrl-C stops between two batches; run it again to continue.
    """
    from runtime.store.retention import VACUUM, Pruner

    ages = _ages(given)
    rows = Counter[str]()
    is_over = False

    async def work() -> tuple[str, ...]:
        async with session.stored(writes=True) as store:
            pruning, now = Pruner(store), datetime.now(UTC)
            if dry_run:
                agenda = await pruning.agenda(ages, now)
                for job in agenda.jobs:
                    rows[job.table] += await store.old(job)
                return agenda.kept
            with progress("deleting", None, lambda: f"{rows.total():,} rows"):
                return (await pruning.run(ages, now, told=told, paused=paused)).kept

    def told(table: str, deleted: int) -> None:
        rows[table] += deleted

    def paused(seconds: float) -> None:
        if seconds >= _LONG:
            note(f"scenario: the last batch took long: pausing for {seconds:.0f} s so that others can use the store")

    kept: tuple[str, ...] = ()
    try:
        kept = asyncio.run(work())
        is_over = True
    finally:
        if not (is_over or rows):
            pass  # it never began: the error says why
        elif form is Format.JSON:
            dump({"rows": rows, "dry_run": dry_run, "finished": is_over, "kept": kept, "vacuum": VACUUM})
        else:
            _tell(rows, kept, dry_run=dry_run, is_over=is_over)


def _tell(rows: Counter[str], kept: tuple[str, ...], *, dry_run: bool, is_over: bool) -> None:
    from runtime.store.retention import VACUUM

    what = ", ".join(f"{n:,} {table.replace('_', ' ')}" for table, n in rows.items() if n)
    if not what:
        say("nothing is old enough")
    else:
        say(f"{what}: nothing was deleted" if dry_run else f"deleted {what}")
    for sentence in kept:
        note(f"scenario: {sentence}")
    if not is_over:
        note("scenario: stopped: run it again to go on")
    elif what and not dry_run:
        note(f"scenario: {VACUUM}")


def _ages(given: _Given) -> Ages:
    from runtime.retention import RetentionError, parse_age, parse_ages
    from runtime.settings import Settings

    said = {field.name: text for field in fields(given) if (text := getattr(given, field.name)) is not None}
    if not said:
        configured = Settings().retention
        return parse_ages(configured) if configured else {}
    try:
        return {what: parse_age(what, text) for what, text in said.items()}
    except RetentionError as error:
        raise typer.BadParameter(str(error)) from None
