"""Commands about published scenarios: versions, close, open, and migrate, which moves journeys between versions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from gateway.cli import session
from gateway.cli.operate import OperationCommand, confirmed, operate_one, send
from gateway.cli.options import (
    BatchOptions,
    Format,
    FormatOption,
    OperatorOption,
    OperatorOptions,
    argument,
    grouped,
    login,
    option,
    record,
    version,
)
from gateway.cli.output import Table, count
from gateway.service.caller import TERMINAL
from gateway.terminal import dump, local, note, say, styled
from scenario.words import Operation

if TYPE_CHECKING:
    from gateway.operations.migration import MigrationForecast
    from gateway.service.scenarios import VersionView

_ScenarioArgument = Annotated[str, argument("SCENARIO", "the scenario's name")]
_OneArgument = Annotated[str | None, argument("[SCENARIO]", "list all versions of this scenario")]
_WhyOption = Annotated[str | None, option("TEXT", "reason, shown to refused entries", parser=record)]


def versions(scenario: _OneArgument = None, form: FormatOption = Format.TEXT) -> None:
    """List published scenarios: the newest version of each, and older versions with running journeys.

    JSON is a list of objects with scenario, version, newest, published_at, published_by, journeys, under_way,
    closed_at, closed_by and reason.
    """
    from gateway.service.scenarios import ScenarioService

    found = session.ask_store(lambda store: ScenarioService(store).versions(TERMINAL, scenario))
    if form is Format.JSON:
        dump([_as_json(item) for item in found])
    elif found:
        _show(found)
    else:
        note("nothing is published")


def close(scenario: _ScenarioArgument, reason: _WhyOption = None, operator: OperatorOption = None) -> None:
    """Close a scenario to new entries immediately. Running journeys continue.

    All entries are refused with the reason. 'scenario open' opens it again.
    """
    from gateway.service.scenarios import ScenarioService

    who = {"operator": operator or login(), "reason": reason or ""}
    done = session.ask_store(lambda store: ScenarioService(store).close(TERMINAL, scenario, **who), writes=True)
    state = "is closed" if done.changed else "was closed already"
    say(f"{scenario} {state}: new entries are refused, and running journeys continue")


def reopen(scenario: _ScenarioArgument) -> None:
    """Open a closed scenario to new entries."""
    from gateway.service.scenarios import ScenarioService

    done = session.ask_store(lambda store: ScenarioService(store).open(TERMINAL, scenario), writes=True)
    say(f"{scenario} {'is open again' if done.changed else 'was not closed'}: contacts are admitted")


def _show(found: list[VersionView]) -> None:
    columns = ("version", "published (local)", "by", "journeys", "under way", "")
    rows = Table(*columns, right=("under way",), prose=("",))
    for item in found:
        state = styled("", "" if item.newest else "older")
        if item.newest and (closed := item.closed):
            why = f": {closed.reason}" if closed.reason else ""
            state = styled("refused", f"closed since {local(closed.at)} by {closed.by}{why}")
        name = f"{item.scenario}@{item.version}"
        rows.add(name, local(item.published_at), item.published_by, item.journeys, item.under_way, state)
    rows.show()


def _as_json(item: VersionView) -> dict[str, Any]:
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


def _pair(text: str) -> tuple[str, str]:
    was, _, becomes = (part.strip() for part in text.partition("="))
    if not was or not becomes:
        raise typer.BadParameter(f"'{text}' maps no step: write the old id, =, and the new one, such as wait-2=wait-3")
    return was, becomes


@dataclass(frozen=True, kw_only=True)
class _Move:
    to: Annotated[int, option("N|newest", "the version to continue in", parser=version)] = "newest"  # pyright: ignore[reportAssignmentType] - its parser makes it that
    names: Annotated[list[Any] | None, option("OLD=NEW", "a step's new id; may be repeated", "--map", parser=_pair)] = (
        None
    )
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
def migrate(name: NameArgument, move: _Move, sending: BatchOptions) -> None:
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
        _one(name, move, sending, names)
        return
    wanted: dict[str, Any] = {"to": move.to, "version": move.origin, "step": move.at, "names": names}
    wanted |= {"state": move.state} if move.state else {}
    wanted |= {"limit": sending.limit} if sending.limit is not None else {}
    found = session.ask(lambda client: client.forecast_migration(name, **wanted))
    more["version"] = found.to
    if sending.dry_run:
        _forecast(found, sending)
        raise typer.Exit(0 if found.fitting and not found.left_out else 1)
    request = OperationCommand(Operation.MIGRATE, move.recorded(f"{found.scenario}@{found.to}"), sending, more)
    raise typer.Exit(_carry_out(request, found, move.at))


def _one(journey: str, move: _Move, sending: BatchOptions, names: dict[str, str]) -> None:
    for name, given in (("--from", move.origin), ("--state", move.state), ("--dry-run", sending.dry_run)):
        if given:
            raise typer.BadParameter(f"{name} is for the journeys of a scenario: leave it out, or name the scenario")
    more = {"version": move.to, "map": names or None, "waits": move.waits, "step": move.at}
    command = OperationCommand(Operation.MIGRATE, move.recorded(f"version {move.to}"), sending, more)
    operate_one(
        command, journey, lambda now: say(f"{journey}: continues in {now.get('moves_to') or now.get('scenario')}")
    )


def _carry_out(request: OperationCommand, found: MigrationForecast, at: str | None) -> int:
    _counts(found, note)
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


def _counts(found: MigrationForecast, write: Any) -> None:
    for number, difference in found.differences.items():
        told = "the differences cannot be read" if difference is None else difference
        write(f"{found.scenario}@{number} to @{found.to}: {told}")
        for redrawn in difference.redrawn if difference else ():
            write(f"  {redrawn.since(f'{found.scenario}@{number}')}")
        for one in found.standing:
            if one.version == number:
                write(f"  {one}")


def _forecast(found: MigrationForecast, sending: BatchOptions) -> None:
    if sending.json:
        from gateway.service.operation_views import MigrationView

        dump(MigrationView.of(found))
    else:
        _counts(found, say)
    fitting = count(len(found.fitting), "journey")
    note(f"scenario: {fitting} would continue in {found.scenario}@{found.to}, {found.left_out:,} not: nothing was done")
