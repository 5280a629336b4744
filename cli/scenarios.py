"""Commands about published scenarios: versions, close, open, stats, results, and migrate, which moves journeys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from cli import session
from cli.operate import OperationCommand, confirmed, operate_one, send
from cli.options import (
    BatchOptions,
    FormatOption,
    OperatorOption,
    OperatorOptions,
    SinceOption,
    argument,
    grouped,
    login,
    option,
    record,
    version,
)
from cli.output import Table, count, output, print_prose
from cli.terminal import console, dump, local, note, say, styled, text
from scenario.words import Operation
from service.caller import TERMINAL

if TYPE_CHECKING:
    from service.operations.migration import MigrationForecast
    from service.results import Arm, Comparison, ResultsView
    from service.scenarios import VersionView
    from service.stats import StatsView, StepStats, TrendsView

_ScenarioArgument = Annotated[str, argument("SCENARIO", "the scenario's name")]
_OneArgument = Annotated[str | None, argument("[SCENARIO]", "list all versions of this scenario")]
_WhyOption = Annotated[str | None, option("TEXT", "reason, shown to refused entries", parser=record)]


def versions(scenario: _OneArgument = None, form: FormatOption = "text") -> None:
    """List published scenarios: the newest version of each, and older versions with running journeys.

    JSON is a list of objects with scenario, version, newest, published_at, published_by, journeys, under_way,
    closed_at, closed_by and reason.
    """
    from service.scenarios import ScenarioService

    found = session.ask_store(lambda store: ScenarioService(store).versions(TERMINAL, scenario))
    if form == "json":
        dump([_version_as_json(item) for item in found])
    else:
        _show_versions(found)


def close(scenario: _ScenarioArgument, reason: _WhyOption = None, operator: OperatorOption = None) -> None:
    """Close a scenario to new entries immediately. Running journeys continue.

    All entries are refused with the reason. 'scenario open' opens it again.
    """
    from service.scenarios import ScenarioService

    who = {"operator": operator or login(), "reason": reason or ""}
    done = session.ask_store(lambda store: ScenarioService(store).close(TERMINAL, scenario, **who), writes=True)
    state = "is closed" if done.changed else "was closed already"
    say(f"{scenario} {state}: new entries are refused, and running journeys continue")


def reopen(scenario: _ScenarioArgument) -> None:
    """Open a closed scenario to new entries."""
    from service.scenarios import ScenarioService

    done = session.ask_store(lambda store: ScenarioService(store).open(TERMINAL, scenario), writes=True)
    say(f"{scenario} {'is open again' if done.changed else 'was not closed'}: contacts are admitted")


def _show_versions(found: list[VersionView]) -> None:
    columns = ("version", "published (local)", "by", "journeys", "under way", "")
    rows = Table(*columns, right=("under way",), prose=("",))
    for item in found:
        state = styled("", "" if item.newest else "older")
        if item.newest and (closed := item.closed):
            why = f": {closed.reason}" if closed.reason else ""
            state = styled("refused", f"closed since {local(closed.at)} by {closed.by}{why}")
        name = f"{item.scenario}@{item.version}"
        rows.add(name, local(item.published_at), item.published_by, item.journeys, item.under_way, state)
    rows.show("nothing is published")


def _version_as_json(item: VersionView) -> dict[str, Any]:
    closed = item.closed
    return {
        **item.model_dump(exclude={"closed", "published_at"}),
        "published_at": item.published_at.isoformat(),
        "closed_at": closed and closed.at.isoformat(),
        "closed_by": closed and closed.by,
        "reason": closed and closed.reason,
    }


NameArgument = Annotated[
    str, argument("NAME", "the scenario's name; or one journey's id, such as post-purchase/3028687")
]


def _step_pair(text: str) -> tuple[str, str]:
    was, _, becomes = (part.strip() for part in text.partition("="))
    if not was or not becomes:
        raise typer.BadParameter(f"'{text}' maps no step: write the old id, =, and the new one, such as wait-2=wait-3")
    return was, becomes


@dataclass(frozen=True, kw_only=True)
class _MigrationOptions:
    to: Annotated[int, option("N|newest", "the version to continue in", parser=version)] = "newest"  # pyright: ignore[reportAssignmentType] - its parser makes it that
    names: Annotated[
        list[Any] | None, option("OLD=NEW", "a step's new id; may be repeated", "--map", parser=_step_pair)
    ] = None
    waits: Annotated[
        Literal["keep", "restart"], typer.Option(help="whether waits keep their start, or start again")
    ] = "keep"
    origin: Annotated[int | None, option("N", "only those that follow this version", "--from", min=1)] = None
    at: Annotated[str | None, option("STEP", "only those at this step")] = None
    state: Annotated[
        Literal["running", "waiting", "retrying", "held", "paused"] | None,
        typer.Option(help="only those in this state"),
    ] = None
    reason: Annotated[str | None, option("TEXT", "reason to record; by default the version", parser=record)] = None
    operator: OperatorOption = None

    def recorded(self, place: str) -> OperatorOptions:
        """Return operator and reason. The default reason is the move to `place`."""
        return OperatorOptions(reason=self.reason or f"to continue in {place}", operator=self.operator)


@grouped
def migrate(name: NameArgument, move: _MigrationOptions, sending: BatchOptions) -> None:
    """Move running journeys to another version of their scenario.

    First shows the differences, the number of journeys at each step, and what happens to them; --dry-run does only
    this. A delivery in progress ends in its own version first. A held step stays held, and a retry uses the new
    version. Journeys at a removed step stay, unless it is mapped: --map wait-2=wait-3.

    With --format json, --dry-run prints an object with scenario, to, differences and standing: a list of objects with
    version, step, state, journeys (how many), fits and becomes.
    """
    names: dict[str, str] = dict(move.names or ())
    more: dict[str, Any] = {"waits": move.waits} | ({"map": names} if names else {})
    if "/" in name:
        _migrate_one(name, move, sending, names)
        return
    wanted: dict[str, Any] = {"to": move.to, "version": move.origin, "step": move.at, "names": names}
    wanted |= {"state": move.state} if move.state else {}
    wanted |= {"limit": sending.limit} if sending.limit is not None else {}
    found = session.ask(lambda client: client.forecast_migration(name, **wanted))
    more["version"] = found.to
    if sending.dry_run:
        if sending.json:
            dump(found)
        else:
            _write_forecast(found, say)
        would = f"{count(len(found.fitting), 'journey')} would continue in {found.scenario}@{found.to}"
        note(f"scenario: {would}, {found.left_out:,} not: nothing was done")
        raise typer.Exit(0 if found.fitting and not found.left_out else 1)
    request = OperationCommand(Operation.MIGRATE, move.recorded(f"{found.scenario}@{found.to}"), sending, more)
    raise typer.Exit(_migrate_all(request, found, move.at))


def _migrate_one(journey: str, move: _MigrationOptions, sending: BatchOptions, names: dict[str, str]) -> None:
    for name, given in (("--from", move.origin), ("--state", move.state), ("--dry-run", sending.dry_run)):
        if given:
            raise typer.BadParameter(f"{name} is for the journeys of a scenario: leave it out, or name the scenario")
    more = {"version": move.to, "map": names or None, "waits": move.waits, "step": move.at}
    command = OperationCommand(Operation.MIGRATE, move.recorded(f"version {move.to}"), sending, more)
    operate_one(
        command, journey, lambda now: say(f"{journey}: continues in {now.get('moves_to') or now.get('scenario')}")
    )


def _migrate_all(request: OperationCommand, found: MigrationForecast, at: str | None) -> int:
    _write_forecast(found, note)
    targets = found.targets(at)
    if not targets:
        note(f"scenario: nothing to migrate: no journey {'matches' if found.left_out else 'is running there'}")
        return 1
    if not request.sending.yes and not confirmed(request, count(len(targets), "journey")):
        note("scenario: nothing was done")
        return 1
    tally = session.ask(lambda client: send(client, request, targets))
    if found.left_out:
        note(f"scenario: {count(found.left_out, 'journey')} left in their version, as said above")
    return 0 if tally.complete and not found.left_out else 1


def _write_forecast(found: MigrationForecast, write: Any) -> None:
    for number, difference in found.differences.items():
        told = "the differences cannot be read" if difference is None else difference
        write(f"{found.scenario}@{number} to @{found.to}: {told}")
        for redrawn in difference.redrawn if difference else ():
            write(f"  {redrawn.since(f'{found.scenario}@{number}')}")
        for one in found.standing:
            if one.version == number:
                write(f"  {one}")


_CountedArgument = Annotated[str, argument("NAME", "the scenario's name")]
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
    name: _CountedArgument,
    version: Annotated[int | None, option("N", "only this version", min=1)] = None,
    by: Annotated[Literal["day"] | None, typer.Option(help="numbers of each day (UTC) instead of now")] = None,
    days: Annotated[int | None, option("N", "with --by: days, default 30", min=1, max=90)] = None,
    form: FormatOption = "text",
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
    name: _CountedArgument,
    version: Annotated[int | None, option("N", "only contacts whom this version admitted", min=1)] = None,
    since: SinceOption = None,
    form: FormatOption = "text",
) -> None:
    """Show how many contacts reached a scenario's goal, by branch of each split and against the control group.

    --since: admitted since then. JSON: see "JSON of commands" in the reference.
    """
    from service import results as counted

    found = session.ask_store(
        lambda store: counted.results(store, name, datetime.now(UTC), version=version, since=since)
    )
    output(found, form, _show_results)


def _show_stats(found: StatsView) -> None:
    page = console()
    for item in found.versions:
        older = "" if item.is_newest else ", an older version"
        head = f"{found.scenario}@{item.version}{older}, at {local(found.as_of)}; last day: since"
        print_prose(page, text(f"{head} {local(found.since)}", "bold"))
        doing = "" if item.now is None else _listed(item.now.model_dump())
        ended = _listed(item.over)
        people = f"{item.entered:,} entered; {item.under_way:,} in progress"
        people += f" ({doing})" if doing else ""
        people += f"; ended: {ended}" if ended else ""
        print_prose(page, text(people))
        page.print()
        numbers = ("waiting", "held", "passed", "last day")
        rows = Table("step", *numbers, "in detail", right=numbers, prose=("in detail",))
        for step in item.steps:
            now = ("?", "?") if step.now is None else (_number(step.now.waiting), _number(step.now.held))
            passed = (_number(sum(counts.values())) for counts in (step.passed, step.passed_lately))
            rows.add(text(step.id, "bold"), *now, *passed, "; ".join(_details(step)))
        rows.show()
        page.print()
    if found.trouble:
        print_prose(page, styled("warning", f"warning: {found.trouble}"))
    print_prose(page, text(_STATS_LEGEND, "dim"))


def _show_trends(found: TrendsView) -> None:
    from service.stats import PeopleCount, SendingCount

    page = console()
    for item in found.versions:
        older = "" if item.is_newest else ", an older version"
        head = f"{found.scenario}@{item.version}{older}, {found.since} to {found.until} in UTC"
        print_prose(page, text(head, "bold"))
        counted: dict[tuple[date, str], list[str]] = {}
        for step in item.steps:
            for one in step.people:
                counted[one.day, step.id] = [f"{n:,}" if n else "" for n in PeopleCount.of(one.outcomes)]
            for one in step.attempts or ():
                row = counted.setdefault((one.day, step.id), [""] * 3)
                row.append(_listed(SendingCount.of(one.outcomes)._asdict()))
        numbers = ("passed", "failed", "skipped")
        rows = Table("day", "step", *numbers, "attempts to send", right=numbers, prose=("attempts to send",))
        order = {step.id: number for number, step in enumerate(item.steps)}
        for day, step in sorted(counted, key=lambda key: (key[0], order[key[1]])):
            people, attempts = counted[day, step][:3], "".join(counted[day, step][3:])
            rows.add(day.isoformat(), text(step, "bold"), *people, attempts)
        rows.show()
        page.print()
    if found.attempts_since > found.since:
        print_prose(page, styled("warning", f"warning: attempts are counted from {found.attempts_since} only"))
    print_prose(page, text(_TRENDS_LEGEND, "dim"))


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
    from service.results import headline, remarks

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
