"""A scenario file's text as plain data, with the place of every key and value.

Places are named by paths: ``("steps", 2, "then", 0, "body")``. A position inside a text, such as a template in a block
scalar, is mapped to the line and column of the file.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, Final, NamedTuple

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from scenario.source.findings import Finding, Lines, Mark, Severity, clip
from scenario.source.yaml import BARE, MAX_BYTES, MAX_DEPTH, MAX_NODES, SyntaxFault, compose, larger, too_large
from scenario.type_guards import Path

_LOST: Final = re.compile(r"[ \t]+(#[\d{][^\r\n]*)")
"""A comment that was probably meant as text: ``Order #12``."""
_PLAIN_TAGS: Final = frozenset(
    f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "seq", "map")
)

_FOLD: Final = re.compile(r"[ \t]*(?:\r\n|\r|\n)(?:[ \t]*(?:\r\n|\r|\n))*[ \t]*")
_ESCAPED_BREAK: Final = re.compile(r"\\(?:\r\n|\r|\n)(?:[ \t]*(?:\r\n|\r|\n))*[ \t]*")
_BREAK: Final = re.compile(r"\r\n|\r|\n")
_PROPERTIES: Final = re.compile(r"(?:[&!][^\s]*(?:[ \t\r\n]+(?:\#[^\r\n]*)?)+)*")
"""An anchor and a tag before a scalar (YAML 1.2 §6.9), and blanks and comments around them."""
_HEX: Final = {"x": 2, "u": 4, "U": 8}


class _Place(NamedTuple):
    key: Node | None
    value: Node


