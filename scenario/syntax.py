"""YAML as scenarios are written in it: PyYAML's parser without YAML 1.1's surprises, bounded, and kind in its errors.

A value is what YAML 1.2's core schema says (https://yaml.org/spec/1.2.2/#103-core-schema): ``on``, ``yes``, ``10:00``
and ``2026-03-29`` are text. So, beyond the standard, is a number with leading zeros: it is a phone number or a code.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, cast

import yaml
from yaml.composer import Composer
from yaml.error import MarkedYAMLError
from yaml.nodes import Node
from yaml.parser import Parser
from yaml.reader import Reader, ReaderError
from yaml.resolver import BaseResolver
from yaml.scanner import Scanner

from scenario.findings import Mark

MAX_BYTES: Final = 512 * 1024
MAX_NODES: Final = 20_000
MAX_DEPTH: Final = 60

# YAML 1.1 takes these for line breaks; YAML 1.2 and editors do not. PyYAML must not see them, or it miscounts lines.
_ODD_BREAKS: Final = "\x85\u2028\u2029"
_PRIVATE: Final = range(0xE000, 0xF8FF)
_TAG: Final = "tag:yaml.org,2002:"
_INT: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,30})|0o[0-7]{1,30}|0x[0-9a-fA-F]{1,30}")
_FLOAT: Final = re.compile(
    r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)


class SyntaxFault(Exception):
    """The text is no YAML, or more of it than a scenario needs.

    Attributes:
        mark: Where.
        code: As in `scenario.findings.Finding`.
    """

    def __init__(self, message: str, mark: Mark, code: str = "syntax") -> None:
        super().__init__(message)
        self.mark, self.code = mark, code


class _Resolver(BaseResolver):
    """Which plain scalars are no text."""

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
    """From text to a tree of nodes with their marks; stops at a tree that is too deep or too large."""

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


def too_large(mark: Mark, *, deep: bool = False) -> SyntaxFault:
    """The fault of a tree over the bounds."""
    if deep:
        return SyntaxFault(f"nested more than {MAX_DEPTH} levels deep", mark, "too-large")
    return SyntaxFault(f"more than {MAX_NODES:,} values: split the scenario", mark, "too-large")


def compose(text: str) -> tuple[Node | None, Mapping[int, str]]:
    """Parses a text.

    Returns:
        The root node (None for an empty text) and a table for `str.translate` that brings back the characters which
        were hidden from the parser: scalars need it, positions do not.

    Raises:
        SyntaxFault: It is no YAML; the sentence says what to do.
    """
    if len(text.encode(errors="surrogatepass")) > MAX_BYTES:
        raise SyntaxFault(f"the file is larger than {MAX_BYTES // 1024} KB", Mark(1, 1), "too-large")
    odd = [character for character in _ODD_BREAKS if character in text]
    stand_ins = (code for code in _PRIVATE if chr(code) not in text)
    hidden = dict(zip(stand_ins, odd, strict=False))
    visible = text.translate({ord(character): code for code, character in hidden.items()})
    try:
        loader = _Loader(visible)
        try:
            return loader.get_single_node(), hidden
        except (ValueError, OverflowError):  # what PyYAML makes of an escape such as "\UFFFFFFFF"
            mark = loader.get_mark()
            raise SyntaxFault("this escape is no character", Mark(mark.line + 1, mark.column + 1)) from None
    except ReaderError as error:
        before = text[: error.position]
        mark = Mark(before.count("\n") + 1, len(before) - before.rfind("\n"))
        raise SyntaxFault(f"the character U+{error.character:04X} cannot stand in a text", mark) from None
    except MarkedYAMLError as error:
        raise _worded(error, text) from None


_QUOTED: Final = re.compile(r"""(?:^|:|-)\s+\{[{%]""")
_TAB: Final = re.compile(r"[ ]*\t")
_AHEAD: Final = {
    "@": "a value cannot begin with '@': put it in quotes",
    "`": "a value cannot begin with '`': put it in quotes",
    "%": "a value cannot begin with '%': put it in quotes",
}


def _worded(error: MarkedYAMLError, text: str) -> SyntaxFault:
    """PyYAML's error in words that say what to do, at the place where the author has to do it."""
    problem, context = error.problem or "", error.context or ""
    mark, start = error.problem_mark or error.context_mark, error.context_mark or error.problem_mark
    here = Mark(mark.line + 1, mark.column + 1) if mark else Mark(1, 1)
    begun = Mark(start.line + 1, start.column + 1) if start else here
    lines = text.split("\n")
    line = lines[here.line - 1] if here.line <= len(lines) else ""
    opened = lines[begun.line - 1] if begun.line <= len(lines) else ""
    for place, row in ((here, line), (begun, opened)):
        if found := _QUOTED.search(row):
            return SyntaxFault(
                "text that begins with '{{' or '{%' needs quotes around it", Mark(place.line, found.end() - 1)
            )
    if _TAB.match(line):
        return SyntaxFault("indent with blanks, not with a tab", Mark(here.line, line.index("\t") + 1))
    if "found character" in problem and "cannot start" in problem:
        character = line[here.column - 1 : here.column]
        return SyntaxFault(_AHEAD.get(character, f"'{character}' cannot stand here: put the text in quotes"), here)
    if "quoted scalar" in context and "end of stream" in problem:
        return SyntaxFault("the quote that opens here is never closed", begun)
    if "quoted scalar" in context and "document separator" in problem:
        return SyntaxFault("the quote that opens here is not closed before '---'", begun)
    if "double-quoted scalar" in context:
        return SyntaxFault(
            "a backslash between double quotes must be doubled, or put the text between single quotes", here
        )
    if "flow sequence" in context:
        return SyntaxFault("the '[' that opens here is not closed, or a ',' is missing in it", begun)
    if "flow mapping" in context:
        return SyntaxFault("the '{' that opens here is not closed, or a ',' is missing in it", begun)
    if "mapping values are not allowed" in problem:
        return SyntaxFault("a ':' cannot stand here: put text that has ': ' in it in quotes, or mend the indent", here)
    if "could not find expected ':'" in problem:
        return SyntaxFault("a key needs a ':' and a blank after it; a long text needs quotes or '|' before it", begun)
    if "sequence entries are not allowed" in problem:
        return SyntaxFault("a list cannot begin here: put its '-' on a line of its own", here)
    if "block mapping" in context or "block collection" in context or "block sequence" in context:
        return SyntaxFault("this line does not fit what is above it: mend its indent, its '-' or its quotes", here)
    if "block scalar" in context:
        return SyntaxFault("after '|' or '>' the text begins on the next line", here)
    if "anchor" in problem or "alias" in problem or "anchor" in context or "alias" in context:
        return SyntaxFault(f"{_plain(problem)}: '&name' marks a value, '*name' repeats it further down", here)
    if "single document" in context:
        return SyntaxFault("a file holds one scenario: put what follows '---' in a file of its own", here)
    return SyntaxFault(f"this is no YAML: {_plain(problem)}", here)


def _plain(problem: str) -> str:
    return problem.partition(";")[0].replace("\n", " ").strip()
