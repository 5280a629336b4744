"""Options and arguments that several commands use, single and in groups."""

from __future__ import annotations

import functools
import getpass
import inspect
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, is_dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

import typer

from runtime.api_keys import names_key
from scenario.errors import DurationError
from scenario.time import parse_duration, per_second
from scenario.words import CAUSES

Format = Literal["text", "json"]


def option(metavar: str, help_: str, *names: str, **more: Any) -> Any:
    """Return an option with a value. It is named as its parameter unless it has other names."""
    return typer.Option(*names, metavar=metavar, help=help_, **more)


def flag(name: str, help_: str, **more: Any) -> Any:
    return typer.Option(name, help=help_, **more)


def argument(metavar: str, help_: str, **more: Any) -> Any:
    return typer.Argument(metavar=metavar, help=help_, **more)


FormatOption = Annotated[Format, typer.Option("--format", help="text for people, json for programs")]
_LONGEST: Final = 500  # characters of an operation's operator and reason; the journey would refuse more


def one_of(words: Sequence[str]) -> Callable[[str], str]:
    """Return a parser that accepts some words only."""

    def word(text: str) -> str:
        if text not in words:
            raise typer.BadParameter(f"'{text}' is not one of {', '.join(words)}")
        return text

    return word


def word_option(words: Sequence[str], help_: str) -> Any:
    """Return an option that takes one of some words. The help lists them."""
    return typer.Option(metavar="WORD", parser=one_of(words), help=f"{help_}: {', '.join(words)}")


def record(text: str) -> str:
    """Check a text for the record: an operator or a reason."""
    if not text.strip() or len(text) > _LONGEST:
        raise typer.BadParameter(f"write 1 to {_LONGEST} characters for the record")
    return text


def operator_name(text: str) -> str:
    """Return an operator's name for the record. Only the gateway records keys."""
    if names_key(text):
        raise typer.BadParameter("an operator's name must not name a key")
    return record(text)


def moment(text: str) -> datetime:
    """Parse a duration ago (``2h``), or an ISO 8601 date and time; without a zone, in this machine's time zone."""
    try:
        parsed = datetime.fromisoformat(text.strip())
    except ValueError:
        pass
    else:
        return parsed.astimezone(UTC)
    try:
        return datetime.now(UTC) - abs(parse_duration(text))
    except (DurationError, OverflowError):
        raise typer.BadParameter(f"'{text}' is neither a time nor a duration: write 2026-03-31T10:00 or 2h") from None


def a_second(text: str) -> float:
    """Parse a rate per second: ``10/s``, ``600/m``, ``0.5/s``."""
    number = per_second(text.strip()) or per_second(f"{text.strip()}/s")
    if not 0 < number <= 10_000:
        raise typer.BadParameter(f"'{text}' is not a rate: write 10/s, 600/m or 0.5/s")
    return number


def length(text: str) -> float:
    """Parse a duration in seconds, such as ``30s`` or ``3d``."""
    try:
        return parse_duration(text).total_seconds()
    except DurationError as error:
        raise typer.BadParameter(str(error)) from None


def version(text: str) -> int | Literal["newest"]:
    """Parse a scenario version: a number or ``newest``."""
    if text == "newest":
        return "newest"
    if not text.isascii() or not text.isdigit() or not int(text):
        raise typer.BadParameter(f"'{text}' is not a version: write its number, such as 4, or newest")
    return int(text)


def login() -> str:
    """Return the system's name of the user who runs this command."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return f"user {os.getuid()}"


ScenarioOption = Annotated[str | None, option("NAME", "only those of this scenario")]
ContactOption = Annotated[str | None, option("CONTACT", "only this contact's")]
LimitOption = Annotated[int, option("N", "maximum number", min=1, max=10_000)]
SinceOption = Annotated[
    datetime | None,
    option("TIME|DURATION", "only since this time: 2026-03-31T10:00, or 2h for two hours ago", parser=moment),
]


OperatorOption = Annotated[
    str | None, option("NAME", "operator to record; by default your login", parser=operator_name)
]


@dataclass(frozen=True, kw_only=True)
class OperatorOptions:
    """The operator and the reason of an operation, for the record."""

    reason: Annotated[str, option("TEXT", "reason to record", parser=record)]
    operator: OperatorOption = None

    @property
    def who(self) -> str:
        return self.operator or login()


@dataclass(frozen=True, kw_only=True)
class RunningJourneys:
    """The journey that an operation goes to, or filters for running journeys."""

    journey: Annotated[
        str | None,
        argument("[JOURNEY]", "the journey's id, such as post-purchase/3028687/CGX0094; without it, all that match"),
    ] = None
    scenario: ScenarioOption = None
    destination: Annotated[
        str | None, option("NAME", "only if the scenario sends to this destination or host; email, sms")
    ] = None
    since: SinceOption = None


@dataclass(frozen=True, kw_only=True)
class PausedJourneys(RunningJourneys):
    """The journey to resume, or filters for paused journeys."""

    operation: Annotated[str | None, option("ID", "exactly those that this earlier operation paused")] = None


@dataclass(frozen=True, kw_only=True)
class HeldJourneys(RunningJourneys):
    """The journey that an operation goes to, or filters for held journeys."""

    destination: Annotated[str | None, option("NAME", "only those held because of this destination or host")] = None
    held_reason: Annotated[str | None, word_option(tuple(CAUSES), "only those held for this")] = None
    step: Annotated[str | None, option("STEP", "only if the journey is at this step")] = None


@dataclass(frozen=True, kw_only=True)
class StoppedJourneys(HeldJourneys):
    """The journey that an operation goes to, or filters for held or retrying journeys."""

    state: Annotated[str | None, word_option(("held", "retrying"), "those in this state, by default held")] = None


@dataclass(frozen=True, kw_only=True)
class LeavingJourneys(StoppedJourneys):
    """The journey to end, or filters for held or all running journeys."""

    everybody: Annotated[
        bool,
        flag("--all", "all running journeys, held or not; --destination then selects by the scenario's destinations"),
    ] = False


@dataclass(frozen=True, kw_only=True)
class BatchOptions:
    """The rate and the confirmation of an operation on many journeys."""

    rate: Annotated[float, option("N/s", "maximum number of operations per second: 10/s, 600/m", parser=a_second)] = (
        "10/s"  # pyright: ignore[reportAssignmentType] - its parser makes it a number
    )
    limit: Annotated[int | None, option("N", "maximum number of journeys", min=1)] = None
    dry_run: Annotated[bool, flag("--dry-run", "list the matching journeys, and send nothing")] = False
    yes: Annotated[bool, flag("--yes", "do not ask for confirmation at a terminal")] = False
    form: FormatOption = "text"

    @property
    def json(self) -> bool:
        return self.form == "json"


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Adapt a command for typer: each parameter that is a dataclass becomes one option per field."""
    signature = inspect.signature(command, eval_str=True)
    groups: dict[str, tuple[Any, list[str]]] = {}
    flat: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        members = [parameter]
        if isinstance(group := parameter.annotation, type) and is_dataclass(group):
            members = list(inspect.signature(group, eval_str=True).parameters.values())
            groups[parameter.name] = group, [member.name for member in members]
        flat += [member.replace(kind=inspect.Parameter.KEYWORD_ONLY) for member in members]

    @functools.wraps(command)
    def call(**given: Any) -> None:
        built = {
            name: group(**{each: given.pop(each) for each in members}) for name, (group, members) in groups.items()
        }
        command(**given, **built)

    call.__signature__ = signature.replace(parameters=flat)  # pyright: ignore[reportAttributeAccessIssue]
    return call
