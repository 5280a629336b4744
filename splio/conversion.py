"""One template in the old syntax, turned into Liquid."""

from __future__ import annotations

from dataclasses import dataclass

from scenario import liquid
from scenario.errors import TemplateError
from scenario.source.positions import Lines
from splio.condition import Unreadable, parse_condition, write
from splio.edits import Edit, Edits, Left, Remainder
from splio.fields import Names
from splio.writer import Writer


@dataclass(frozen=True)
class Converted:
    """A converted text.

    Attributes:
        text: Liquid, or a scenario file.
        left: What was not converted, in order.
        notes: What its author should know, though nothing is left; a sentence each.
    """

    text: str
    left: tuple[Left, ...] = ()
    notes: tuple[str, ...] = ()


def convert(source: str, names: Names | None = None, *, keep_liquid: bool = False) -> Converted:
    """Turns a template in the old syntax into Liquid.

    The result parses, or what stands in the way is among what is left. Braces that Liquid would read are text in the
    old syntax and stay text.

    Args:
        source: The template.
        names: The names of custom fields, as far as known.
        keep_liquid: Whether the template has Liquid in it already, which stays.
    """
    done = edits_of(source, names or Names(), liquid_is_kept=keep_liquid)
    lines = Lines(source)
    left = [Left(*lines.mark(rest.offset), rest.message) for rest in done.left]
    return Converted(done.apply(source), tuple(left), notes_on(done.numbers))


def notes_on(numbers: frozenset[int]) -> tuple[str, ...]:
    """What to say about custom fields that are named by their numbers."""
    if not numbers:
        return ()
    listed = ", ".join(f"c{number}" for number in sorted(numbers))
    return (
        f"{listed}: custom fields go by their numbers only where the platform sends no names: give a contact or an "
        "entry as it sends them with --sample, and their names are used",
    )


def edits_of(source: str, names: Names, *, trigger: str | None = None, liquid_is_kept: bool = False) -> Edits:
    """What is to be done to a template.

    Args:
        source: The template.
        names: The names of custom fields, as far as known.
        trigger: See `splio.fields.field_of`.
        liquid_is_kept: Whether braces in it are Liquid already.
    """
    return _parsed(source, Writer(source, names, trigger, liquid_is_kept).run())


def condition_of(source: str, names: Names, trigger: str | None) -> Edits:
    """What is to be done to a condition without braces, as in ``if: $firstname$ != ""``."""
    writer = Writer(source, names, trigger, liquid_is_kept=True)
    try:
        text = write(parse_condition(source), writer.find)
    except Unreadable as error:
        return Edits((), (Remainder(0, str(error)),), frozenset(writer.numbers))
    return Edits((Edit(0, len(source), text),), (), frozenset(writer.numbers))


def _parsed(source: str, done: Edits) -> Edits:
    """Adds what still keeps the result from being a template, such as its length."""
    text = done.apply(source)
    try:
        liquid.parse_text(text)
    except TemplateError as error:
        place = done.before(error.offset or 0)
        left = sorted((*done.left, Remainder(place, f"the converted template cannot be read: {error.reason}")))
        return Edits(done.edits, tuple(left), done.numbers)
    return done
