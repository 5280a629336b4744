"""Options and arguments that several commands share."""

from __future__ import annotations

import getpass
import os
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Final

import typer


class Format(StrEnum):
    """For whom the output is."""

    TEXT = "text"
    JSON = "json"


FormatOption = Annotated[Format, typer.Option("--format", help="text for people, json for programs")]
JourneyArgument = Annotated[
    str, typer.Argument(metavar="JOURNEY", help="the journey's id, such as post-purchase/3028687/CGX0094")
]

CAUSES: Final = ("permanent", "exhausted", "unknown", "unconfigured", "template")
"""The words for why a journey is held."""
_LONGEST: Final = 500  # characters of an operation's operator and reason; the journey would refuse more


def cause(text: str) -> str:
    """Why journeys are held, in one word.

    Raises:
        BadParameter: Nothing is ever held for that.
    """
    if text not in CAUSES:
        raise typer.BadParameter(f"nothing is held for '{text}': it is one of {', '.join(CAUSES)}")
    return text


def record(text: str) -> str:
    """What an operation says for the record: who, or why.

    Raises:
        BadParameter: It says nothing, or too much.
    """
    if not text.strip() or len(text) > _LONGEST:
        raise typer.BadParameter(f"say it in 1 to {_LONGEST} characters, for the record")
    return text


ReasonOption = Annotated[str, typer.Option("--reason", metavar="TEXT", parser=record, help="why, for the record")]
OperatorOption = Annotated[
    str | None,
    typer.Option(
        "--operator", metavar="NAME", parser=record, help="who; by default your login name", show_default=False
    ),
]


def moment(text: str) -> datetime:
    """A time in the past, as ``--since`` takes it.

    Args:
        text: So long ago (``2h``), or a date and time in ISO 8601; without a zone, on this machine's clock.

    Raises:
        BadParameter: It is neither.
    """
    from scenario.errors import DurationError
    from scenario.time.duration import parse_duration

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


def rate(text: str) -> float:
    """So many a second, as ``--rate`` takes it: ``10/s``, ``600/m``, ``0.5/s``.

    Raises:
        BadParameter: It is not a rate.
    """
    from scenario.time.duration import per_second

    number = per_second(text.strip()) or per_second(f"{text.strip()}/s")
    if not 0 < number <= 10_000:
        raise typer.BadParameter(f"'{text}' is not a rate: write 10/s, 600/m or 0.5/s")
    return number


def length(text: str) -> float:
    """A duration in seconds, such as ``30s`` or ``3d``.

    Raises:
        BadParameter: It is none.
    """
    from scenario.errors import DurationError
    from scenario.time.duration import parse_duration

    try:
        return parse_duration(text).total_seconds()
    except DurationError as error:
        raise typer.BadParameter(str(error)) from None


ScenarioOption = Annotated[
    str | None, typer.Option("--scenario", metavar="NAME", help="only those of this scenario", show_default=False)
]
ContactOption = Annotated[
    str | None, typer.Option("--contact", metavar="CONTACT", help="only this contact's", show_default=False)
]
LimitOption = Annotated[int, typer.Option("--limit", metavar="N", min=1, max=10_000, help="at most so many")]
SinceOption = Annotated[
    datetime | None,
    typer.Option(
        "--since",
        metavar="TIME|DURATION",
        parser=moment,
        help="only from then on: 2026-03-31T10:00, or 2h for so long ago",
        show_default=False,
    ),
]


def login() -> str:
    """Who runs this command, as far as the system knows."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return f"user {os.getuid()}"
