"""Commands about outgoing events: feed, and those of the group outgoing."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from gateway.cli import session
from gateway.cli.configuration import DestinationsOption, chosen, known_in
from gateway.cli.options import Format, FormatOption, OperatorOptions, grouped, one_of
from gateway.cli.output import Table, count
from gateway.service.caller import TERMINAL
from gateway.terminal import dump, local, note, say
from scenario.words import EVENT_TYPES, OutgoingOperation

if TYPE_CHECKING:
    from gateway.service.outgoing import SubscriptionView

_FileArgument = Annotated[
    Path | None, typer.Argument(metavar="[FILE]", help="outgoing.yaml; by default SCENARIO_OUTGOING")
]
_NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="the subscription's name in outgoing.yaml")]
_EventOption = Annotated[
    list[str] | None, typer.Option("--event", metavar="ID", help="only this event, which is held; repeatable")
]
_EventsOption = Annotated[list[str], typer.Option("--event", metavar="ID", help="the held event; repeatable")]
_AfterOption = Annotated[
    str, typer.Option(metavar="CURSOR", help="the sequence of the last event not to be sent again")
]
_PART: Final = 500  # events


def feed(
    after: Annotated[
        str | None,
        typer.Option(
            metavar="CURSOR",
            help="only events after this one's sequence; latest: from now on; without it, from the oldest that is kept",
        ),
    ] = None,
    types: Annotated[
        list[str] | None,
        typer.Option("--type", metavar="TYPE", parser=one_of(EVENT_TYPES), help="only this type; repeatable"),
    ] = None,
    scenarios: Annotated[
        list[str] | None, typer.Option("--scenario", metavar="NAME", help="only events of this scenario; repeatable")
    ] = None,
    *,
    follow: Annotated[bool, typer.Option("--follow", help="wait for further events, until Ctrl-C")] = False,
) -> None:
    """Print outgoing events, each as a CloudEvent in JSON on a line."""
    from gateway.service.outgoing import LONGEST_WAIT, OutgoingService

    async def print_all() -> None:
        async with session.stored() as store:
            service, cursor = OutgoingService(store), after
            while True:
                part = await service.feed(
                    TERMINAL,
                    cursor,
                    types=types,
                    scenarios=scenarios,
                    limit=_PART,
                    wait=LONGEST_WAIT if follow else 0.0,
                )
                for line in part.lines:
                    typer.echo(line.decode())
                cursor = part.cursor
                if not part.lines and not follow:
                    return

    asyncio.run(print_all())


def check(
    file: _FileArgument = None, destinations: DestinationsOption = None, form: FormatOption = Format.TEXT
) -> None:
    """Check outgoing.yaml, and show its subscriptions.

    With a destinations.yaml, also report unknown destinations. The exit status is 1 if the file has an error. JSON has
    the keys findings and outgoing.
    """
    from activities.outgoing.file import examine
    from runtime.settings import Settings

    path, content = chosen(file, Settings().outgoing, "outgoing")
    known = known_in(destinations)
    findings, found = examine(content, str(path), None if known is None else known.destinations)
    if form is Format.JSON:
        told = found and found.model_dump(mode="json", exclude_none=True)
        dump({"findings": [finding.as_json() for finding in findings], "outgoing": told})
    else:
        for finding in findings:
            say(str(finding))
        for name, one in found.subscriptions.items() if found else ():
            types = ", ".join(sorted(one.wanted)) if len(one.wanted) < len(EVENT_TYPES) else "all events"
            of = f" of {', '.join(one.scenarios)}" if one.scenarios else ""
            say(f"{name}: {types}{of}, to {one.to}{f', as {one.preset}' if one.preset else ''}")
        if found:
            note(f"the feed is {'on' if found.feed else 'off'}")
    if found is None:
        raise typer.Exit(1)


def listing(form: FormatOption = Format.TEXT) -> None:
    """List the subscriptions that ever sent, with the numbers of events that were not accepted."""
    from gateway.service.outgoing import OutgoingService

    found = session.ask_store(lambda store: OutgoingService(store).subscriptions(TERMINAL))
    if form is Format.JSON:
        dump([one.model_dump(mode="json") for one in found])
        return
    right = ("held", "failing", "waiting", "behind")
    rows = Table(
        "subscription", "state", *right, "oldest (local)", "last failure", right=right, prose=("last failure",)
    )
    for one in found:
        numbers = (one.held, one.failing, one.waiting, one.behind)
        rows.add(one.name, one.state, *numbers, _moment(one), one.trouble or "")
    rows.show("no subscription ever sent an event")


def show(name: _NameArgument, form: FormatOption = Format.TEXT) -> None:
    """Show a subscription, and the events that are held or attempted again."""
    from gateway.service.outgoing import OutgoingService

    found = session.ask_store(lambda store: OutgoingService(store).show(TERMINAL, name))
    if form is Format.JSON:
        dump(found.model_dump(mode="json"))
        return
    _say(found)
    rows = Table("event", "type", "about", "state", "attempts", "why", right=("attempts",), prose=("why",))
    for one in found.events:
        rows.add(one.id, one.type, one.subject, one.state, one.attempts, one.reason or "")
    if rows:
        rows.show()


@grouped
def retry(name: _NameArgument, events: _EventOption = None, *, record: OperatorOptions) -> None:
    """Send held events again: all, or some by --event. Later events about the same subjects follow them."""
    number = _operate(name, OutgoingOperation.RETRY, record, ids=events or ())
    say(f"{count(number, 'event')} sent again")


@grouped
def skip(name: _NameArgument, events: _EventsOption, *, record: OperatorOptions) -> None:
    """Give up held events: the receiver never gets them, and later events about the same subjects are sent."""
    say(f"{count(_operate(name, OutgoingOperation.SKIP, record, ids=events), 'event')} skipped")


@grouped
def replay(name: _NameArgument, after: _AfterOption, *, record: OperatorOptions) -> None:
    """Send all stored events after a cursor again, under the same ids."""
    number = _operate(name, OutgoingOperation.REPLAY, record, after=after)
    say(f"{name} gets the last {count(number, 'event')} again, as far as it subscribes to them")


@grouped
def forget(name: _NameArgument, *, record: OperatorOptions) -> None:
    """Forget a subscription that was removed from outgoing.yaml, with its pending events."""
    number = _operate(name, OutgoingOperation.FORGET, record)
    say(f"{name} is forgotten, with {count(number, 'pending event')}")


def _operate(name: str, operation: OutgoingOperation, record: OperatorOptions, **more: Any) -> int:
    """Carry out an operation. Return the number of events that it is about."""
    from gateway.service.outgoing import OperatorRecord, OutgoingService

    noted = OperatorRecord(reason=record.reason, operator=record.who)
    done = session.ask_store(
        lambda store: OutgoingService(store).operate(TERMINAL, name, operation, noted, **more), writes=True
    )
    return done.events or 0


def _say(one: SubscriptionView) -> None:
    say(f"{one.name}: {one.state}, up to sequence {one.sequence}")
    say(f"  held: {one.held:,}, failing: {one.failing:,}, waiting: {one.waiting:,}, behind: {one.behind:,}")
    if one.oldest is not None:
        say(f"  oldest: {_moment(one)}")


def _moment(one: SubscriptionView) -> str:
    return local(one.oldest) if one.oldest else ""
