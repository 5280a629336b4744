"""The command that checks a file of contacts for a campaign, without a server."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from gateway.cli.campaign import GEARS, AudienceOption, EncodingOption, NameOption
from gateway.cli.entry_files import writing
from gateway.cli.options import Format, FormatOption
from gateway.cli.output import progress
from gateway.cli.preview import draft_of
from gateway.terminal import dump, note, say

if TYPE_CHECKING:
    from gateway.campaigns.survey import Survey

_SHOWN: Final = 20


def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="the scenario, a YAML file")],
    audience: AudienceOption,
    encoding: EncodingOption = None,
    name: NameOption = None,
    write: Annotated[
        Path | None, typer.Option(metavar="ENTRIES", help="write the entries, one a line, to this file")
    ] = None,
    form: FormatOption = Format.TEXT,
) -> None:
    """Check whether the contacts of a file can enter a scenario. Nothing is started.

    Prints the file's form, the number of lines that can enter, and those that cannot, with their reasons. A table has
    columns such as contact.id, contact.email, custom.vip, order.external_id; a line of JSON is an entry, in which
    scenario and trigger may be missing. With --write, 'scenario enter' takes the written file. The exit status is 1 if
    more than 1 % of the lines are invalid.
    """
    from gateway.campaigns.audience_file import open_audience
    from gateway.campaigns.survey import Surveyor
    from runtime.settings import Settings
    from scenario.plan.compile import compile_plan
    from scenario.plan.plan import gear_of

    draft = draft_of(file, None, form)
    gear = gear_of(compile_plan(draft.scenario))
    campaign = name or draft.scenario.scenario
    surveyor = Surveyor(draft.scenario, None, campaign, Settings().platform_timezone)
    with ExitStack() as stack:
        people = stack.enter_context(open_audience(audience, encoding))
        output = stack.enter_context(writing(write)) if write else None
        advance = stack.enter_context(progress("reading", None, lambda: f"{surveyor.lines:,} lines"))
        for found in surveyor.entries(people):
            advance()
            if output:
                output.write(json.dumps(found.entry, ensure_ascii=False) + "\n")
    survey = surveyor.result(people)
    if form is Format.JSON:
        dump({**survey.model_dump(mode="json"), "gear": gear.name, "gear_reason": gear.reason})
    else:
        _show(survey, audience, draft.scenario.scenario)
        say(f"gear {gear.name}, because {gear.reason}: {GEARS[gear.name]}")
    if not survey.is_acceptable:
        raise typer.Exit(1)


def _show(survey: Survey, audience: Path, scenario: str) -> None:
    say(f"{audience}: {survey.form}")
    if survey.columns:
        say(f"columns: {', '.join(survey.columns)}")
    for column in survey.unknown_columns:
        note(f"scenario: '{column}' is not a standard field of a contact: it is kept unchanged")
    say(f"{survey.entries:,} of {survey.lines:,} lines can enter {scenario}")
    if survey.duplicates:
        say(f"duplicates, which are skipped: {survey.duplicates:,}")
    if survey.invalid:
        say(f"invalid lines: {survey.invalid:,}")
        for line in survey.invalid_lines[:_SHOWN]:
            say(f"  line {line.line}: {line.problem}")
        if survey.invalid > _SHOWN:
            say(f"  … and {survey.invalid - min(_SHOWN, survey.invalid):,} more")
    say(f"SHA-256 {survey.digest}")
