"""The command that shows how many journeys are at each step of a scenario: stats."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Final

import typer

from gateway.cli import session
from gateway.cli.layout import Table, print_prose
from gateway.cli.options import Format, FormatOption
from gateway.terminal import console, dump, local, styled, text

if TYPE_CHECKING:
    from gateway.stats.stats import StatsView, StepStats, VersionStats

_ScenarioArgument = Annotated[str, typer.Argument(metavar="NAME", help="the scenario's name")]
_VersionOption = Annotated[int | None, typer.Option("--version", metavar="N", min=1, help="only this version")]
_LEGEND: Final = (
    "waiting, held: from Temporal's search, which lags; a journey that sends is counted where it last waited. "
    "passed: by journeys that ended or continued in another run; steps of running journeys are counted later. "
    "attempts: recorded in the last day, of all journeys."
)


def stats(name: _ScenarioArgument, version: _VersionOption = None, form: FormatOption = Format.TEXT) -> None:
    """Show how many contacts are at each step of a scenario now, and how many passed it.

    Without --version: the newest version, and those with running journeys or passages in the last day. JSON: see "JSON
    of
    commands" in the reference.
    """
    found = session.ask(lambda client: client.stats(name, version))
    if form is Format.JSON:
        dump(found)
    else:
        _show(found)


def _show(found: StatsView) -> None:
    page = console()
    for version in found.versions:
        print_prose(page, text(_head(found, version), "bold"))
        print_prose(page, text(_people(version)))
        page.print()
        _steps(version)
        page.print()
    if found.trouble:
        print_prose(page, styled("warning", f"warning: {found.trouble}"))
    print_prose(page, text(_LEGEND, "dim"))


def _head(found: StatsView, version: VersionStats) -> str:
    older = "" if version.is_newest else ", an older version"
    return f"{found.scenario}@{version.version}{older}, at {local(found.as_of)}; last day: since {local(found.since)}"


def _people(version: VersionStats) -> str:
    doing = f" ({now})" if version.now is not None and (now := _listed(version.now.model_dump())) else ""
    over = _listed(version.over)
    return f"{version.entered:,} came in; {version.under_way:,} under way{doing}{over and f'; over: {over}'}"


def _steps(version: VersionStats) -> None:
    numbers = ("waiting", "held", "passed", "last day")
    rows = Table("step", *numbers, "in detail", right=numbers, prose=("in detail",))
    for step in version.steps:
        now = ("?", "?") if step.now is None else (_number(step.now.waiting), _number(step.now.held))
        passed = (_number(sum(counts.values())) for counts in (step.passed, step.passed_lately))
        rows.add(text(step.id, "bold"), *now, *passed, "; ".join(_details(step)))
    rows.show(console())


def _details(step: StepStats) -> Iterator[str]:
    if step.now is not None and step.now.paused:
        yield f"{step.now.paused:,} paused"
    if step.passed:
        yield _listed(step.passed)
    if step.attempts:
        skipped = f" ({_listed(step.skipped)})" if step.skipped else ""
        yield f"attempts: {_listed(step.attempts)}{skipped}"
    if step.trying_again:
        yield f"{step.trying_again:,} to be tried again"


def _number(n: int) -> str:
    return f"{n:,}" if n else ""


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{n:,} {what}" for what, n in counts.items() if n)
