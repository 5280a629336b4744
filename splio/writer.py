"""Conversion of a template's parts to Liquid, as edits of its text."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from scenario import liquid
from scenario.errors import TemplateError
from scenario.source.findings import Lines
from splio.conditions import ConversionError, VariableReference, convert_condition
from splio.fields import LISTS, TABLES, CustomFieldNames, MappedField, find_field, suggest_field
from splio.old_syntax import ExistingLiquid, OldSyntaxPart, OldTag, OldVariable, PlainText, split_template


@dataclass(frozen=True, order=True, slots=True)
class Unconverted:
    """A part that was not converted, by line and column from 1. The message has the reason and the remedy."""

    line: int
    column: int
    message: str


class Edit(NamedTuple):
    """A replacement of the characters from ``start`` up to ``end``."""

    start: int
    end: int
    text: str


class UnconvertedOffset(NamedTuple):
    """A part that was not converted, by its index in the text."""

    offset: int
    message: str


@dataclass(frozen=True)
class Edits:
    """The edits of a text."""

    edits: tuple[Edit, ...]  # in order, without overlaps
    unconverted: tuple[UnconvertedOffset, ...]
    numbers: frozenset[int]  # the custom fields that are named by number

    def apply(self, source: str) -> str:
        pieces: list[str] = []
        at = 0
        for edit in self.edits:
            pieces += (source[at : edit.start], edit.text)
            at = edit.end
        return "".join((*pieces, source[at:]))

    def source_offset(self, offset: int) -> int:
        shift = 0
        for edit in self.edits:
            if edit.start + shift > offset:
                break
            if edit.start + shift + len(edit.text) > offset:
                return edit.start
            shift += len(edit.text) - (edit.end - edit.start)
        return offset - shift


_HEADER: Final = re.compile(r"(?P<item>\w+)\s+IN\s+(?P<list>\w+)\b", re.IGNORECASE)
_ATTRIBUTE: Final = re.compile(r"\s*,?\s*(?P<name>[A-Za-z_]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|“([^”]*)”|([^\s,\"']+))")
_DIRECTIONS: Final = {"ASC": False, "ASCENDING": False, "DESC": True, "DESCENDING": True}
_KNOWN: Final = ("LIMIT", "ORDERBY", "DIRECTION")


def write_loop(text: str, names: CustomFieldNames, trigger: str | None, name: str) -> str:
    """Return the equivalent tags: a ``for``, after an ``assign`` that sorts if necessary."""
    header = _HEADER.match(text)
    if header is None:
        raise ConversionError("a loop is written FOREACH PRODUCT IN ORDER or FOREACH PRODUCT IN BASKET")
    if header["item"].upper() != "PRODUCT":
        raise ConversionError(f"there are loops over PRODUCT only, not over {header['item'].upper()}")
    root = LISTS.get(header["list"].lower())
    if root is None:
        raise ConversionError(f"there are products in ORDER and in BASKET only, not in {header['list'].upper()}")
    if root == "order" and trigger == "abandoned_cart":
        root = "cart"
    given = _parse_attributes(text[header.end() :])
    products, before = f"{root}.products", ""
    if "ORDERBY" in given:
        products, before = name, f"{{% assign {name} = {products}{_write_order(given, names)} %}}"
    elif "DIRECTION" in given:
        raise ConversionError("DIRECTION needs ORDERBY")
    return f"{before}{{% for product in {products}{_write_limit(given)} %}}"


def _parse_attributes(text: str) -> dict[str, str]:
    given: dict[str, str] = {}
    at = 0
    while text[at:].strip():
        found = _ATTRIBUTE.match(text, at)
        if found is None:
            raise ConversionError(f"'{text[at:].strip()[:40]}' is not an attribute of a loop")
        name = found["name"].upper()
        if name not in _KNOWN:
            raise ConversionError(f"the attribute {name} is not known: a loop has {', '.join(_KNOWN)}")
        if name in given:
            raise ConversionError(f"the attribute {name} is there twice")
        given[name] = next(value for value in found.groups()[1:] if value is not None).strip()
        at = found.end()
    return given


def _write_limit(given: dict[str, str]) -> str:
    limit = given.get("LIMIT")
    if limit is None:
        return ""
    if not re.fullmatch(r"\d{1,6}", limit, re.ASCII):
        raise ConversionError("LIMIT is a whole number")
    return f" limit: {int(limit)}"


def _write_order(given: dict[str, str], names: CustomFieldNames) -> str:
    name = given["ORDERBY"].strip("$").rpartition(".")[2]
    known = find_field("product", name, names)
    if known is None or known.path.count(".") != 1:
        raise ConversionError(f"products cannot be sorted by '{name[:40]}'")
    descending = _DIRECTIONS.get(given.get("DIRECTION", "ASC").upper())
    if descending is None:
        raise ConversionError("DIRECTION is ASC or DESC")
    # Prices are numbers in the parsed data, so they sort as numbers.
    by = "sort_natural" if known.kind == "text" and not known.path.endswith("_id") else "sort"
    return f" | {by}: '{known.path.partition('.')[2]}'{' | reverse' if descending else ''}"


UNKNOWN: Final = "not_converted"
"""A variable that no template has. Unconverted parts become its fields, so that the check rejects the template."""

_NOWHERE: Final = {
    "mirrorurl": "write a link of your own",
    "mobilewalletsurl": "write a link of your own",
    "unsubscribeurl": "write {{ journey.unsubscribe_url }}",
    "confirmurl": "write a link of your own",
}
_OPENING: Final = re.compile(r"\{+%|\{{2,}|\{\Z")


@dataclass
class _Block:
    tag: OldTag
    word: str
    has_else: bool = False


@dataclass
class Writer:
    """The converter of one template."""

    source: str
    names: CustomFieldNames
    trigger: str | None
    liquid_is_kept: bool
    edits: list[Edit] = field(default_factory=list[Edit])
    unconverted: list[UnconvertedOffset] = field(default_factory=list[UnconvertedOffset])
    blocks: list[_Block] = field(default_factory=list[_Block])
    sorted: int = 0
    numbers: set[int] = field(default_factory=set[int])

    def convert(self) -> Edits:
        found = list(split_template(self.source, liquid=self.liquid_is_kept))
        for number, part in enumerate(found, 1):
            self._part(part, last=number == len(found))
        end = len(self.source.rstrip("\r\n"))
        closing = "".join(self._unclosed(block) for block in reversed(self.blocks))
        if closing:
            self.edits.append(Edit(end, end, closing))
        return Edits(tuple(self.edits), tuple(sorted(self.unconverted)), frozenset(self.numbers))

    def _part(self, part: OldSyntaxPart, *, last: bool) -> None:
        match part:
            case PlainText():
                self._literal(part, last=last)
            case OldVariable(table=table, name=name):
                try:
                    text = self.resolve_field(VariableReference(table, name)).path
                except ConversionError as error:
                    text = self._record_unconverted(part, str(error))
                self._replace(part, f"{{{{ {text} }}}}")
            case OldTag():
                self._tag(part)
            case ExistingLiquid():
                pass
            case _:
                raise AssertionError(part)

    def _replace(self, part: OldSyntaxPart, text: str) -> None:
        self.edits.append(Edit(part.start, part.end, text))

    def _literal(self, part: PlainText, *, last: bool) -> None:
        """Protect braces in text from Liquid, including a brace directly before a Liquid tag."""
        text = self.source[part.start : part.end]
        for braces in _OPENING.finditer(text):
            if (self.liquid_is_kept and braces.end() < len(text)) or (last and len(braces[0]) == 1):
                continue
            start, end = part.start + braces.start(), part.start + braces.end()
            self.edits.append(Edit(start, end, f"{{% raw %}}{braces[0]}{{% endraw %}}"))

    def _record_unconverted(self, part: OldSyntaxPart, message: str) -> str:
        """Record an unconverted part, and return its replacement."""
        self.unconverted.append(UnconvertedOffset(part.start, message))
        return f"{UNKNOWN}['{self._quote_part(part)}']"

    def _quote_part(self, part: OldSyntaxPart) -> str:
        text = re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029{}\\]+", " ", self.source[part.start : part.end])
        text = text.replace("'", '"').replace("%", " ").strip()
        return text if len(text) <= 60 else f"{text[:57]}..."

    def resolve_field(self, named: VariableReference) -> MappedField:
        table = named.table.lower()
        shown = f"${f'{named.table}.' if named.table else ''}{named.name}$"
        known = find_field(table, named.name, self.names, self.trigger)
        if known is None:
            raise ConversionError(_explain_unknown(shown, table, named.name))
        if table == "product" and not any(block.word == "for" for block in self.blocks):
            raise ConversionError(f"{shown} is there only inside of a loop: FOREACH PRODUCT IN ORDER")
        if known.number is not None:
            self.numbers.add(known.number)
        return known

    def _reject(self, tag: OldTag, message: str) -> None:
        self._replace(tag, f"{{{{ {self._record_unconverted(tag, message)} }}}}")

    def _tag(self, tag: OldTag) -> None:
        if not tag.closed:
            self._reject(tag, "the tag is not closed: its closing brace is missing")
            return
        match tag.word:
            case "IF" | "FOREACH":
                self._open(tag)
            case "ELSEIF" | "ELSIF" | "ELSE":
                self._branch(tag)
            case "ENDIF" | "ENDFOREACH":
                self._close(tag)
            case "":
                self._reject(tag, "the tag is empty")
            case word:
                self._reject(tag, f"there is no tag {word[:40]!r} that is known")

    def _open(self, tag: OldTag) -> None:
        self._replace(tag, f"{{% if {self._condition(tag)} %}}" if tag.word == "IF" else self._loop(tag))
        self.blocks.append(_Block(tag, "if" if tag.word == "IF" else "for"))

    def _condition(self, tag: OldTag) -> str:
        try:
            return convert_condition(tag.rest, self.resolve_field)
        except ConversionError as error:
            return self._record_unconverted(tag, str(error))

    def _loop(self, tag: OldTag) -> str:
        name = f"products_{self.sorted + 1}"
        try:
            made = write_loop(tag.rest, self.names, self.trigger, name)
        except ConversionError as error:
            return f"{{% for product in {self._record_unconverted(tag, str(error))} %}}"
        self.sorted += name in made
        return made

    def _branch(self, tag: OldTag) -> None:
        block = self.blocks[-1] if self.blocks else None
        if block is None or block.word != "if" or block.has_else:
            why = "an ELSE was there before" if block and block.has_else else "there is no open IF"
            self._reject(tag, f"{tag.word} is misplaced: {why}")
            return
        if tag.word == "ELSE":
            block.has_else = True
            self._replace(tag, "{% else %}")
            return
        self._replace(tag, f"{{% elsif {self._condition(tag)} %}}")

    def _close(self, tag: OldTag) -> None:
        word = "if" if tag.word == "ENDIF" else "for"
        if not any(block.word == word for block in self.blocks):
            name = "IF" if word == "if" else "FOREACH"
            self._reject(tag, f"{tag.word} closes nothing: there is no open {name}")
            return
        closing = ""
        while (block := self.blocks.pop()).word != word:
            closing += self._unclosed(block)
        self._replace(tag, f"{closing}{{% end{word} %}}")

    def _unclosed(self, block: _Block) -> str:
        """Record an unclosed block, and return the tag that closes it."""
        end = "ENDIF" if block.word == "if" else "ENDFOREACH"
        stub = self._record_unconverted(block.tag, f"{block.tag.word} is not closed: {end} is missing")
        return f"{{{{ {stub} }}}}{{% end{block.word} %}}"


def _explain_unknown(shown: str, table: str, name: str) -> str:
    if table and table not in TABLES:
        return f"{shown} is not known: there are {', '.join(sorted(filter(None, TABLES)))} and the contact's own fields"
    if not table and (advice := _NOWHERE.get(name.lower())):
        return f"{shown} has no counterpart: {advice}"
    if (meant := suggest_field(table, name)) is not None:
        return f"{shown} is not known: was ${meant}$ meant?"
    path = f"{TABLES[table].path}.custom.{name}"
    return f"{shown} is not known: if it is a custom field, write {{{{ {path} }}}}, or give --sample"


@dataclass(frozen=True)
class ConversionResult:
    """A converted text."""

    text: str  # Liquid, or a scenario file
    unconverted: tuple[Unconverted, ...] = ()
    notes: tuple[str, ...] = ()  # further remarks for the author, one sentence each


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
