"""Options and arguments that several commands share."""

from __future__ import annotations

import getpass
import os
from enum import StrEnum
from typing import Annotated

import typer


class Format(StrEnum):
    """For whom the output is."""

    TEXT = "text"
    JSON = "json"


FormatOption = Annotated[Format, typer.Option("--format", help="text for people, json for programs")]
JourneyArgument = Annotated[
    str, typer.Argument(metavar="JOURNEY", help="the journey's id, such as post-purchase/3028687/CGX0094")
]
ReasonOption = Annotated[str, typer.Option("--reason", metavar="TEXT", help="why, for the record")]
OperatorOption = Annotated[
    str | None,
    typer.Option("--operator", metavar="NAME", help="who; by default your login name", show_default=False),
]


def login() -> str:
    """Who runs this command, as far as the system knows."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return f"user {os.getuid()}"
