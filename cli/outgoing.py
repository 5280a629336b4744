"""Commands about what goes to other systems: outgoing events (feed, and the group outgoing), audiences, batch calls."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cli import session
from cli.configuration import DestinationsOption, check_file
from cli.options import FormatOption, OperatorOptions, argument, flag, grouped, one_of, option
from cli.output import Table, count, output
from cli.terminal import dump, local, note, say
from scenario.words import EVENT_TYPES, ItemOutcome, OutgoingOperation
from service.caller import TERMINAL

if TYPE_CHECKING:
    from activities.outgoing.file import Outgoing
    from runtime.store import Store
    from service.batches import BatchItemView, BatchView, SyncedAudienceView
    from service.outgoing import SubscriptionEventsView, SubscriptionView

_FileArgument = Annotated[Path | None, argument("[FILE]", "outgoing.yaml; by default SCENARIO_OUTGOING")]
_NameArgument = Annotated[str, argument("NAME", "the subscription's name in outgoing.yaml")]
_EventOption = Annotated[list[str] | None, option("ID", "only this event, which is held; repeatable", "--event")]
_EventsOption = Annotated[list[str], option("ID", "the held event; repeatable", "--event")]
_AfterOption = Annotated[str, option("CURSOR", "the sequence of the last event not to be sent again")]
AudienceArgument = Annotated[str, argument("NAME", "the audience's name")]
DestinationOption = Annotated[str | None, option("NAME", "only the audience at this destination")]
_MOST: Final = 250
LimitOption = Annotated[int, option("N", "number of rows at most", min=1, max=_MOST)]
_PART: Final = 500  # events


def feed(
    after: Annotated[
        str | None,
        option(
            "CURSOR",
            "only events after this one's sequence; latest: from now on; without it, from the oldest that is kept",
        ),
    ] = None,
    types: Annotated[
        list[str] | None, option("TYPE", "only this type; repeatable", "--type", parser=one_of(EVENT_TYPES))
    ] = None,
    scenarios: Annotated[
        list[str] | None, option("NAME", "only events of this scenario; repeatable", "--scenario")
    ] = None,
    *,
    follow: Annotated[bool, flag("--follow", "wait for further events, until Ctrl-C")] = False,
) -> None:
    """Print outgoing events, each as a CloudEvent in JSON on a line."""
    from service.outgoing import LONGEST_WAIT, OutgoingService

    async def print_all() -> None:
        async with session.stored() as store:
            service, cursor = OutgoingService(store), after
            while True:
                wait = LONGEST_WAIT if follow else 0.0
                part = await service.feed(TERMINAL, cursor, types=types, scenarios=scenarios, limit=_PART, wait=wait)
                for line in part.lines:
                    typer.echo(line.decode())
                cursor = part.cursor
                if not part.lines and not follow:
                    return

    asyncio.run(print_all())


def check(file: _FileArgument = None, destinations: DestinationsOption = None, form: FormatOption = "text") -> None:
    """Check outgoing.yaml, and show its subscriptions.

    With a destinations.yaml, also report unknown destinations. The exit status is 1 if the file has an error. JSON has
    the keys findings and outgoing.
    """
    from activities.outgoing.file import examine

    def tell(found: Outgoing) -> None:
        for name, one in found.subscriptions.items():
            types = ", ".join(sorted(one.wanted)) if len(one.wanted) < len(EVENT_TYPES) else "all events"
            of = f" of {', '.join(one.scenarios)}" if one.scenarios else ""
            preset = f", as {one.preset}" if one.preset else ""
            say(f"{name}: {types}{of}, to {one.to}{preset}")
        note(f"the feed is {'on' if found.feed else 'off'}")

    check_file("outgoing", examine, file, destinations, form, tell)


def listing(form: FormatOption = "text") -> None:
    """List the subscriptions that ever sent, with the numbers of events that were not accepted."""
    from service.outgoing import OutgoingService

    def tell(found: Sequence[SubscriptionView]) -> None:
        numbers, prose = ("held", "failing", "waiting", "behind"), ("last failure",)
        rows = Table("subscription", "state", *numbers, "oldest (local)", *prose, right=numbers, prose=prose)
        for one in found:
            counts = one.held, one.failing, one.waiting, one.behind
            rows.add(one.name, one.state, *counts, local(one.oldest), one.trouble)
        rows.show("no subscription ever sent an event")

    output(session.ask_store(lambda store: OutgoingService(store).subscriptions(TERMINAL)), form, tell, like_api=True)


def show(name: _NameArgument, form: FormatOption = "text") -> None:
    """Show a subscription, and the events that are held or attempted again."""
    from service.outgoing import OutgoingService

    def tell(found: SubscriptionEventsView) -> None:
        say(f"{found.name}: {found.state}, up to sequence {found.sequence}")
        counts = f"held: {found.held:,}, failing: {found.failing:,}"
        say(f"  {counts}, waiting: {found.waiting:,}, behind: {found.behind:,}")
        if found.oldest is not None:
            say(f"  oldest: {local(found.oldest)}")
        rows = Table("event", "type", "about", "state", "attempts", "why", right=("attempts",), prose=("why",))
        for one in found.events:
            rows.add(one.id, one.type, one.subject, one.state, one.attempts, one.reason)
        if rows:
            rows.show()

    output(session.ask_store(lambda store: OutgoingService(store).show(TERMINAL, name)), form, tell, like_api=True)


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
    from service.outgoing import OperatorRecord, OutgoingService

    noted = OperatorRecord(reason=record.reason, operator=record.who)
    done = session.ask_store(
        lambda store: OutgoingService(store).operate(TERMINAL, name, operation, noted, **more), writes=True
    )
    return done.events or 0


def list_audiences(form: FormatOption = "text") -> None:
    """List the audiences that scenarios have changed, with the numbers of their members."""
    from service.batches import MembershipService

    def tell(found: Sequence[SyncedAudienceView]) -> None:
        numbers = ("members", "waiting", "refused")
        rows = Table("audience", "destination", "state", *numbers, "trouble", right=numbers, prose=("trouble",))
        for one in found:
            refused = sum(one.refused.values()) + one.unnamed
            counts = (f"{number:,}" for number in (one.members, one.waiting, refused))
            rows.add(one.audience, one.destination, one.state, *counts, one.trouble)
        rows.show("no audience was ever changed")

    output(session.ask_store(lambda store: MembershipService(store).find(TERMINAL)), form, tell, like_api=True)


def show_audience(
    audience: AudienceArgument, destination: DestinationOption = None, form: FormatOption = "text"
) -> None:
    """Show an audience: its members, pending changes, and refusals with their reasons."""
    from service.batches import MembershipService

    found = session.ask_store(lambda store: MembershipService(store).find(TERMINAL, audience, destination))
    output(found, form, _show_audiences, like_api=True)


@grouped
def retry_audience(
    audience: AudienceArgument,
    destination: DestinationOption = None,
    *,
    record: OperatorOptions,
    form: FormatOption = "text",
) -> None:
    """Send a held audience, and changes that were refused, again. Workers begin within half a minute."""
    from service.batches import MembershipService

    who = {"operator": record.who, "reason": record.reason}
    changed = session.ask_store(
        lambda store: MembershipService(store).retry(TERMINAL, audience, destination, **who), writes=True
    )
    output([changed], form, _show_audiences, like_api=True)


def _show_audiences(found: Sequence[SyncedAudienceView]) -> None:
    for one in found:
        say(f"{one.audience} at {one.destination}: {one.state}")
        say(f"  members: {one.members:,}, changes that wait: {one.waiting:,}")
        for reason, number in one.refused.items():
            say(f"  refused ({reason}): {number:,}")
        if one.unnamed:
            say(f"  refused without a name: {one.unnamed:,}")
        if one.synced_at:
            say(f"  last sent: {local(one.synced_at)}")
        if one.trouble:
            note(f"scenario: {one.trouble}")


def list_batches(limit: LimitOption = 50, form: FormatOption = "text") -> None:
    """List batch calls, the newest first, with the numbers of their contacts by outcome."""
    from service.batches import BatchService
    from service.view import PageRequest

    def tell(found: Sequence[BatchView]) -> None:
        rows = Table("batch", "scenario", "step", "state", "contacts", "since (local)", "due (local)")
        for one in found:
            place = one.id, one.scenario, one.step, one.state
            rows.add(*place, _numbers(one.outcomes), local(one.since), local(one.due_at))
        rows.show("there was no batch call yet")

    found = session.ask_store(lambda store: BatchService(store).list(TERMINAL, PageRequest(limit=limit))).items
    output(found, form, tell, like_api=True)


def show_batch(
    batch: Annotated[str, argument("BATCH", "the batch's id, such as batch-1f0c…")],
    outcome: Annotated[ItemOutcome | None, typer.Option(help="only contacts with this outcome")] = None,
    limit: LimitOption = _MOST,
    form: FormatOption = "text",
) -> None:
    """Show a batch call and the outcome of each contact. 'scenario deliveries BATCH' lists its attempts."""
    from service.batches import BatchService
    from service.view import PageRequest

    async def find(store: Store) -> tuple[BatchView, list[BatchItemView]]:
        batches = BatchService(store)
        view = await batches.show(TERMINAL, batch)
        return view, (await batches.items(TERMINAL, batch, PageRequest(limit=limit), outcome)).items

    view, items = session.ask_store(find)
    if form == "json":
        dump({**view.model_dump(mode="json"), "items": [one.model_dump(mode="json") for one in items]})
        return
    say(f"{view.id}: {view.scenario}, {view.step}, {view.state}")
    say(f"  {_numbers(view.outcomes)}; delivery {view.delivery}")
    rows = Table("place", "contact", "journey", "outcome", "status", "why", right=("place", "status"), prose=("why",))
    for one in items:
        rows.add(f"{one.position:,}", one.contact, one.journey, one.outcome, one.status or "", one.reason)
    if rows:
        rows.show()


def _numbers(outcomes: Mapping[Any, int]) -> str:
    return ", ".join(f"{number:,} {outcome}" for outcome, number in sorted(outcomes.items())) or "none"
