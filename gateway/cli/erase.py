"""The command that erases a contact: erase."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.cli import session
from gateway.cli.options import Format, FormatOption, OperatorOptions, grouped
from gateway.terminal import dump, note, say

ContactArgument = Annotated[str, typer.Argument(metavar="CONTACT", help="the contact's id")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="tell what there is, and erase nothing")]


@grouped
def erase(
    *,
    contact: ContactArgument,
    record: OperatorOptions,
    dry_run: DryRunOption = False,
    form: FormatOption = Format.TEXT,
) -> None:
    """Erase a contact: its journeys end, what is kept of it cannot be read any more, and nothing is taken for it.

    With --format json the report can be filed: it names the contact by an HMAC alone. It may be repeated. For good:
    there is no way back, and a contact who returns needs another id.
    """
    done = session.ask(lambda client: client.erase(contact, operator=record.who, reason=record.reason, dry_run=dry_run))
    if form is Format.JSON:
        dump(done.as_json())
        return
    rows = done.rows
    what = f"{done.histories} runs of journeys, {done.ended} of them under way"
    kept = f"{rows.entries} entries, {rows.deliveries} attempts, {rows.claims} claims"
    if dry_run:
        say(f"there are {what}; and in the store {kept}: nothing was done")
        return
    say(f"erased{' again' if done.before else ''}: {what}; and in the store {kept}")
    if done.encrypted:
        note(
            "scenario: copies of the store that were made before hold the contact's key, wrapped: to make it useless, "
            "put a new key in front of SCENARIO_ENCRYPTION_KEYS, run 'scenario encryption rotate', and destroy the old"
        )
    else:
        note("scenario: nothing was encrypted: copies of the databases that were made before can still be read")
