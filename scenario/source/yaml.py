"""YAML for scenarios: PyYAML's parser with the types of YAML 1.2, limits, and readable errors.

Values follow YAML 1.2's core schema (https://yaml.org/spec/1.2.2/#103-core-schema): ``on``, ``yes``, ``10:00`` and
``2026-03-29`` are text. Beyond the standard, so is a number with leading zeros, such as a phone number.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, cast

import yaml
from yaml.composer import Composer
from yaml.error import MarkedYAMLError
from yaml.nodes import Node
from yaml.parser import Parser
from yaml.reader import Reader, ReaderError
from yaml.resolver import BaseResolver
from yaml.scanner import Scanner

from scenario.source.findings import Mark

MAX_BYTES: Final = 512 * 1024
MAX_NODES: Final = 20_000
MAX_DEPTH: Final = 60

# YAML 1.1 takes these for line breaks; YAML 1.2 and editors do not. PyYAML must not see them, or it miscounts lines.
_ODD_BREAKS: Final = "\x85\u2028\u2029"
_PRIVATE: Final = range(0xE000, 0xF8FF)
_TAG: Final = "tag:yaml.org,2002:"
_INT: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,30})|0o[0-7]{1,30}|0x[0-9a-fA-F]{1,30}")
_FLOAT: Final = re.compile(
    r"[-+]?(?=[0-9]*[.eE])(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)


class SyntaxFault(Exception):
    """The text is not YAML, or exceeds a limit.

    Attributes:
        code: As in `scenario.source.findings.Finding`.
        word: The key of a message that other kinds of files replace: see `scenario.source.source`.
    """

    def __init__(self, message: str, mark: Mark, code: str = "syntax", word: str = "") -> None:
        super().__init__(message)
        self.mark, self.code, self.word = mark, code, word


class _Resolver(BaseResolver):
    """Decides which plain scalars are not text."""

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        tag = str(cast("Any", super()).resolve(kind, value, implicit))
        if kind is not yaml.ScalarNode or not implicit[0] or tag != self.DEFAULT_SCALAR_TAG:
            return tag
        if value in ("", "~", "null", "Null", "NULL"):
            return f"{_TAG}null"
        if value in ("true", "True", "TRUE", "false", "False", "FALSE"):
            return f"{_TAG}bool"
        if _INT.fullmatch(value):
            return f"{_TAG}int"
        return f"{_TAG}float" if _FLOAT.fullmatch(value) else tag


class _Loader(Reader, Scanner, Parser, Composer, _Resolver):
    """Composes a tree of nodes with marks, within limits of depth and size."""

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)
        _Resolver.__init__(self)
        self._nodes = self._depth = 0

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        self._nodes += 1
        self._depth += 1
        if self._nodes > MAX_NODES or self._depth > MAX_DEPTH:
            mark = cast("Any", self).peek_event().start_mark
            raise too_large(Mark(mark.line + 1, mark.column + 1), deep=self._depth > MAX_DEPTH)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


def larger() -> SyntaxFault:
    """Return the fault of a file of too many bytes."""
    return SyntaxFault(f"the file is larger than {MAX_BYTES // 1024} KB", Mark(1, 1), "too-large")


def too_large(mark: Mark, *, deep: bool = False) -> SyntaxFault:
    """Return the fault of a tree that exceeds a limit."""
    if deep:
        return SyntaxFault(f"nested more than {MAX_DEPTH} levels deep", mark, "too-large")
    return SyntaxFault(f"more than {MAX_NODES:,} values: split the scenario", mark, "too-large", "values")


class Composed(NamedTuple):
    """A parsed text."""

    root: Node | None
    """The root node, or None for an empty text."""
    text: str
    """The text as the parser saw it, with some characters replaced; indexes are the same."""
    hidden: Mapping[int, str]
    """Restores replaced characters, by `str.translate`."""


def compose(text: str) -> Composed:
    """Parse a text. Raise SyntaxFault if it is not YAML."""
    if len(text.encode(errors="surrogatepass")) > MAX_BYTES:
        raise larger()
    odd = [character for character in _ODD_BREAKS if character in text]
    stand_ins = (code for code in _PRIVATE if chr(code) not in text)
    hidden = dict(zip(stand_ins, odd, strict=False))
    visible = text.translate({ord(character): code for code, character in hidden.items()})
    try:
        loader = _Loader(visible)
        try:
            return Composed(loader.get_single_node(), visible, hidden)
        except (ValueError, OverflowError):  # what PyYAML makes of an escape such as "\UFFFFFFFF"
            mark = loader.get_mark()
            raise SyntaxFault("this escape is not a character", Mark(mark.line + 1, mark.column + 1)) from None
    except ReaderError as error:
        before = text[: error.position]
        mark = Mark(before.count("\n") + 1, len(before) - before.rfind("\n"))
        raise SyntaxFault(f"the character U+{error.character:04X} is not allowed in a text", mark) from None
    except MarkedYAMLError as error:
        raise _worded(error, text) from None


_BARE: Final = re.compile(r"(?:^|:|-)\s+\{[{%]")
_SECOND_COLON: Final = re.compile(r"\s*(?:- )?[\w-]+:\s+[^\s{\['\"].*:\s")
_COLON: Final = "a ':' is not allowed here: put text that has ': ' in it in quotes, or fix the indentation"
_OPERATOR: Final = re.compile(r"[=!<>|]|(?:contains|and|or)\b")
_GLUED: Final = re.compile(r"\s*(?:- )?[\w-]+(:)\S")
_LONE: Final = re.compile(r"\s*(?:- )?[\w-]+()\s*")


def _worded(error: MarkedYAMLError, text: str) -> SyntaxFault:
    """Return PyYAML's error with a remedy, at the place that the author must change."""
    problem, context = error.problem or "", error.context or ""
    found, start = error.problem_mark or error.context_mark, error.context_mark or error.problem_mark
    here = Mark(found.line + 1, found.column + 1) if found else Mark(1, 1)
    begun = Mark(start.line + 1, start.column + 1) if start else here
    lines = text.split("\n")
    line, before = _line(lines, here), _line(lines, begun)
    for place, row in ((here, line), (begun, before)):
        if bare := _BARE.search(row):
            if _SECOND_COLON.match(row[: bare.end()]):
                return SyntaxFault(_COLON, Mark(place.line, bare.start() + 1))
            return SyntaxFault(BARE, Mark(place.line, bare.end() - 1))
    if re.match(r" *\t", line):
        return SyntaxFault("indent with spaces, not with a tab", Mark(here.line, line.index("\t") + 1))
    if "mapping values are not allowed" in problem:
        return _misplaced_colon(lines, here)
    if "anchor" in context and before[begun.column - 1 :].startswith("&&"):
        return SyntaxFault("YAML takes '!' and '&' for its own: write 'not' and 'and' in a condition", begun)
    for word, message, place in (
        ("quoted scalar", "", begun),
        ("flow sequence", "the '[' that opens here is not closed, or a ',' is missing in it", begun),
        ("flow mapping", "the '{' that opens here is not closed, or a ',' is missing in it", begun),
        ("block scalar", "after '|' or '>' the text begins on the next line", here),
        ("single document", "a file holds one scenario: move the part after '---' to another file", here),
        ("an alias", "a value that begins with '*' repeats another one: put text in quotes", begun),
        ("an anchor", "a value that begins with '&' is marked to be repeated: put text in quotes", begun),
        ("duplicate anchor", "this '&' marks a second value by the same name: choose another", here),
    ):
        if word in context:
            place = here if "escape" in problem else place
            is_open = "end of stream" in problem or "document separator" in problem
            escape = "a backslash between double quotes must be doubled, or put the text between single quotes"
            quote = "the quote that opens here is never closed" if is_open else escape
            return SyntaxFault(message or quote, place, word=word)
    if "cannot start" in problem:
        character = line[here.column - 1 : here.column]
        if character == "\t":
            message = "a tab is not allowed here: write spaces, or put a text that holds a tab in quotes"
            return SyntaxFault(message, here)
        return SyntaxFault(f"a value cannot begin with '{character}': put it in quotes", here)
    if "could not find expected ':'" in problem:
        return SyntaxFault("a key needs a ':' and a space after it; a long text needs quotes or '|' before it", begun)
    if "sequence entries are not allowed" in problem:
        return SyntaxFault("a list cannot begin here: put its '-' on a new line", here)
    if "undefined alias" in problem:
        return SyntaxFault("nothing above is marked with '&' for this '*' to repeat: put text in quotes", here)
    if "block" in context:
        value, rest = line[: here.column - 1].rstrip(), line[here.column - 1 :]
        if value.endswith(("]", "}")):
            return SyntaxFault("text that begins with '[' or '{' needs quotes around it", here)
        if value.endswith(("'", '"')) and _OPERATOR.match(rest):
            return SyntaxFault("a condition that begins with a quote needs other quotes around all of it", here)
        if value.endswith(("'", '"')):
            message = "between single quotes write '' for ', between double ones \\\" for \""
            return SyntaxFault(f"the quotes end before this: {message}", here)
        return SyntaxFault("this line does not fit the lines above: fix its indentation, its '-' or its quotes", here)
    return SyntaxFault(f"this is not YAML: {problem.partition(';')[0]}", here)


BARE: Final = "text that begins with '{{' or '{%' needs quotes around it"
"""YAML takes the braces of Liquid for a mapping."""


def _line(lines: list[str], mark: Mark) -> str:
    return lines[mark.line - 1] if mark.line <= len(lines) else ""


def _misplaced_colon(lines: list[str], here: Mark) -> SyntaxFault:
    """Return the fault of a ':' where no key can be: often the key above lacks its own, or the blank behind it."""
    for number in range(here.line - 1, 0, -1):
        above = lines[number - 1]
        if not above.strip() or above.lstrip().startswith("#"):
            continue
        if glued := _GLUED.match(above):
            return SyntaxFault("a space is missing after this ':'", Mark(number, glued.start(1) + 1))
        if lone := _LONE.fullmatch(above):
            return SyntaxFault("a ':' is missing after this key", Mark(number, lone.start(1) + 1))
        break
    return SyntaxFault(_COLON, here)
