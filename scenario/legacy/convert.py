"""One template in the old syntax, turned into Liquid."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from scenario import liquid
from scenario.errors import TemplateError
from scenario.legacy.condition import Named, Unreadable, parse_condition
from scenario.legacy.fields import TABLES, Field, Names, field_of, guess
from scenario.legacy.lexer import Liquid, Part, Tag, Text, Variable, parts
from scenario.legacy.loop import write_loop
from scenario.legacy.wording import Workings, write
from scenario.places import Lines

UNKNOWN: Final = "not_converted"
"""A variable that no template has: what is left is a field of it, so that the check refuses the template."""

_NOWHERE: Final = {
    "mirrorurl": "write a link of your own",
    "mobilewalletsurl": "write a link of your own",
    "unsubscribeurl": "write a link of your own",
    "confirmurl": "write a link of your own",
}
_OPENING: Final = re.compile(r"\{+%|\{{2,}")
_OPENING_OR_LAST: Final = re.compile(r"\{+%|\{{2,}|\{\Z")


@dataclass(frozen=True, order=True, slots=True)
class Left:
    """Something that was not converted.

    Attributes:
        line: Its line, from 1.
        column: Its column, from 1, in characters.
        message: Why, and what to do, in one sentence.
    """

    line: int
    column: int
    message: str

    def as_json(self) -> dict[str, Any]:
        """As plain data."""
        return {"line": self.line, "column": self.column, "message": self.message}


class Edit(NamedTuple):
    """A part of a text that becomes another.

    Attributes:
        start: Where it begins, from 0.
        end: Where it ends.
        text: What stands there then.
    """

    start: int
    end: int
    text: str


class Remainder(NamedTuple):
    """What is left, by its place in the text, from 0."""

    offset: int
    message: str


@dataclass(frozen=True)
class Edits:
    """What is to be done to a text.

    Attributes:
        edits: In order, without overlaps.
        left: In order.
        numbers: The custom fields that were named by number, since their names are not known.
    """

    edits: tuple[Edit, ...]
    left: tuple[Remainder, ...]
    numbers: frozenset[int]

    def apply(self, source: str) -> str:
        """The text with everything done."""
        pieces: list[str] = []
        at = 0
        for edit in self.edits:
            pieces += (source[at : edit.start], edit.text)
            at = edit.end
        return "".join((*pieces, source[at:]))


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
        trigger: See `scenario.legacy.fields.field_of`.
        liquid_is_kept: Whether braces in it are Liquid already.
    """
    return _parsed(source, _Writer(source, names, trigger, liquid_is_kept).run())


def condition_of(source: str, names: Names, trigger: str | None) -> Edits:
    """What is to be done to a condition without braces, as in ``if: $firstname$ != ""``."""
    writer = _Writer(source, names, trigger, liquid_is_kept=True)
    workings = Workings({})
    try:
        text = write(parse_condition(source), writer.find, workings)
        why = "this is more than a single condition can say: use several 'if' steps" if workings.tags else ""
    except Unreadable as error:
        text, why = "", str(error)
    if why:
        return Edits((), (Remainder(0, why),), frozenset(writer.numbers))
    return Edits((Edit(0, len(source), text),), (), frozenset(writer.numbers))


def _parsed(source: str, done: Edits) -> Edits:
    """Adds what still keeps the result from being a template, such as its length."""
    text = done.apply(source)
    try:
        liquid.parse_text(text)
    except TemplateError as error:
        place = _before(done.edits, error.offset or 0)
        left = sorted((*done.left, Remainder(place, f"the converted template cannot be read: {error.reason}")))
        return Edits(done.edits, tuple(left), done.numbers)
    return done


def _before(edits: tuple[Edit, ...], offset: int) -> int:
    """The place in the old text that a place in the new one comes from."""
    shift = 0
    for edit in edits:
        if edit.start + shift > offset:
            break
        if edit.start + shift + len(edit.text) > offset:
            return edit.start
        shift += len(edit.text) - (edit.end - edit.start)
    return offset - shift


