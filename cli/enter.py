"""Commands that admit contacts, one or many, and report events and changes: enter, event, change."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Annotated, Any, Final

import typer

from authoring.errors import BadInput, Refusal
from cli import session
from cli.entry_files import Line, count_lines, lines, named, opened, parse, read_entry
from cli.options import argument, flag, option
from cli.output import count, progress
from cli.terminal import dump, note, say
from service.concurrency import Concurrency
from service.errors import NotFound

if TYPE_CHECKING:
    from service.client import Entered, EventView, ScenarioClient
    from service.entries import AdmissionWatch


TABLES: Final = (".csv", ".tsv", ".xlsx", ".parquet", ".gz")  # ends of the names of files that campaigns read
EntryArgument = Annotated[
    str, argument("ENTRY", "a JSON file; - is standard input; a .jsonl file holds one entry a line")
]
ManyOption = Annotated[bool, flag("--many", "one entry a line, whatever the file is called")]
WaitOption = Annotated[bool, flag("--wait", "wait for the journey's end, and print its result")]
ContactArgument = Annotated[str, argument("CONTACT", "the contact's id")]
FieldsArgument = Annotated[
    str, argument("JSON", "an object with the fields that changed, as an entry's contact has them")
]
NameArgument = Annotated[str, argument("NAME", "such as order.delivered")]
PropertiesOption = Annotated[str, option("JSON", "what conditions see as event.…, as a JSON object")]
IdOption = Annotated[str | None, option("ID", "sent twice with one id, it counts once", "--id")]


def enter(entry: EntryArgument, many: ManyOption = False, wait: WaitOption = False) -> None:
    """Admit a contact to a scenario. Print the journey's id.

    With --wait, the result follows as JSON. With --many, the id of each line is printed; with --wait too, one line of
    JSON with result and id. Refused entries, and admissions that no worker confirms, are reported on standard error.
    Both make the exit status 1.
    """
    from scenario.entry.entry import parse_entry

    if entry.lower().endswith(TABLES):
        raise typer.BadParameter(
            f"{entry} is for a campaign: enter its contacts by 'scenario campaign start SCENARIO --audience {entry}'"
        )
    if many or entry.lower().endswith(".jsonl"):
        raise typer.Exit(asyncio.run(enter_all(entry, wait=wait)))

    async def admit(client: ScenarioClient) -> None:
        entered = await client.enter(given)
        say(entered.id)
        remark(entered, await client.trouble() if not entered.admitted else None)
        if wait:
            dump(await entered.verdict())

    given = read_entry(entry)
    parse_entry(given)  # reports mistakes without a server
    session.ask(admit)


def remark(entered: Entered, trouble: str | None = None) -> None:
    """Print remarks about a journey that was just started. `trouble`: why the store cannot be used, or None."""
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
    from service.events import event_message

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
    if heard.unknown:
        advice = f"'scenario {command}' takes the contact's id first, then {second}"
        raise NotFound(f"contact {contact} has never had a journey: {advice}")
    parts = [f"{count(heard.told, 'journey')} told"] if heard.told else []
    if heard.pending:
        parts.append(f"{count(heard.pending, 'entry', 'entries')} pending, told once admitted")
    if not parts:
        parts.append(f"no journey told: none {'uses this event' if heard.unused else 'is running'}")
    if heard.goals:
        parts.append(f"{count(heard.goals, 'goal')} counted")
    say("; ".join(parts))


ENTERING: Final = 50  # entries started at the same time. More would queue: a server accepts some hundreds per second
OPEN: Final = 10_000  # maximum number of journeys with a pending admission. Starting then waits for the workers
WAITING: Final = 500  # results that ``--wait`` awaits at the same time
UNPLACED: Final = "contact.timezone cannot be used, and the scenario's is: 'scenario show JOURNEY' says why"
UNADMITTED: Final = "no worker has processed it yet: check that one is running ('scenario dev', or worker.py)"
_LISTED: Final = 20  # journeys with an unknown admission that are listed one by one


def unadmitted(trouble: str | None) -> str:
    """Return why it is not known whether a journey was admitted: the store fails, or no worker runs."""
    if trouble is None:
        return UNADMITTED
    return "its admission is pending: " + trouble[:1].lower() + trouble[1:].removesuffix(".")


@dataclass
class EntryTally:
    """Counts of a run over a file of entries."""

    started: int = 0
    entered: int = 0
    already: int = 0
    refused: int = 0
    unplaced: int = 0
    unknown: list[str] = field(default_factory=list[str])

    def __str__(self) -> str:
        parts = [f"{self.entered} entered"]
        parts += [f"{self.already} already running"] if self.already else []
        parts += [f"{self.refused} not entered"] if self.refused else []
        parts += [f"{len(self.unknown)} not known"] if self.unknown else []
        return ", ".join(parts)

    def so_far(self) -> str:
        return (
            f"started {self.started}, entered {self.entered + self.already}, not entered {self.refused}, "
            f"not known {len(self.unknown)}"
        )


@dataclass
class Bulk:
    """A run over a file of entries."""

    client: ScenarioClient
    name: str
    wait: bool
    tally: EntryTally
    advance: Any
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(ENTERING))

    async def run(self, file: IO[bytes]) -> None:
        """Start a journey for each line. Raise SetupError or StoreError if a server or the store cannot be reached."""
        watch = self.client.watch_admissions()
        async with Concurrency(WAITING if self.wait else OPEN) as entries:
            async for line in lines(file, self.name):
                await entries.acquire()
                if entries.has_failed:
                    break
                entries.start(self._one(line, watch))

    async def _one(self, line: Line, watch: AdmissionWatch) -> None:
        """Start one journey. A refusal is reported and counted. An error that affects all entries ends the run."""
        try:
            entry = parse(line.content, self.name, line=line.number)
            async with self.turns:
                entered = await self.client.enter(entry, settle=0)
            self.tally.started += 1
            self.tally.unplaced += bool(entered.unplaced)
            known = entered.already or await watch.known(entered)
            if not known:
                self.tally.unknown.append(entered.id)
            elif entered.already:
                self.tally.already += 1
            else:
                self.tally.entered += 1
            if self.wait and known:
                dump({"id": entered.id, **await entered.result()}, indent=None)
            elif known:
                say(entered.id)
        except Refusal as error:
            self.tally.refused += 1
            where = "" if isinstance(error, BadInput) and error.line else f"line {line.number}: "
            note(f"scenario: {where}{error}")
        finally:
            self.advance()


async def enter_all(source: str, *, wait: bool) -> int:
    """Start a journey for each line of a file. Raise BadInput if it cannot be read, else as `session.connected`.

    Return the exit status: 1 if an entry was refused or failed, or its admission is not known.
    """
    tally = EntryTally()
    trouble: str | None = None
    try:
        async with AsyncExitStack() as stack:
            total = count_lines(source)
            file = stack.enter_context(opened(source))
            client = await stack.enter_async_context(session.connected())
            advance = stack.enter_context(progress("entering", total, tally.so_far))
            await Bulk(client, named(source), wait, tally, advance).run(file)
            if tally.unknown:
                trouble = await client.trouble()
    except BaseException:
        if tally.started:  # to continue, a person needs the numbers
            note(f"scenario: {tally.so_far()}")
        raise
    for identifier in tally.unknown[:_LISTED]:
        note(f"scenario: {identifier}: {unadmitted(trouble)}")
    if len(tally.unknown) > _LISTED:
        note(f"scenario: … and {len(tally.unknown) - _LISTED} more")
    if tally.unplaced:
        note(f"scenario: {tally.unplaced} of them: {UNPLACED}")
    note(f"scenario: {tally}")
    return 1 if tally.refused or tally.unknown else 0
