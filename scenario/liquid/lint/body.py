"""Structured bodies: every text in them, with the names that ``$for`` and ``$let`` put around it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from liquid.builtin.expressions import BooleanExpression, FilteredExpression, LoopExpression
from liquid.builtin.output import OutputNode
from liquid.exceptions import LiquidError
from liquid.token import TOKEN_EXPRESSION, Token

from scenario.liquid.engine.environment import Engine
from scenario.liquid.engine.limits import MAX_DEPTH
from scenario.liquid.engine.logic import parse_condition, parse_loop
from scenario.liquid.lint.expressions import Reader
from scenario.liquid.lint.findings import Finding, Page
from scenario.liquid.lint.names import Names
from scenario.liquid.lint.repair import looped, note_malformed, read
from scenario.liquid.lint.shaping import ANYTHING, FORLOOP, TEXT
from scenario.liquid.lint.walk import asked, item_of, walk
from scenario.liquid.shapes import ListOf, Object, Tree
from scenario.liquid.sinks.structured import FORMS, expression_problem

Place = tuple[str | int, ...]
_Parsed = TypeVar("_Parsed", LoopExpression, BooleanExpression)


class BodyLinter:
    """Checks one body.

    Args:
        engine: That of structured bodies.
        kind: ``json`` or ``form``.
    """

    def __init__(self, engine: Engine, kind: str) -> None:
        self._engine, self._kind = engine, kind
        self.findings: list[Finding] = []

    def part(self, body: object, path: Place, names: Names, depth: int = 0) -> Tree:
        """Check one part of the body.

        Returns:
            The shape of what it makes.
        """
        if depth > MAX_DEPTH:
            self._note(path, "limit", f"a body may be nested {MAX_DEPTH} levels deep")
            return ANYTHING
        if isinstance(body, str):
            return self._text(body, path, names)
        if isinstance(body, Mapping):
            return self._mapping(cast("Mapping[Any, Any]", body), path, names, depth)
        if isinstance(body, list):
            items = [
                self.part(item, (*path, index), names, depth + 1) for index, item in enumerate(cast("list[Any]", body))
            ]
            return ListOf(items[0] if items else ANYTHING)
        return ANYTHING

    def _note(self, path: Place, code: str, message: str, *, in_key: bool = False) -> None:
        page = Page("", path, in_key=in_key)
        page.add(code, message, 0)
        self.findings.extend(page.findings)

    def _text(self, source: str, path: Place, names: Names, *, in_key: bool = False) -> Tree:
        if "{{" not in source and "{%" not in source:
            return TEXT
        page = Page(source, path, in_key=in_key)
        nodes = read(page, self._engine)
        shape: Tree = TEXT
        if nodes is not None:
            reader = Reader(page, self._engine, self._kind)
            # A leaf's own assignments end with it.
            walk(nodes, reader, names.apart())
            if len(nodes) == 1 and isinstance(nodes[0], OutputNode):
                quiet = Reader(Page(source), self._engine, self._kind)
                shape = quiet.shape(cast("FilteredExpression", nodes[0].expression), names)
        self.findings.extend(page.findings)
        return shape

    def _mapping(self, body: Mapping[Any, Any], path: Place, names: Names, depth: int) -> Tree:
        for form, (needed, allowed) in FORMS.items():
            if form in body:
                for key in sorted(needed - set(body)):
                    self._note(path, "body-form", f"'{form}' needs '{key}' beside it")
                for key in set(body) - needed - allowed:
                    self._note((*path, key), "body-form", f"'{key}' has no meaning beside '{form}'", in_key=True)
                return self._form(form, body, path, names, depth)
        fields: dict[str, Tree] = {}
        for key, value in body.items():
            inner = (*path, key)
            if isinstance(key, str):
                if key.startswith("$") and not key.startswith("$$"):
                    message = "there is no such form: use $for, $if or $let, or write the key with '$$'"
                    self._note(inner, "body-form", message, in_key=True)
                self._text(key, inner, names, in_key=True)
            elif not isinstance(key, int) or isinstance(key, bool):
                self._note(inner, "body-form", "a key that is not text must be written in quotes", in_key=True)
            fields[str(key)] = self.part(value, inner, names, depth + 1)
        return Object(fields)

    def _form(self, form: str, body: Mapping[Any, Any], path: Place, names: Names, depth: int) -> Tree:
        def inside(key: str, names: Names) -> Tree:
            return self.part(body[key], (*path, key), names, depth + 1) if key in body else ANYTHING

        match form:
            case "$for":
                around = self._loop(body[form], (*path, form), names)
                item = inside("$each", around)
                inside("$else", names)
                return ListOf(item)
            case "$if":
                then, otherwise = self._condition(body[form], (*path, form), names)
                inside("$else", otherwise)
                return inside("$then", then)
            case _:
                given = body[form]
                if not isinstance(given, Mapping):
                    self._note((*path, form), "body-form", "'$let' is a mapping of names")
                    return inside("$in", names)
                for name, value in cast("Mapping[Any, Any]", given).items():
                    shape = self.part(value, (*path, form, name), names, depth + 1)
                    names = names.within({str(name): shape})
                return inside("$in", names)

    def _loop(self, source: object, path: Place, names: Names) -> Names:
        page, parsed = self._expression(parse_loop, source, path)
        if parsed is None or page is None:
            name = looped(source) if isinstance(source, str) else None
            return names.within({"forloop": FORLOOP, **({name: ANYTHING} if name else {})})
        item = item_of(parsed, Reader(page, self._engine, self._kind), names)
        self.findings.extend(page.findings)
        return names.within({str(parsed.identifier): item, "forloop": FORLOOP})

    def _condition(self, source: object, path: Place, names: Names) -> tuple[Names, Names]:
        """Check a condition. Returns the names that are in scope where it is true, and where it is not."""
        page, parsed = self._expression(parse_condition, source, path)
        if parsed is None or page is None:
            return names, names
        Reader(page, self._engine, self._kind).shape(parsed, names)
        self.findings.extend(page.findings)
        around = names.asking(asked(parsed))
        return around.knowing(parsed, is_true=True), around.knowing(parsed, is_true=False)

    def _expression(
        self, parse: Callable[[Engine, Token], _Parsed], source: object, path: Place
    ) -> tuple[Page | None, _Parsed | None]:
        if isinstance(source, bool):
            return None, None
        if problem := expression_problem(str(path[-1]), source):
            self._note(path, "body-form", problem)
            return None, None
        page = Page(cast("str", source), path)
        parsed = parsed_expression(parse, page, self._engine)
        if parsed is None:
            self.findings.extend(page.findings)
        return page, parsed


def parsed_expression(parse: Callable[[Engine, Token], _Parsed], page: Page, engine: Engine) -> _Parsed | None:
    """An expression that stands alone, or None where it cannot be parsed, which is noted on the page."""
    source = page.source
    try:
        return parse(engine, Token(TOKEN_EXPRESSION, source, 0, source))
    except LiquidError as error:
        note_malformed(error, page)
        return None
