"""Conversion of the templates in a scenario file, which keeps comments, order and layout.

Braces in a scenario's templates are Liquid, so only the old syntax is converted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from scenario.check.templates import Template, templates
from scenario.model.scenario import outline
from scenario.source.source import Source, written
from scenario.source.yaml import compose
from scenario.type_guards import Path, is_mapping, walk, with_value
from splio.fields import CustomFieldNames
from splio.writer import (
    ConversionResult,
    Edit,
    Edits,
    Unconverted,
    describe_numbered_fields,
    plan_condition_edits,
    plan_edits,
)

_SCENARIO: Final = re.compile(r"^scenario[ \t]*:", re.MULTILINE)
_OLD: Final = re.compile(r"\$(?:[A-Za-z_]\w*\.)?[A-Za-z_]\w*\$|\{\s*SPLIO\b", re.ASCII | re.IGNORECASE)


def is_scenario(text: str) -> bool:
    """Return True if a text is a scenario file, valid or not, instead of a template."""
    if _SCENARIO.search(text) is None:
        return False
    data = Source(text).data
    return data is None or (isinstance(data, Mapping) and "scenario" in data)


@dataclass(frozen=True)
class _TemplateText:
    """A text of the scenario that contains old syntax, and its edits."""

    path: Path
    text: str
    done: Edits


def convert_scenario(text: str, names: CustomFieldNames | None = None) -> ConversionResult:
    source = Source(text)
    if source.data is None:
        fault = source.findings[0]
        unread = Unconverted(fault.line, fault.column, f"the file cannot be read: {fault.message}")
        return ConversionResult(text, (unread,))
    trigger = source.data.get("trigger")
    left: list[Unconverted] = []
    leaves: list[_TemplateText] = []
    for template in templates(source.data):
        for path, leaf in _find_texts(template.source, template.path):
            if isinstance(leaf, str):
                done = _plan_edits(template, path, leaf, names or CustomFieldNames(), trigger)
                leaves.append(_TemplateText(path, leaf, done))
            else:
                message = "a key with the old syntax is not converted: write it in Liquid"
                left.append(Unconverted(*source.key(path), message))
    for leaf in leaves:
        left += (Unconverted(*source.inside(leaf.path, rest.offset), rest.message) for rest in leaf.done.unconverted)
    made = _rewrite(text, source.data, [leaf for leaf in leaves if leaf.done.edits])
    if made is None:
        message = "the converted templates cannot be written into this file: convert them one by one"
        left.append(Unconverted(1, 1, message))
    numbers = frozenset(number for leaf in leaves for number in leaf.done.numbers)
    notes = (
        *describe_numbered_fields(numbers),
        *(f"{name} is a separate file: convert it, too" for name in _find_files(source.data)),
    )
    return ConversionResult(text if made is None else made, tuple(sorted(left)), notes)


def _find_texts(source: Any, path: Path) -> Iterator[tuple[Path, str | None]]:
    """Yield the texts of a template that contain old syntax, and None for keys that do."""
    for place, value in walk(source, path):
        if place != path and isinstance(place[-1], str) and _OLD.search(place[-1]):
            yield place, None
        if isinstance(value, str) and _OLD.search(value):
            yield place, value


def _plan_edits(template: Template, path: Path, text: str, names: CustomFieldNames, trigger: Any) -> Edits:
    known = trigger if isinstance(trigger, str) else None
    if template.kind == "condition" or path[-1] in ("$if", "$for"):
        return plan_condition_edits(text, names, known)
    return plan_edits(text, names, trigger=known, liquid_is_kept=True)


def _rewrite(text: str, data: Any, leaves: list[_TemplateText]) -> str | None:
    """Return the file with its templates converted, or None if that is impossible."""
    if not leaves:
        return text
    wanted = data
    for leaf in leaves:
        wanted = with_value(wanted, leaf.path, leaf.done.apply(leaf.text))
    for whole in (False, True):
        made = _splice(text, leaves, whole=whole)
        if Source(made).data == wanted:
            return made
    return None


def _splice(text: str, leaves: list[_TemplateText], *, whole: bool) -> str:
    root, seen, hidden = compose(text)
    edits: dict[tuple[int, int], Edit] = {}
    for leaf in leaves:
        node = _find_node(root, leaf.path, hidden)
        if node is None:
            continue
        # A text and its YAML aliases are edited once.
        for edit in _translate_edits(seen, node, leaf, whole=whole):
            edits[edit.start, edit.end] = edit
    return Edits(tuple(sorted(edits.values())), (), frozenset()).apply(text)


def _find_node(node: Node | None, path: Path, hidden: Mapping[int, str]) -> ScalarNode | None:
    for part in path:
        if isinstance(node, SequenceNode) and isinstance(part, int):
            children: list[Node] = node.value
            node = children[part]
        elif isinstance(node, MappingNode):
            pairs: list[tuple[Node, Node]] = node.value
            node = next((value for key, value in pairs if str(key.value).translate(hidden) == part), None)
    return node if isinstance(node, ScalarNode) else None


def _translate_edits(text: str, node: ScalarNode, leaf: _TemplateText, *, whole: bool) -> Iterator[Edit]:
    if whole or node.style is None:
        # Braces or colons could change the meaning of an unquoted text.
        start, end = node.start_mark.index, node.end_mark.index
        breaks = "\n" if text[start:end].endswith("\n") else ""
        yield Edit(start, end, json.dumps(leaf.done.apply(leaf.text), ensure_ascii=False) + breaks)
        return
    places = written(text, node)
    for edit in leaf.done.edits:
        end = places[edit.end - 1] + 1 if edit.end > edit.start else places[edit.start]
        yield Edit(places[edit.start], end, _escape(edit.text, node.style))


def _escape(text: str, style: str) -> str:
    match style:
        case "'":
            return text.replace("'", "''")
        case '"':
            return json.dumps(text, ensure_ascii=False)[1:-1]
        case _:
            return text


def _find_files(data: Any) -> Iterator[str]:
    """Yield the names of the files with templates of this scenario."""
    for step in outline(data):
        for key in ("html", "text", "body"):
            value = step.keys.get(key)
            if is_mapping(value) and set(value) == {"file"}:
                yield str(value["file"])