@dataclass
class _Block:
    """An ``IF`` or ``FOREACH`` that is open.

    Attributes:
        tag: Its beginning.
        word: ``if`` or ``for``.
        place: Where its edit is in the list of edits.
        workings: What goes in front of it.
        has_else: Whether its ELSE was there.
    """

    tag: Tag
    word: str
    place: int
    workings: Workings
    has_else: bool = False


@dataclass
class _Writer:
    source: str
    names: Names
    trigger: str | None
    liquid_is_kept: bool
    edits: list[Edit] = field(default_factory=list[Edit])
    left: list[Remainder] = field(default_factory=list[Remainder])
    blocks: list[_Block] = field(default_factory=list[_Block])
    counts: dict[str, int] = field(default_factory=dict[str, int])
    numbers: set[int] = field(default_factory=set[int])

    def run(self) -> Edits:
        found = list(parts(self.source, liquid=self.liquid_is_kept))
        for number, part in enumerate(found, 1):
            self.part(part, last=number == len(found))
        end = len(self.source.rstrip("\r\n"))
        closing = "".join(self.unclosed(block) for block in reversed(self.blocks))
        if closing:
            self.edits.append(Edit(end, end, closing))
        return Edits(tuple(self.edits), tuple(sorted(self.left)), frozenset(self.numbers))

    def part(self, part: Part, *, last: bool) -> None:
        match part:
            case Text():
                self.literal(part, last=last)
            case Variable():
                self.replace(part, self.variable(part))
            case Tag():
                self.tag(part)
            case Liquid():
                pass
            case _:
                raise AssertionError(part)

    def replace(self, part: Part, text: str) -> None:
        self.edits.append(Edit(part.start, part.end, text))

    def literal(self, part: Text, *, last: bool) -> None:
        """Keeps Liquid from reading braces that are text; also one right before a tag of Liquid's."""
        pattern = _OPENING if last else _OPENING_OR_LAST
        for braces in pattern.finditer(self.source[part.start : part.end]):
            start, end = part.start + braces.start(), part.start + braces.end()
            self.edits.append(Edit(start, end, f"{{% raw %}}{braces[0]}{{% endraw %}}"))

    def leave(self, part: Part, message: str) -> str:
        """Lists what is left; returns what stands in its place."""
        self.left.append(Remainder(part.start, message))
        return f"{UNKNOWN}['{self.stub(part)}']"

    def stub(self, part: Part) -> str:
        """What a part says, as a text within Liquid."""
        text = re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029{}\\]+", " ", self.source[part.start : part.end])
        text = text.replace("'", '"').replace("%", " ").strip()
        return text if len(text) <= 60 else f"{text[:57]}..."

    def variable(self, part: Variable) -> str:
        try:
            return f"{{{{ {self.find(Named(part.table, part.name)).path} }}}}"
        except Unreadable as error:
            return f"{{{{ {self.leave(part, str(error))} }}}}"

    def find(self, named: Named) -> Field:
        """Our field of a variable.

        Raises:
            Unreadable: There is none, or not here.
        """
        table = named.table.lower()
        shown = f"${f'{named.table}.' if named.table else ''}{named.name}$"
        known = field_of(table, named.name, self.names, self.trigger)
        if known is None:
            raise Unreadable(_unknown(shown, table, named.name))
        if table == "product" and not any(block.word == "for" for block in self.blocks):
            raise Unreadable(f"{shown} is there only inside of a loop: FOREACH PRODUCT IN ORDER")
        if known.number is not None:
            self.numbers.add(known.number)
        return known

    def tag(self, tag: Tag) -> None:
        if not tag.closed:
            self.replace(tag, f"{{{{ {self.leave(tag, 'the tag is not closed: its closing brace is missing')} }}}}")
            return
        match tag.word:
            case "IF" | "FOREACH":
                self.open(tag)
            case "ELSEIF" | "ELSIF" | "ELSE":
                self.branch(tag)
            case "ENDIF" | "ENDFOREACH":
                self.close(tag)
            case "":
                self.replace(tag, f"{{{{ {self.leave(tag, 'the tag says nothing')} }}}}")
            case word:
                self.replace(tag, f"{{{{ {self.leave(tag, f'there is no tag {word[:40]!r} that is known')} }}}}")

    def open(self, tag: Tag) -> None:
        workings = Workings(self.counts)
        made = f"{{% if {self.condition(tag, workings)} %}}" if tag.word == "IF" else self.loop(tag, workings)
        self.blocks.append(_Block(tag, "if" if tag.word == "IF" else "for", len(self.edits), workings))
        self.replace(tag, "".join(workings.tags) + made)

    def condition(self, tag: Tag, workings: Workings) -> str:
        before = len(workings.tags)
        try:
            return write(parse_condition(tag.rest), self.find, workings)
        except Unreadable as error:
            del workings.tags[before:]
            return self.leave(tag, str(error))

    def loop(self, tag: Tag, workings: Workings) -> str:
        try:
            return write_loop(tag.rest, self.names, self.trigger, workings)
        except Unreadable as error:
            workings.tags.clear()
            return f"{{% for product in {self.leave(tag, str(error))} %}}"

    def branch(self, tag: Tag) -> None:
        block = self.blocks[-1] if self.blocks else None
        if block is None or block.word != "if" or block.has_else:
            why = "an ELSE was there before" if block and block.has_else else "there is no open IF"
            self.replace(tag, f"{{{{ {self.leave(tag, f'{tag.word} belongs to nothing: {why}')} }}}}")
            return
        if tag.word == "ELSE":
            block.has_else = True
            self.replace(tag, "{% else %}")
            return
        before = len(block.workings.tags)
        condition = self.condition(tag, block.workings)
        # What an ELSEIF needs is worked out where its IF begins: nothing can stand between two branches.
        opening = self.edits[block.place]
        made = "".join(block.workings.tags[before:])
        place = opening.text.rindex("{% if ")
        self.edits[block.place] = opening._replace(text=f"{opening.text[:place]}{made}{opening.text[place:]}")
        self.replace(tag, f"{{% elsif {condition} %}}")

    def close(self, tag: Tag) -> None:
        word = "if" if tag.word == "ENDIF" else "for"
        if not any(block.word == word for block in self.blocks):
            name = "IF" if word == "if" else "FOREACH"
            self.replace(tag, f"{{{{ {self.leave(tag, f'{tag.word} closes nothing: there is no open {name}')} }}}}")
            return
        closing = ""
        while (block := self.blocks.pop()).word != word:
            closing += self.unclosed(block)
        self.replace(tag, f"{closing}{{% end{word} %}}")

    def unclosed(self, block: _Block) -> str:
        """Lists a block that nothing closes; returns what closes it, so that the rest can be read."""
        end = "ENDIF" if block.word == "if" else "ENDFOREACH"
        stub = self.leave(block.tag, f"{block.tag.word} is not closed: {end} is missing")
        return f"{{{{ {stub} }}}}{{% end{block.word} %}}"


def _unknown(shown: str, table: str, name: str) -> str:
    if table and table not in TABLES:
        return f"{shown} is not known: there are {', '.join(sorted(filter(None, TABLES)))} and the contact's own fields"
    if not table and (advice := _NOWHERE.get(name.lower())):
        return f"{shown} has no counterpart: {advice}"
    if (meant := guess(table, name)) is not None:
        return f"{shown} is not known: was ${meant}$ meant?"
    path = f"{TABLES[table].path}.custom.{name}"
    return f"{shown} is not known: if it is a custom field, write {{{{ {path} }}}}, or give --sample"
