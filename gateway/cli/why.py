"""The command that explains why a contact did, or did not, get something."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from gateway.cli import session
from gateway.cli.options import Format, FormatOption, LimitOption, SinceOption
from gateway.cli.output import output, print_line
from gateway.terminal import console, text

if TYPE_CHECKING:
    from rich.text import Text

    from gateway.why.story import EntryStory
    from gateway.why.why import CapPlaces, WhyView

_WIDTH: Final = 80
_MOMENT: Final = 20  # characters of ``Tue 2026-03-03 21:04``
_MARKS: Final = {"refused": "yellow", "held": "bold red", "failed": "bold red", "unknown": "red", "delivered": "green"}


def why(
    contact: Annotated[str, typer.Argument(metavar="CONTACT", help="the contact's id")],
    scenario: Annotated[str | None, typer.Argument(metavar="[SCENARIO]", help="only entries to this scenario")] = None,
    step: Annotated[
        str | None, typer.Option(metavar="STEP", help="answer first: did the contact get this message, and why")
    ] = None,
    since: SinceOption = None,
    limit: LimitOption = 20,
    form: FormatOption = Format.TEXT,
) -> None:
    """Explain why a contact did, or did not, get something: its entries, refusals, and everything since.

    The newest entry comes first. Times are in the contact's time zone if known, else in the scenario's. --since counts
    from when the contact asked to enter.

    JSON: see "JSON of commands" in the reference.
    """
    found = session.ask(lambda client: client.why(contact, scenario, step=step, since=since, limit=limit))
    output(found, form, _show)


def _show(found: WhyView) -> None:
    out = console()
    width = min(out.width, _WIDTH)
    for line in lines(found, width):
        print_line(out, line)


def lines(found: WhyView, width: int) -> Iterator[Text]:
    """Return the answer for people, in lines of at most `width` columns."""
    if found.answer:
        yield from (text(line) for line in _wrapped(found.answer, width))
        yield text("")
    for story in found.entries:
        yield from _entry(story, width)
        yield text("")
    yield from (text(line, "dim") for line in _wrapped(_places(found), width))
    yield from (text(line, "dim") for line in _wrapped(_ADDRESSES, width))


_ADDRESSES: Final = "Suppressions are stored by address, not by contact: see 'scenario suppress ADDRESS --list'."


def _entry(story: EntryStory, width: int) -> Iterator[Text]:
    yield text(story.journey, "bold")
    yield text(f"  {story.scenario}, times of {story.zone}", "dim")
    for one in story.happenings:
        words = f"{one.step}: {one.words}" if one.step else one.words
        yield from _told(_clock(story, one.at), words, width, _MARKS.get(one.what, ""))
    if story.now:
        yield from _told("now", story.now, width, "bold")


def _told(when: str, words: str, width: int, style: str) -> Iterator[Text]:
    margin = f"  {when:{_MOMENT}}  "
    for line in _wrapped(words, width, margin):
        yield text(line, style)


def _wrapped(words: str, width: int, margin: str = "") -> list[str]:
    """Wrap a text between words only, so that ids can be copied."""
    return textwrap.wrap(
        words,
        max(width, len(margin) + _MOMENT),
        initial_indent=margin,
        subsequent_indent=" " * len(margin),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _clock(story: EntryStory, at: Any) -> str:
    from gateway.why.words import clock

    return clock(at, story.zone)


def _places(found: WhyView) -> str:
    if found.caps is None:
        return "Places under caps are not known here: set SCENARIO_POLICIES to the policies.yaml of the workers."
    if not found.caps:
        return "No caps are set."
    return f"Places under caps, now: {'; '.join(_place(found, one) for one in found.caps)} ({found.zone})."


def _place(found: WhyView, place: CapPlaces) -> str:
    from gateway.why.words import clock

    free = f", next free {clock(place.free_at, found.zone)}" if place.free_at else ""
    per = place.per if place.per[0].isdigit() else f"this {place.per}"
    taken = f"{place.taken} of {place.at_most} taken {'in ' if per is place.per else ''}{per}"
    return f"{place.cap}: {taken}{free}"
