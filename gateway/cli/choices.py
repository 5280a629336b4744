"""Options by which an operator says which journeys are meant, and how fast and how carefully they are operated on."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from gateway.cli.options import CAUSES, cause, rate


def _version(text: str) -> int | Literal["newest"]:
    if text == "newest":
        return "newest"
    if not text.isascii() or not text.isdigit() or not int(text):
        raise typer.BadParameter(f"'{text}' is not a version: write its number, such as 4, or newest")
    return int(text)


JourneyOrMany = Annotated[
    str | None,
    typer.Argument(
        metavar="[JOURNEY]",
        help="the journey's id, such as post-purchase/3028687/CGX0094; without it, all that fit",
        show_default=False,
    ),
]
StepOption = Annotated[
    str | None, typer.Option("--step", metavar="STEP", help="only if the journey is at this step", show_default=False)
]
HeldAtOption = Annotated[
    str | None,
    typer.Option(
        "--destination",
        metavar="NAME",
        help="only those held because of this destination or host",
        show_default=False,
    ),
]
HeldForOption = Annotated[
    str | None,
    typer.Option(
        "--held-reason",
        metavar="WORD",
        parser=cause,
        help=f"only those held for this: {', '.join(CAUSES)}",
        show_default=False,
    ),
]
SendingToOption = Annotated[
    str | None,
    typer.Option(
        "--destination",
        metavar="NAME",
        help="only those whose scenario sends to this destination or host; email, sms",
        show_default=False,
    ),
]
RateOption = Annotated[
    float, typer.Option("--rate", metavar="N/s", parser=rate, help="at most so many operations a second: 10/s, 600/m")
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="list the journeys it would go to, and send nothing")]
SomeOption = Annotated[
    int | None, typer.Option("--limit", metavar="N", min=1, help="at most so many journeys", show_default=False)
]
YesOption = Annotated[bool, typer.Option("--yes", help="do not ask for confirmation at a terminal")]
VersionOption = Annotated[
    int | None,
    typer.Option(
        "--with-version",
        metavar="N|newest",
        parser=_version,
        help="render again, with this version's templates",
        show_default=False,
    ),
]
