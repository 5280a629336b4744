"""The command that checks and shows `policies.yaml`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.destinations import DestinationsOption, known_in
from gateway.cli.options import Format, FormatOption
from gateway.terminal import dump, note, say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scenario.policies.policies import Policies

PoliciesOption = Annotated[
    Path | None,
    typer.Option(
        "--policies", metavar="FILE", envvar="SCENARIO_POLICIES", help="policies.yaml, what holds for all scenarios"
    ),
]
_FileArgument = Annotated[
    Path | None, typer.Argument(metavar="[FILE]", help="policies.yaml; by default SCENARIO_POLICIES")
]


def policies_in(path: Path | None) -> Policies:
    """Read the policies of a file, or return empty policies without one.

    Raises:
        BadInput: The file cannot be read.
        UnusableFile: The file has errors.
    """
    from runtime.watched_file import read_policies
    from scenario.policies.policies import Policies

    if path is None or path == Path():  # an empty variable is one not set
        return Policies()
    _content(path)
    return read_policies(path)


def _content(path: Path) -> bytes:
    """Read a file's bytes. The worker's own message would name the environment variable."""
    from gateway.errors import unreadable

    try:
        return path.read_bytes()
    except OSError as error:
        advice = "name another policies.yaml, here or with SCENARIO_POLICIES"
        raise unreadable(path, error, advice) from None


def policies(
    file: _FileArgument = None, destinations: DestinationsOption = None, form: FormatOption = Format.TEXT
) -> None:
    """Check policies.yaml, and show its quiet hours, holdout and caps.

    With a destinations.yaml, also report names that are neither a channel nor a destination. The exit status is 1 if
    the file has an error. JSON has the keys findings and policies.
    """
    from gateway.errors import BadInput
    from runtime.settings import Settings
    from scenario.policies.policies import examine

    path = file or Settings().policies
    if path is None:
        raise BadInput("there is no file to look at: name one, or set SCENARIO_POLICIES")
    known = known_in(destinations)
    findings, found = examine(_content(path), str(path), None if known is None else known.destinations)
    if form is Format.JSON:
        told = found and found.model_dump(mode="json", by_alias=True, exclude_none=True)
        dump({"findings": [finding.as_json() for finding in findings], "policies": told})
    else:
        for finding in findings:
            say(str(finding))
        for line in _lines(found) if found else ():
            say(line)
    if found is None:
        raise typer.Exit(1)
    if not (found.quiet_hours or found.holdout or found.caps):
        note("nothing is set: no quiet hours, no holdout, no caps")


def _lines(found: Policies) -> Iterator[str]:
    from scenario.policies.draw import percent

    for hours in found.quiet_hours:
        yield f"quiet hours  {hours.words}"
    if found.holdout:
        share = percent(found.holdout.share)
        yield f"holdout      {share} % of all contacts get no marketing, drawn by {found.holdout.seed}"
    for cap in found.caps:
        whom = ", ".join(cap.channels) if cap.channels else "all messages"
        yield f"cap          {cap.name}: {cap.words}, {whom}"
