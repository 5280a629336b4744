"""The command that makes up an entry to begin with: sample."""

from __future__ import annotations

from gateway.cli.destinations import DestinationsOption
from gateway.cli.options import Format
from gateway.cli.preview import FileArgument, book_of, draft_of
from gateway.terminal import dump


def sample(file: FileArgument, destinations: DestinationsOption = None) -> None:
    """Print an entry to begin with, made up: with what the scenario's templates and conditions name, and no more.

    Change its values to what you want to see: scenario sample a.yaml > entry.json, then scenario preview a.yaml --entry
    entry.json.
    """
    from gateway.errors import BadInput
    from gateway.preview.first_entry import first_entry

    entry = first_entry(draft_of(file, book_of(destinations), Format.TEXT))
    if entry is None:
        raise BadInput(f"no made-up contact is admitted by 'entry.if' of {file}: write an entry by hand")
    dump(entry)