class Source:
    """A parsed scenario file.

    Attributes:
        file: Its name, for findings.
        data: Mappings with text keys, lists, texts, numbers, booleans and None; None if the text is not YAML.
        findings: Mistakes in its YAML: syntax, duplicate keys, unknown tags, limits.
    """

    def __init__(self, text: str | bytes, file: str = "scenario.yaml", words: Mapping[str, str] | None = None) -> None:
        """Parse a text, or bytes in UTF-8. Mistakes become findings.

        If the file is no scenario, `words` has the messages for an ``empty`` file, too many ``values`` and more than a
        ``single document``.
        """
        words = words or {}
        self.file = file
        self.data: Any = None
        self.findings: list[Finding] = []
        self._places: dict[Path, _Place] = {}
        self._written: dict[int, list[int]] = {}
        self._hidden: Mapping[int, str] = {}
        self._text = ""
        try:
            self._text = text if isinstance(text, str) else _decode(text)
            root, self._text, self._hidden = compose(self._text)
            if root is not None:
                self.data = self._build(root, None, (), ())
            if self.data is None:  # nothing but comments, or 'null'
                empty = words.get("empty", "the file is empty: begin with 'scenario: <name>'")
                self._report(Mark(1, 1), "empty", empty)
        except SyntaxFault as fault:
            self.data = None
            self._report(fault.mark, fault.code, words.get(fault.word, str(fault)))

    @cached_property
    def _lines(self) -> Lines:
        return Lines(self._text)

    def at(self, path: Path) -> Mark:
        """Return the place of a value, or of its nearest existing parent."""
        return self._begin(self._nearest(path).value) if self._places else Mark(1, 1)

    def key(self, path: Path) -> Mark:
        """Return the place of a value's key, or of a list's item."""
        place = self._places.get(path)
        return self._begin(place.key) if place and place.key is not None else self.at(path)

    def inside(self, path: Path, offset: int, *, key: bool = False) -> Mark:
        """Return the place of a character, by its index from 0, of a text or of a key itself."""
        place = self._nearest(path) if self._places else None
        node = place and (place.key if key else place.value)
        if not isinstance(node, ScalarNode):
            return self.key(path) if key else self.at(path)
        if (indices := self._written.get(id(node))) is None:
            indices = self._written[id(node)] = written(self._text, node)
        return self._lines.mark(indices[max(0, min(offset, len(indices) - 1))])

    def span(self, path: Path) -> tuple[int, int]:
        """Return the indices in `text` between which a value, or its nearest existing parent, stands."""
        node = self._nearest(path).value
        start = node.start_mark.index
        return start, start + len(self.text[start : _end(node)].rstrip())

    @property
    def text(self) -> str:
        return self._text.translate(self._hidden)

    def rename(self, words: Mapping[Path, str]) -> None:
        """Make the places of some keys, and of everything below, known by other keys as well: `words`, by path."""
        for known, place in list(self._places.items()):
            target = tuple(words.get(known[: length + 1], part) for length, part in enumerate(known))
            if target != known:
                self._places.setdefault(target, place)

    def _nearest(self, path: Path) -> _Place:
        while path not in self._places and path:
            path = path[:-1]
        return self._places[path]

    def _begin(self, node: Node) -> Mark:
        return self._lines.mark(node.start_mark.index)

    def _report(self, mark: Mark, code: str, message: str, severity: Severity = "error") -> None:
        self.findings.append(Finding(self.file, mark.line, mark.column, severity, code, message))

    def _build(self, node: Node, key: Node | None, path: Path, around: tuple[int, ...]) -> Any:
        # Aliases make a tree of a few nodes endless, so what counts is the values built and not the nodes.
        if len(self._places) >= MAX_NODES or len(around) > MAX_DEPTH:
            raise too_large(self._begin(node), deep=len(around) > MAX_DEPTH)
        if id(node) in around:
            raise SyntaxFault("this value holds itself, by an alias", self._begin(node), "alias")
        self._places[path] = _Place(key, node)
        if isinstance(node, ScalarNode) and (text := self._negated(node)) is not None:
            return text
        if node.tag not in _PLAIN_TAGS:
            self._report(self._begin(node), "tag", f"the tag '{clip(node.tag)}' means nothing here: leave it out")
        around = (*around, id(node))
        if isinstance(node, MappingNode):
            is_output = self._text.startswith("{{", node.start_mark.index)
            if is_output and any(isinstance(key, MappingNode) for key, _ in node.value):  # {{ contact.firstname }}
                self._report(self._begin(node), "quotes", BARE)
                return self._text[node.start_mark.index : node.end_mark.index].translate(self._hidden)
            return {
                name: self._build(value, key_node, (*path, name), around)
                for name, key_node, value in self._members(node)
            }
        if isinstance(node, SequenceNode):
            items = node.value
            return [self._build(item, None, (*path, index), around) for index, item in enumerate(items)]
        return self._scalar(node)

    def _negated(self, node: ScalarNode) -> str | None:
        """Report a ``!`` that YAML takes for a tag, and return the text behind it, or None."""
        text = self._text[node.start_mark.index : node.end_mark.index].translate(self._hidden)
        if not text.startswith("!") or text.startswith("!!"):
            return None
        message = "YAML takes '!' for a tag: write 'not' in a condition, or put a text that begins with '!' in quotes"
        self._report(self._begin(node), "tag", message)
        return text[1:].strip()

    def _members(self, node: MappingNode) -> Iterator[tuple[str, Node, Node]]:
        first: dict[str, Node] = {}
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                self._report(self._begin(key), "key", "a key must be text")
                continue
            name = str(key.value).translate(self._hidden)
            start, end = value.start_mark.index, value.end_mark.index
            # Between braces, a key with neither ':' nor a value is the rest of a text with a comma.
            if node.flow_style and first and start == end and ":" not in self._text[key.end_mark.index : end]:
                what = f"'{clip(name)}' is not 'key: value'"
                self._report(self._begin(key), "syntax", f"{what}: put text that has ',' in it in quotes")
                continue
            if name in first:
                line = self._begin(first[name]).line
                self._report(self._begin(key), "duplicate-key", f"'{clip(name)}' is here twice: first on line {line}")
                continue
            first[name] = key
            yield name, key, value

    def _scalar(self, node: Node) -> Any:
        text = str(node.value).translate(self._hidden)
        value: Any = text
        match node.tag.rpartition(":")[2]:
            case "null":
                value = None
            case "bool":
                value = text.lower() == "true"
            case "int":
                value = self._number(node, text)
            case "float":
                value = self._number(node, text)
                if isinstance(value, float) and not math.isfinite(value):
                    self._report(self._begin(node), "number", f"'{clip(text)}' is not a number that JSON can hold")
                    value = 0
            case _:
                value = self._joined(node, text)
                if (
                    isinstance(node, ScalarNode)
                    and node.style is None
                    and (lost := _LOST.match(self._text, node.end_mark.index))
                ):
                    message = f"YAML takes '{clip(lost[1])}' for a comment: put text that has ' #' in it in quotes"
                    self._report(self._lines.mark(lost.start(1)), "comment", message, "warning")
        return value

    def _number(self, node: Node, text: str) -> int | float | str:
        try:
            if node.tag.endswith("int"):
                return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
            return float(text.replace(".inf", "inf").replace(".nan", "nan"))
        except ValueError:  # only where a tag says that some text is a number
            self._report(self._begin(node), "number", f"'{clip(text)}' is not a number")
            return 0

    def _joined(self, node: Node, text: str) -> str:
        """Return the text with surrogate pairs, from JSON escapes, joined to characters."""
        if text.isprintable() or not any("\ud800" <= character <= "\udfff" for character in text):
            return text
        try:
            return text.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            self._report(self._begin(node), "syntax", "half a character (a lone surrogate) is escaped in this text")
            return ""


