"""Commands that show journeys, deliveries, why a contact got something, and whether everything is well."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cli import session
from cli.configuration import DestinationsOption, book_in
from cli.options import (
    ContactOption,
    Format,
    FormatOption,
    LimitOption,
    ScenarioOption,
    SinceOption,
    argument,
    flag,
    option,
    word_option,
)
from cli.output import count, output, print_line
from cli.preview import renderer
from cli.terminal import console, dump, local, note, say, text
from scenario.words import CAUSES, LISTED, AttemptOutcome, JourneyState, SkipReason
from service.caller import TERMINAL

if TYPE_CHECKING:
    from rich.text import Text

    from service.overview import OverviewView
    from service.why.story import EntryStory
    from service.why.why import CapPlaces, WhyView


def show(
    journey: Annotated[str, argument("JOURNEY", "the journey's id, such as post-purchase/3028687/CGX0094")],
    rendered: Annotated[str | None, option("STEP", "the messages of this step, rendered again")] = None,
    destinations: DestinationsOption = None,
    form: FormatOption = "text",
) -> None:
    """Show one journey: its current step and why it waits, its steps, deliveries and attempts.

    With --rendered, show the messages of a step, for each time that the journey reached it: rendered again from the
    journey's data, with secrets masked.

    JSON: see "JSON of commands" in the reference.
    """
    if rendered is not None:
        _show_rendered(journey, rendered, form, destinations)
        return
    from cli.journey_text import portray
    from service.journeys.view import JourneyView

    seen = session.ask(lambda client: client.show(journey))
    zone = seen.plan.zone if seen.plan else "UTC"
    output(JourneyView.of(seen), form, lambda view: portray(view, zone))


def listing(
    held: Annotated[bool, flag("--held", "only journeys that wait for an operator, with the reason")] = False,
    scenario: ScenarioOption = None,
    version: Annotated[int | None, option("N", "with --scenario: only those of this version", min=1)] = None,
    contact: ContactOption = None,
    state: Annotated[str | None, word_option(LISTED, "only those in this state")] = None,
    step: Annotated[str | None, option("STEP", "only those at this step")] = None,
    destination: Annotated[
        str | None, option("NAME", "with --held: only those held because of this destination or host")
    ] = None,
    reason: Annotated[str | None, word_option(tuple(CAUSES), "with --held: only those held for this")] = None,
    since: SinceOption = None,
    limit: LimitOption = 50,
    form: FormatOption = "text",
) -> None:
    """List journeys, newest first; with --held those that wait for an operator.

    --since: admitted since then; with --held, held since then. JSON: see "JSON of commands" in the reference.
    """
    from cli import journey_text

    wanted: dict[str, Any] = {"scenario": scenario, "version": version, "contact": contact, "step": step}
    wanted |= {"since": since, "limit": limit}
    only_held: dict[str, Any] = {"destination": destination, "reason": reason}
    is_retrying = state == JourneyState.RETRYING
    if not held and (reason or (destination and not is_retrying)):
        named = "--reason goes with --held" if reason else "--destination goes with --held or --state retrying"
        raise typer.BadParameter(named)
    if held and state:
        raise typer.BadParameter("--state does not go with --held, which is a state itself")
    if version and not scenario:
        raise typer.BadParameter("--version goes with --scenario")
    if held:
        found = session.ask(lambda client: client.held(**wanted, **only_held))
    else:
        to: dict[str, Any] = {"destination": destination} if is_retrying else {}
        found = session.ask(lambda client: client.journeys(**wanted, **to, state=state))
    if form == "json":
        dump(found)
    elif found:
        (journey_text.held if held else journey_text.journeys)(found)
    else:
        fits = " that matches" if any({**wanted, **only_held, "state": state, "limit": None}.values()) else ""
        note(f"no journey is held{fits}" if held else f"no journey{fits}" if fits else "no journeys")
    if not found:
        raise typer.Exit(1)


def deliveries(
    journey: Annotated[str | None, argument("[JOURNEY]", "only this journey's")] = None,
    destination: Annotated[str | None, option("NAME", "only those to this destination, host or provider")] = None,
    outcome: Annotated[str | None, word_option(tuple(AttemptOutcome), "only those with this outcome")] = None,
    skipped: Annotated[str | None, word_option(tuple(SkipReason), "only those skipped for this")] = None,
    contact: ContactOption = None,
    delivery: Annotated[str | None, option("ID", "only those of this delivery (msg_…)")] = None,
    since: SinceOption = None,
    limit: LimitOption = 50,
    form: FormatOption = "text",
) -> None:
    """List recorded delivery attempts, newest last.

    JSON: see "JSON of commands" in the reference.
    """
    from cli import journey_text
    from service.journeys.service import recorded_attempts

    if skipped and outcome not in (None, "skipped"):
        raise typer.BadParameter(f"--skipped does not go with --outcome {outcome}: leave one of them out")
    wanted: dict[str, Any] = {
        "destination": destination,
        "outcome": "skipped" if skipped else outcome,
        "error": skipped,
        "contact_id": contact,
        "delivery_id": delivery,
        "since": since,
        "limit": limit,
    }
    found = session.ask_store(lambda store: recorded_attempts(store, TERMINAL, workflow_id=journey, **wanted))
    output(found, form, lambda found: journey_text.attempts(found, named=journey is None))


def _show_rendered(journey: str, step: str, form: Format, destinations: Path | None) -> None:
    """Print the messages of a step, for each time that the journey reached it.

    Raise BadInput if it sent nothing, or its data is deleted.
    """
    from cli.show_preview import content, put_line
    from runtime.settings import Settings
    from service.journeys.rendered import NOTE

    remark = f"{NOTE}; 'scenario show' reports whether it was sent"
    renders = renderer(Settings(), book_in(destinations))
    found = session.ask(lambda client: client.services.journeys.rendered(TERMINAL, journey, step, renders))
    if form == "json":
        dump({"step": step, "note": remark, "deliveries": [item.report() for item in found]})
        return
    page = console()
    for item in found:
        report = item.report()
        put_line(page, text(f"{report['delivery_id']}  {report['scenario']}  {local(item.scheduled_at)}", "bold"))
        for line in content(report):
            put_line(page, text("│ ", "dim").append_text(line))
        if why := report.get("error"):
            put_line(page, text(f"✗ {why}", "bold red"))
        if why := report.get("skipped"):
            put_line(page, text(f"nothing to send: {why}", "yellow"))
    note(remark)


def overview(form: FormatOption = "text") -> None:
    """Show whether everything is well: held journeys, failing destinations, workers, campaigns and batches.

    The exit status is 1 if something needs a person. JSON: as GET /v1/overview.
    """
    seen = session.ask(lambda client: client.overview())
    output(seen, form, _show_overview)
    if not seen.well:
        raise typer.Exit(1)


def _show_overview(seen: OverviewView) -> None:
    if seen.well:
        say("all is well")
    for sentence in seen.unknown:
        say(f"not known: {sentence}")
    for held in seen.held or ():
        say(f"held: {count(held.journeys, 'journey')}, cause {held.cause or 'other'}")
    for one in seen.retrying or ():
        what = "left alone" if one.paused else "retrying"
        many = count(one.deliveries, "delivery", "deliveries")
        line = f"{what}: {many} to {one.destination}, since {local(one.since)}"
        say(f"{line}: {one.why}" if one.why else line)
    for queue in seen.missing_workers or ():
        say(f"no worker: queue {queue.queue}, {count(queue.tasks, 'task')} waiting")
    for campaign in seen.campaigns or ():
        trouble = f": {campaign.trouble}" if campaign.trouble else ""
        say(f"campaign: {campaign.name} is {campaign.state}, {campaign.done:,} of {campaign.total:,}{trouble}")
    if seen.batches.open:
        say(f"batches: {seen.batches.open:,} have not ended, {seen.batches.overdue:,} overdue")
    if seen.held_audiences:
        say(f"held: {count(seen.held_audiences, 'audience')}")
    for one in seen.outgoing or ():
        waiting = one.held + one.failing + one.waiting + one.behind
        say(f"outgoing: {count(waiting, 'event')} of {one.name}, {one.state}")
    say(f"{count(seen.in_progress, 'journey')} in progress")


_WHY_WIDTH: Final = 80
_MOMENT: Final = 20  # characters of ``Tue 2026-03-03 21:04``
_MARKS: Final = {"refused": "yellow", "held": "bold red", "failed": "bold red", "unknown": "red", "delivered": "green"}


def why(
    contact: Annotated[str, argument("CONTACT", "the contact's id")],
    scenario: Annotated[str | None, argument("[SCENARIO]", "only entries to this scenario")] = None,
    step: Annotated[str | None, option("STEP", "answer first: did the contact get this message, and why")] = None,
    since: SinceOption = None,
    limit: LimitOption = 20,
    form: FormatOption = "text",
) -> None:
    """Explain why a contact did, or did not, get something: its entries, refusals, and everything since.

    The newest entry comes first. Times are in the contact's time zone if known, else in the scenario's. --since counts
    from when the contact asked to enter.

    JSON: see "JSON of commands" in the reference.
    """
    found = session.ask(lambda client: client.why(contact, scenario, step=step, since=since, limit=limit))

    def tell(found: WhyView) -> None:
        out = console()
        for line in lines(found, min(out.width, _WHY_WIDTH)):
            print_line(out, line)

    output(found, form, tell)


def lines(found: WhyView, width: int) -> Iterator[Text]:
    """Return the answer for people, in lines of at most `width` columns."""
    if found.answer:
        yield from _wrapped(found.answer, width)
        yield text("")
    for story in found.entries:
        yield from _entry(story, width)
        yield text("")
    yield from _wrapped(_places(found), width, "dim")
    yield from _wrapped(_ADDRESSES, width, "dim")


_ADDRESSES: Final = "Suppressions are stored by address, not by contact: see 'scenario suppress ADDRESS --list'."


def _entry(story: EntryStory, width: int) -> Iterator[Text]:
    from service.why.story import clock

    yield text(story.journey, "bold")
    yield text(f"  {story.scenario}, times of {story.zone}", "dim")
    for one in story.happenings:
        words = f"{one.step}: {one.words}" if one.step else one.words
        yield from _wrapped(words, width, _MARKS.get(one.what, ""), f"  {clock(one.at, story.zone):{_MOMENT}}  ")
    if story.now:
        yield from _wrapped(story.now, width, "bold", f"  {'now':{_MOMENT}}  ")


def _wrapped(words: str, width: int, style: str = "", margin: str = "") -> Iterator[Text]:
    """Yield a text in lines, broken between words only, so that ids can be copied."""
    room, indent = max(width, len(margin) + _MOMENT), " " * len(margin)
    wrapper = textwrap.TextWrapper(room, margin, indent, break_long_words=False, break_on_hyphens=False)
    return (text(line, style) for line in wrapper.wrap(words))


def _places(found: WhyView) -> str:
    if found.caps is None:
        return "Places under caps are not known here: set SCENARIO_POLICIES to the policies.yaml of the workers."
    if not found.caps:
        return "No caps are set."
    return f"Places under caps, now: {'; '.join(_place(found, one) for one in found.caps)} ({found.zone})."


def _place(found: WhyView, place: CapPlaces) -> str:
    from service.why.story import clock

    free = f", next free {clock(place.free_at, found.zone)}" if place.free_at else ""
    per = place.per if place.per[0].isdigit() else f"this {place.per}"
    taken = f"{place.taken} of {place.at_most} taken {'in ' if per is place.per else ''}{per}"
    return f"{place.cap}: {taken}{free}"
