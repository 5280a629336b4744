"""Commands that admit contacts and report events and changes: enter, event, change."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from gateway.cli import session
from gateway.cli.enter_many import enter_all, unadmitted
from gateway.cli.entry_files import parse, read_entry
from gateway.cli.output import count
from gateway.terminal import dump, note, say

if TYPE_CHECKING:
    from gateway.client import Entered, EventView

TABLES: Final = (".csv", ".tsv", ".xlsx", ".parquet", ".gz")  # ends of the names of files that campaigns read
EntryArgument = Annotated[
    str, typer.Argument(metavar="ENTRY", help="a JSON file; - is standard input; a .jsonl file holds one entry a line")
]
ManyOption = Annotated[bool, typer.Option("--many", help="one entry a line, whatever the file is called")]
WaitOption = Annotated[bool, typer.Option("--wait", help="wait for the journey's end, and print its result")]
ContactArgument = Annotated[str, typer.Argument(metavar="CONTACT", help="the contact's id")]
FieldsArgument = Annotated[
    str, typer.Argument(metavar="JSON", help="an object with the fields that changed, as an entry's contact has them")
]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="such as order.delivered")]
PropertiesOption = Annotated[
    str, typer.Option("--properties", metavar="JSON", help="what conditions see as event.…, as a JSON object")
]
IdOption = Annotated[str | None, typer.Option("--id", metavar="ID", help="sent twice with one id, it counts once")]


def enter(entry: EntryArgument, many: ManyOption = False, wait: WaitOption = False) -> None:
    """Admit a contact to a scenario. Print the journey's id.

    With --wait, the result follows as JSON. With --many, the id of each line is printed; with --wait too, one line of
    JSON with result and id. Refused entries, and admissions that no worker confirms, are reported on standard error.
    Both make the exit status 1.
    """
    if entry.lower().endswith(TABLES):
        raise typer.BadParameter(
            f"{entry} is for a campaign: enter its contacts by 'scenario campaign start SCENARIO --audience {entry}'"
        )
    if many or entry.lower().endswith(".jsonl"):
        raise typer.Exit(asyncio.run(enter_all(entry, wait=wait)))
    asyncio.run(_enter(read_entry(entry), wait=wait))


async def _enter(entry: dict[str, Any], *, wait: bool) -> None:
    from scenario.entry.entry import parse_entry

    parse_entry(entry)  # reports mistakes without a server
    async with session.connected() as client:
        entered = await client.enter(entry)
        say(entered.id)
        remark(entered, await client.trouble() if not entered.admitted else None)
        if wait:
            dump(await entered.verdict())


def remark(entered: Entered, trouble: str | None = None) -> None:
    """Print remarks about a journey that was just started.

    Args:
        trouble: Why the store cannot be used, or None.
    """
    if entered.already:
        note(f"scenario: {entered.id} was already running")
    elif not entered.admitted:
        note(f"scenario: {entered.id}: {unadmitted(trouble)}")
    if entered.withheld:
        note(f"scenario: {entered.id} gets nothing: {entered.withheld}")
    if entered.unplaced:
        note(f"scenario: {entered.id}: contact.timezone is ignored: {entered.unplaced}")


def event(
    contact: ContactArgument, name: NameArgument, properties: PropertiesOption = "{}", identifier: IdOption = None
) -> None:
    """Report an event to all journeys of a contact, and count goals that their ended journeys reach by it."""
    from gateway.service.events import event_message

    wanted = """write an object such as '{"order_id": "CGX0094"}'"""
    given = parse(properties.encode(errors="surrogatepass"), "--properties", wanted=wanted)
    event_message(name, given, identifier)  # reports mistakes without a server
    heard = session.ask(lambda client: client.event(contact, name, given, identifier))
    _report("event", contact, "the name", heard)
    for journey, trouble in heard.troubles.items():
        note(f"scenario: {journey}: {trouble}")


def change(contact: ContactArgument, fields: FieldsArgument) -> None:
    """Report changed contact fields to all journeys of a contact, such as '{"timezone": "Asia/Tokyo"}'."""
    wanted = """write an object such as '{"language": "fr"}'"""
    patch = parse(fields.encode(errors="surrogatepass"), "the change", wanted=wanted)
    _report("change", contact, "the change", session.ask(lambda client: client.contact_changed(contact, patch)))


def _report(command: str, contact: str, second: str, heard: EventView) -> None:
    from gateway.errors import UnknownContact

    if heard.unknown:
        advice = f"'scenario {command}' takes the contact's id first, then {second}"
        raise UnknownContact(f"contact {contact} has never had a journey: {advice}")
    parts = [f"{count(heard.told, 'journey')} told"] if heard.told else []
    if heard.pending:
        parts.append(f"{count(heard.pending, 'entry', 'entries')} pending, told once admitted")
    if not parts:
        parts.append("no journey told: none is running")
    if heard.goals:
        parts.append(f"{count(heard.goals, 'goal')} counted")
    say("; ".join(parts))
