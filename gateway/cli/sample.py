"""The command that generates an entry to start with: sample."""

from __future__ import annotations

from gateway.cli.destinations import DestinationsOption
from gateway.cli.options import Format
from gateway.cli.preview import FileArgument, book_of, draft_of
from gateway.terminal import dump


def sample(file: FileArgument, destinations: DestinationsOption = None) -> None:
    """Print a generated entry that has exactly the fields that the scenario's templates and conditions use.

    Edit its values, then use it: scenario sample a.yaml > entry.json, then scenario preview a.yaml --entry entry.json.
    """
    from gateway.errors import BadInput
    from gateway.preview.first_entry import first_entry

    entry = first_entry(draft_of(file, book_of(destinations), Format.TEXT))
    if entry is None:
        raise BadInput(f"no made-up contact is admitted by 'entry.if' of {file}: write an entry by hand")
    dump(entry)
