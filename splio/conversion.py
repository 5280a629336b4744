"""Conversion of a template in the old syntax to Liquid."""

from __future__ import annotations

from dataclasses import dataclass, replace

from scenario import liquid
from scenario.errors import TemplateError
from scenario.source.findings import Lines
from splio.conditions import ConversionError, convert_condition
from splio.fields import CustomFieldNames
from splio.writer import Edit, Edits, Unconverted, UnconvertedOffset, Writer


@dataclass(frozen=True)
class ConversionResult:
    """A converted text."""

    text: str
    """Liquid, or a scenario file."""
    unconverted: tuple[Unconverted, ...] = ()
    notes: tuple[str, ...] = ()
    """Further remarks for the author, one sentence each."""


def convert(source: str, names: CustomFieldNames | None = None, *, keep_liquid: bool = False) -> ConversionResult:
    """Convert a template in the old syntax to Liquid.

    The result is valid Liquid unless ``unconverted`` contains the reason. Braces in the old syntax are text, and stay
    text, unless `keep_liquid`: then they are Liquid already.
    """
    done = plan_edits(source, names or CustomFieldNames(), liquid_is_kept=keep_liquid)
    lines = Lines(source)
    left = [Unconverted(*lines.mark(rest.offset), rest.message) for rest in done.unconverted]
    return ConversionResult(done.apply(source), tuple(left), describe_numbered_fields(done.numbers))


def describe_numbered_fields(numbers: frozenset[int]) -> tuple[str, ...]:
    """Return a remark about custom fields that are named by number."""
    if not numbers:
        return ()
    listed = ", ".join(f"c{number}" for number in sorted(numbers))
    return (
        f"{listed}: custom fields are named by number only if the platform sends no names: give a contact or an entry "
        "in the platform's format as --sample, and their names are used",
    )


def plan_edits(
    source: str, names: CustomFieldNames, *, trigger: str | None = None, liquid_is_kept: bool = False
) -> Edits:
    return _check_result(source, Writer(source, names, trigger, liquid_is_kept).convert())


def plan_condition_edits(source: str, names: CustomFieldNames, trigger: str | None) -> Edits:
    """Return the edits that convert a condition without braces, as in ``if: $firstname$ != ""``."""
    writer = Writer(source, names, trigger, liquid_is_kept=True)
    try:
        text = convert_condition(source, writer.resolve_field)
    except ConversionError as error:
        return Edits((), (UnconvertedOffset(0, str(error)),), frozenset(writer.numbers))
    return Edits((Edit(0, len(source), text),), (), frozenset(writer.numbers))


def _check_result(source: str, done: Edits) -> Edits:
    """Add the reason if the result is not a valid template, for example because it is too long."""
    text = done.apply(source)
    try:
        liquid.parse_text(text)
    except TemplateError as error:
        message = f"the converted template cannot be read: {error.reason}"
        left = UnconvertedOffset(done.source_offset(error.offset or 0), message)
        return replace(done, unconverted=tuple(sorted((*done.unconverted, left))))
    return done
