"""The command `convert`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from authoring.errors import BadInput
from cli import entry_files
from cli.options import FormatOption, argument, flag, option
from cli.terminal import dump, note

FileArgument = Annotated[str, argument("FILE", "a template, or a scenario file; - is standard input")]
OutputOption = Annotated[Path | None, option("FILE", "the output file, instead of standard output", "--output", "-o")]
SampleOption = Annotated[
    str | None,
    option("FILE", "a contact or an entry in the platform's format, for the names of the custom fields c0, c1, …"),
]
LiquidOption = Annotated[bool, flag("--keep-liquid", "the template contains Liquid already: keep it unchanged")]


def convert(
    file: FileArgument,
    output: OutputOption = None,
    sample: SampleOption = None,
    keep_liquid: LiquidOption = False,
    form: FormatOption = "text",
) -> None:
    """Convert a template in the platform's old syntax, $firstname$ and {SPLIO IF …}, to Liquid.

    In a scenario file, the templates are converted and the rest stays unchanged. Parts that cannot be converted are
    listed on standard error as file:line:column: message, and the exit status is 1. As JSON: {"text", "left", "notes"}.
    Each of them is replaced by {{ not_converted['…'] }}, which 'scenario check' rejects.
    """
    from splio.fields import CustomFieldNames
    from splio.scenario_file import convert_scenario, is_scenario
    from splio.writer import convert as convert_template

    name, names = entry_files.named(file), None
    try:
        text = entry_files.read(file).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadInput(f"{name} is not UTF-8: save it as UTF-8") from None
    if sample is not None:
        wanted = "a sample is a contact or an entry, a JSON object"
        given = entry_files.parse(entry_files.read(sample), entry_files.named(sample), wanted=wanted)
        names = CustomFieldNames.from_data(given)
    if is_scenario(text):
        converted = convert_scenario(text, names)
    else:
        converted = convert_template(text, names, keep_liquid=keep_liquid)
    if output is not None:
        with entry_files.writing(output) as written:
            written.write(converted.text)
    if form == "json":
        dump({"text": converted.text, "left": converted.unconverted, "notes": converted.notes})
    else:
        if output is None:
            # UTF-8 for any terminal, since it is a file's content, and files are read as UTF-8.
            sys.stdout.flush()
            sys.stdout.buffer.write(converted.text.encode())
            sys.stdout.buffer.flush()
        for rest in converted.unconverted:
            note(f"{name}:{rest.line}:{rest.column}: {rest.message}")
        for remark in converted.notes:
            note(f"scenario: {remark}")
    if number := len(converted.unconverted):
        note(f"scenario: {number} {'part' if number == 1 else 'parts'} of {name} must be converted by hand")
        raise typer.Exit(1)
