"""Commands that show a scenario's numbers: stats, results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from gateway.cli import session
from gateway.cli.options import Format, FormatOption, SinceOption, argument, option
from gateway.cli.output import Table, output, print_prose
from gateway.terminal import console, local, styled, text

if TYPE_CHECKING:
    from gateway.service.results import Arm, Comparison, ResultsView
    from gateway.service.stats import StatsView, StepStats, TrendsView, VersionStats

_ScenarioArgument = Annotated[str, argument("NAME", "the scenario's name")]
_RESULTS_LEGEND: Final = (
    "95 %: where the true rate is in 95 of 100 cases. p: how often chance alone would make such a difference; below "
    "0.05 it is seldom."
)
_STATS_LEGEND: Final = (
    "waiting, retrying, held: from Temporal's search, which lags. During its first attempt, a journey counts as "
    "waiting at its previous wait. passed: people who completed the step, counted within seconds. attempts: to send, "
    "recorded in the last day."
)
_TRENDS_LEGEND: Final = (
    "passed, failed, skipped: people who completed the step on that day. attempts to send: a message may take several."
)


def stats(
    name: _ScenarioArgument,
    version: Annotated[int | None, option("N", "only this version", min=1)] = None,
    by: Annotated[Literal["day"] | None, typer.Option(help="numbers of each day (UTC) instead of now")] = None,
    days: Annotated[int | None, option("N", "with --by: days, default 30", min=1, max=90)] = None,
    form: FormatOption = Format.TEXT,
) -> None:
    """Show how many contacts are at each step of a scenario now, and how many passed it.

    Without --version: the newest version, and those with running journeys or passages in the last day. JSON: see "JSON
    of commands" in the reference.
    """
    if days is not None and by is None:
        raise typer.BadParameter("it goes with --by day", param_hint="--days")
    if by is not None:
        output(session.ask(lambda client: client.trends(name, version, days or 30)), form, _show_trends)
        return
    output(session.ask(lambda client: client.stats(name, version)), form, _show_stats)


def results(
    name: _ScenarioArgument,
    version: Annotated[int | None, option("N", "only contacts whom this version admitted", min=1)] = None,
    since: SinceOption = None,
    form: FormatOption = Format.TEXT,
) -> None:
    """Show how many contacts reached a scenario's goal, by branch of each split and against the control group.

    --since: admitted since then. JSON: see "JSON of commands" in the reference.
    """
    from gateway.service import results as counted

    found = session.ask_store(
        lambda store: counted.results(store, name, datetime.now(UTC), version=version, since=since)
    )
    output(found, form, _show_results)


def _show_stats(found: StatsView) -> None:
    page = console()
    for version in found.versions:
        older = "" if version.is_newest else ", an older version"
        head = f"{found.scenario}@{version.version}{older}, at {local(found.as_of)}; last day: since"
        print_prose(page, text(f"{head} {local(found.since)}", "bold"))
        doing = f" ({now})" if version.now is not None and (now := _listed(version.now.model_dump())) else ""
        over = f"; ended: {over}" if (over := _listed(version.over)) else ""
        print_prose(page, text(f"{version.entered:,} entered; {version.under_way:,} in progress{doing}{over}"))
        page.print()
        _steps(version)
        page.print()
    if found.trouble:
        print_prose(page, styled("warning", f"warning: {found.trouble}"))
    print_prose(page, text(_STATS_LEGEND, "dim"))


def _show_trends(found: TrendsView) -> None:
    from gateway.service.stats import PeopleCount, SendingCount

    page = console()
    for version in found.versions:
        older = "" if version.is_newest else ", an older version"
        head = f"{found.scenario}@{version.version}{older}, {found.since} to {found.until} in UTC"
        print_prose(page, text(head, "bold"))
        counted: dict[tuple[date, str], list[str]] = {}
        for step in version.steps:
            for one in step.people:
                counted[one.day, step.id] = [f"{n:,}" if n else "" for n in PeopleCount.of(one.outcomes)]
            for one in step.attempts or ():
                row = counted.setdefault((one.day, step.id), [""] * 3)
                row.append(_listed(SendingCount.of(one.outcomes)._asdict()))
        numbers = ("passed", "failed", "skipped")
        rows = Table("day", "step", *numbers, "attempts to send", right=numbers, prose=("attempts to send",))
        order = {step.id: number for number, step in enumerate(version.steps)}
        for day, step in sorted(counted, key=lambda key: (key[0], order[key[1]])):
            people, attempts = counted[day, step][:3], "".join(counted[day, step][3:])
            rows.add(day.isoformat(), text(step, "bold"), *people, attempts)
        rows.show()
        page.print()
    if found.attempts_since > found.since:
        print_prose(page, styled("warning", f"warning: attempts are counted from {found.attempts_since} only"))
    print_prose(page, text(_TRENDS_LEGEND, "dim"))


def _steps(version: VersionStats) -> None:
    numbers = ("waiting", "held", "passed", "last day")
    rows = Table("step", *numbers, "in detail", right=numbers, prose=("in detail",))
    for step in version.steps:
        now = ("?", "?") if step.now is None else (_number(step.now.waiting), _number(step.now.held))
        passed = (_number(sum(counts.values())) for counts in (step.passed, step.passed_lately))
        rows.add(text(step.id, "bold"), *now, *passed, "; ".join(_details(step)))
    rows.show()


def _details(step: StepStats) -> Iterator[str]:
    if step.now is not None:
        yield from (f"{n:,} {state}" for state, n in step.now if n and state in ("retrying", "paused"))
    if step.passed:
        yield _listed(step.passed)
    if step.attempts:
        skipped = f" ({_listed(step.skipped)})" if step.skipped else ""
        yield f"attempts: {_listed(step.attempts)}{skipped}"


def _number(n: int) -> str:
    return f"{n:,}" if n else ""


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{n:,} {what}" for what, n in counts.items() if n)


def _show_results(found: ResultsView) -> None:
    from gateway.service.results import headline, remarks

    page = console()
    for line in headline(found):
        print_prose(page, text(line))
    has_value = found.goal is not None and found.goal.value is not None
    for one in found.comparisons:
        page.print()
        _show_comparison(one, has_value=has_value)
    page.print()
    if any(one.baseline for one in found.comparisons):
        print_prose(page, text(_RESULTS_LEGEND, "dim"))
    for line in remarks(found):
        print_prose(page, styled("warning", line) if line.startswith("warning") else text(line))


def _show_comparison(one: Comparison, *, has_value: bool) -> None:
    page = console()
    what = f"split {one.split}, as drawn at the entry" if one.split is not None else "all who went through"
    against = f"; compared with {one.baseline}" if one.baseline else ""
    print_prose(page, text(f"{what}{against}", "bold"))
    numbers = "entered", "reached", "rate", "95 %", "uplift", "p"
    rows = Table("", *numbers, right=numbers)
    for arm in one.arms:
        compared = _compared(arm) if arm.name != one.baseline and one.baseline else ("", "")
        rows.add(arm.name, f"{arm.entered:,}", f"{arm.reached:,}", *_rate(arm), *compared)
    rows.show()
    if has_value:
        page.print()
        worth = "value", "for each who entered"
        rows = Table("", *worth, right=worth)
        for arm in one.arms:
            rows.add(arm.name, f"{arm.value:,.2f}", "" if arm.each is None else f"{arm.each:,.2f}")
        rows.show()


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