def _end(node: Node) -> int:
    """Return the end of a value; for lines of keys or items, the end of the last one."""
    items = node.value
    if isinstance(node, MappingNode | SequenceNode) and items and not node.flow_style:
        return _end(items[-1][1] if isinstance(node, MappingNode) else items[-1])
    return node.end_mark.index


def _decode(content: bytes) -> str:
    if len(content) > MAX_BYTES:  # reported first, because parsing stops there, perhaps within a character
        raise larger()
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8", "replace")) + 1
        mark = Mark(before.count(b"\n") + 1, column)
        raise SyntaxFault("the file is not UTF-8: save it as UTF-8", mark, "encoding") from None


# ---- positions inside a scalar


def written(text: str, node: ScalarNode) -> list[int]:
    """Return the index in the file of each character of a scalar, and of its end.

    Exact for literal (``|``), plain and quoted scalars; for folded ones (``>``) except blanks at line ends.
    """
    start, end = node.start_mark.index, node.end_mark.index
    if properties := _PROPERTIES.match(text, start, end):
        start = properties.end()
    if node.style in ("|", ">"):
        header = _BREAK.search(text, start, end)
        start = header.end() if header else end
        indices = (_literal if node.style == "|" else _folded)(text, start, end, node.value)
    elif node.style in ("'", '"'):
        start, end = start + 1, end - 1
        indices = list(_flowing(text, start, end, node.style))
    else:
        indices = list(_flowing(text, start, end, ""))
    # Should PyYAML ever read a scalar in some other way than is retraced here, its beginning is near enough.
    return [*indices, end] if len(indices) == len(node.value) else [start] * (len(node.value) + 1)


def _literal(text: str, start: int, end: int, value: str) -> list[int]:
    indices: list[int] = []
    for line in value.split("\n"):
        found = _BREAK.search(text, start, end)
        stop, start = (found.start(), found.end()) if found else (end, end)
        # What stands before the line's own text is indentation.
        indices.extend((*range(stop - len(line), stop), stop))
    return indices[:-1]


def _folded(text: str, start: int, end: int, value: str) -> list[int]:
    """Map folded scalars: characters other than blanks appear in the same order, and gaps never grow."""
    indices: list[int] = []
    at = start
    for character in value:
        if not character.isspace():
            while at < end and text[at] != character:
                at += 1
        indices.append(min(at, end))
        if character == text[at : at + 1] or text[at : at + 1].isspace():
            at += 1
    return indices


def _flowing(text: str, start: int, end: int, style: str) -> Iterator[int]:
    """Map plain and quoted scalars, with escapes and folded line breaks (YAML 1.2 §6.5, §7.3)."""
    at = start
    while at < end:
        if folded := _FOLD.match(text, at, end):
            breaks = len(_BREAK.findall(folded[0]))
            yield from [at] * max(1, breaks - 1)
            at = folded.end()
        elif style == '"' and (escaped := _ESCAPED_BREAK.match(text, at, end)):
            # An escaped line break is not a character; those of the empty lines behind it are.
            yield from [at] * (len(_BREAK.findall(escaped[0])) - 1)
            at = escaped.end()
        else:
            yield at
            if style == '"' and text[at] == "\\":
                at += 2 + _HEX.get(text[at + 1 : at + 2], 0)
            else:
                at += 2 if style == "'" and text.startswith("''", at) else 1
