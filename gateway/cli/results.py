"""The command that shows the results of a scenario's goal: results."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Final

import typer

from gateway.cli import session
from gateway.cli.layout import Table, print_prose
from gateway.cli.options import Format, FormatOption, SinceOption
from gateway.terminal import console, dump, styled, text

if TYPE_CHECKING:
    from gateway.results import Arm, Comparison, ResultsView

ScenarioArgument = Annotated[str, typer.Argument(metavar="NAME", help="the scenario's name")]
VersionOption = Annotated[
    int | None, typer.Option("--version", metavar="N", min=1, help="only those whom this version let in")
]
_LEGEND: Final = (
    "95 %: where the true rate is in 95 of 100 cases. p: how often chance alone would make such a difference; below "
    "0.05 it is seldom."
)


def results(
    name: ScenarioArgument, version: VersionOption = None, since: SinceOption = None, form: FormatOption = Format.TEXT
) -> None:
    """Show how many contacts reached a scenario's goal, by branch of each split and against the control group.

    --since: admitted since then. JSON: see "JSON of commands" in the reference.
    """
    from gateway import results as made

    async def look() -> ResultsView:
        async with session.stored() as store:
            return await made.results(store, name, datetime.now(UTC), version=version, since=since)

    found = asyncio.run(look())
    if form is Format.JSON:
        dump(found)
    else:
        _show(found)


def _show(found: ResultsView) -> None:
    page = console()
    for line in _head(found):
        print_prose(page, text(line))
    has_value = found.goal is not None and found.goal.value is not None
    for one in found.comparisons:
        page.print()
        _show_comparison(one, has_value=has_value)
    page.print()
    if any(one.baseline for one in found.comparisons):
        print_prose(page, text(_LEGEND, "dim"))
    for line in _remarks(found):
        print_prose(page, styled("warning", line) if line.startswith("warning") else text(line))


def _head(found: ResultsView) -> Iterator[str]:
    first, last = found.versions[0], found.versions[-1]
    which = f"{found.scenario}@{first}" if first == last else f"{found.scenario}@{first} to @{last}"
    if (goal := found.goal) is None:
        yield f"{which} has no goal: only those who came in are counted"
        yield f"{found.entered:,} came in"
        return
    from scenario.time.duration import format_duration

    condition = f", if {goal.condition}" if goal.condition else ""
    yield f"{which}: {goal.event} within {format_duration(goal.within)}{condition}"
    still = f"; {found.open:,} more still have time" if found.open else ""
    yield f"{found.entered:,} came in, and {found.reached:,} of them reached the goal{still}"


def _show_comparison(one: Comparison, *, has_value: bool) -> None:
    page = console()
    what = f"split {one.split}, as drawn at the entry" if one.split is not None else "all who went through"
    against = f"; compared with {one.baseline}" if one.baseline else ""
    print_prose(page, text(f"{what}{against}", "bold"))
    numbers = "came in", "reached", "rate", "95 %", "uplift", "p"
    rows = Table("", *numbers, right=numbers)
    for arm in one.arms:
        compared = _compared(arm) if arm.name != one.baseline and one.baseline else ("", "")
        rows.add(arm.name, f"{arm.entered:,}", f"{arm.reached:,}", *_rate(arm), *compared)
    rows.show(page)
    if has_value:
        page.print()
        worth = "value", "for each who came in"
        rows = Table("", *worth, right=worth)
        for arm in one.arms:
            rows.add(arm.name, f"{arm.value:,.2f}", "" if arm.each is None else f"{arm.each:,.2f}")
        rows.show(page)


def _rate(arm: Arm) -> tuple[str, str]:
    if arm.rate is None:
        return "", ""
    low, high = (f"{100 * end:.2f}" for end in arm.interval)
    return f"{100 * arm.rate:.2f} %", f"{low}–{high} %"


def _compared(arm: Arm) -> tuple[str, str]:
    if arm.p is None:
        return "", "too few to tell"
    uplift = "" if arm.uplift is None else f"{100 * arm.uplift:+.1f} %"
    return uplift, "<0.001" if arm.p < 0.001 else f"{arm.p:.3f}"


def _remarks(found: ResultsView) -> Iterator[str]:
    """Return warnings that a reader needs before trusting the numbers."""
    for one in found.comparisons:
        if one.mismatch is not None:
            yield _out_of_ratio(f"the branches of split {one.split}", one.mismatch)
        if one.undrawn:
            yield (
                f"{one.undrawn:,} are in no branch of split {one.split}: "
                "which one they would take was not known when they came in"
            )
    if found.control_mismatch is not None:
        yield _out_of_ratio("the control group", found.control_mismatch)
    if found.goalless:
        yield f"{found.goalless:,} more came in by versions without a goal, and are not counted"
    if not found.is_same_goal:
        yield "the goal is not the same in all of these versions: look at each with --version"
    if found.contacts < found.entered:
        yield (
            f"{found.contacts:,} contacts came in {found.entered:,} times: entries of one contact are alike, so "
            "intervals are wider, and p is larger, than is said here"
        )


def _out_of_ratio(what: str, p: float) -> str:
    return (
        f"warning: {what} did not come out as large as drawn (p = {p:.1g}): contacts are missing on one side, or "
        "counted twice. Find out why before you believe the rates"
    )
