"""A JSON body written as a structure: Liquid stands in the leaves and keys of a YAML mapping.

A leaf that is one output, ``"{{ order.total_price }}"``, keeps the type of its value; any other leaf is a text. Four
forms steer what is written, each a mapping of nothing but its own keys:

* ``{$for: "item in order.products limit: 3", $each: …, $else: …}``: a list, with ``forloop``; ``$else`` where there
  is nothing to loop over.
* ``{$if: "order.store", $then: …, $else: …}``: one or the other; without ``$else`` the key or item is left out.
* ``{$let: {name: …}, $in: …}``: names for parts that are used more than once.
* A key that starts with ``$$`` is the key with one ``$``.

The body is compiled once into parts that write JSON text; what has no Liquid in it is encoded while compiling.
"""

from __future__ import annotations

import datetime as dt
import marshal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, TypeVar, cast

from liquid.builtin.expressions import BooleanExpression, LoopExpression
from liquid.builtin.output import OutputNode
from liquid.exceptions import LiquidError
from liquid.token import TOKEN_EXPRESSION, Token

from scenario.errors import TemplateError
from scenario.liquid.engine.context import Context
from scenario.liquid.engine.environment import Cache, Engine, Template, strict_engine
from scenario.liquid.engine.errors import mistake, translated
from scenario.liquid.engine.instrument import instrument_expression
from scenario.liquid.engine.limits import MAX_DEPTH, BoundReached
from scenario.liquid.engine.logic import parse_condition, parse_loop
from scenario.liquid.engine.sink import Sink
from scenario.liquid.engine.values import NoJson, json_text
from scenario.liquid.sinks.json_text import encoded
from scenario.liquid.sinks.structured_parts import (
    SAME_KEYS,
    Constant,
    For,
    If,
    Leaf,
    Let,
    Listed,
    Mapped,
    Pair,
    Written,
    below,
)

FORMS: Final = {
    "$for": ({"$for", "$each"}, {"$else"}),
    "$if": ({"$if", "$then"}, {"$else"}),
    "$let": ({"$let", "$in"}, set[str]()),
}


_Parsed = TypeVar("_Parsed", LoopExpression, BooleanExpression)


class BodyCompiler:
    """Turns a body into its parts."""

    def __init__(self) -> None:
        self._engine = strict_engine()

    def part(self, body: object, path: str, depth: int = 0) -> Written:
        """Compile one part.

        Raises:
            TemplateError: It is malformed; with its place and, in a leaf, its position.
        """
        if depth > MAX_DEPTH:
            raise mistake(f"a body may be nested {MAX_DEPTH} levels deep", "", None, limit=True, at=path)
        if isinstance(body, str):
            return self._text(body, path)
        if isinstance(body, Mapping):
            return self._mapping(cast("Mapping[object, object]", body), path, depth)
        if isinstance(body, list | tuple):
            items = cast("list[object]", body)
            made = tuple(self.part(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(items))
            return _folded(Listed(path, made), made)
        try:
            return Constant(path, json_text(body))
        except (NoJson, BoundReached) as error:
            raise mistake(str(error.args[0]), "", None, at=path) from error

    def _text(self, text: str, path: str) -> Written:
        return self._leaf(text, path) if "{{" in text or "{%" in text else Constant(path, json_text(text))

    def _leaf(self, text: str, path: str) -> Leaf:
        try:
            template = cast("Template", self._engine.from_string(text))
        except LiquidError as error:
            raise translated(error, text, at=path) from error
        node = template.nodes[0] if len(template.nodes) == 1 else None
        return Leaf(path, template, text, node.expression if isinstance(node, OutputNode) else None)

    def _mapping(self, body: Mapping[object, object], path: str, depth: int) -> Written:
        for form, (needed, allowed) in FORMS.items():
            if form in body:
                keys = set(body)
                if not needed <= keys or keys - needed - allowed:
                    names = " and ".join(sorted(needed))
                    more = f", with {' or '.join(sorted(allowed))} if needed" if allowed else ""
                    raise mistake(f"'{form}' is a mapping of {names} alone{more}", "", None, at=path)
                return self._form(form, cast("Mapping[str, object]", body), path, depth)
        pairs = tuple(self._pair(key, value, path, depth) for key, value in body.items())
        plain = [pair.key for pair in pairs if isinstance(pair.key, str)]
        if len(set(plain)) < len(plain):
            raise mistake(SAME_KEYS, "", None, at=path)  # 1 and "1" are two keys in YAML, and one in JSON
        rendered = len(plain) < len(pairs)
        mapped = Mapped(path, pairs, rendered)
        return mapped if rendered else _folded(mapped, tuple(pair.value for pair in pairs))

    def _pair(self, key: object, value: object, path: str, depth: int) -> Pair:
        if not isinstance(key, str):
            if not isinstance(key, int) or isinstance(key, bool):
                raise mistake("a key that is not text must be written in quotes", "", None, at=path)
            key = str(key)
        if key.startswith("$$"):
            key = key[1:]
        elif key.startswith("$"):
            reason = "there is no such form: use $for, $if or $let, or write the key with '$$'"
            raise mistake(reason, "", None, at=below(path, key))
        inner = below(path, key)
        part = self._text(key, inner)
        return Pair(part if isinstance(part, Leaf) else f"{json_text(key)}:", self.part(value, inner, depth + 1))

    def _form(self, form: str, body: Mapping[str, object], path: str, depth: int) -> Written:
        def inner(key: str) -> Written:
            return self.part(body[key], below(path, key), depth + 1)

        otherwise = inner("$else") if "$else" in body else None
        if form == "$for":
            source = self._expression(body, form, path)
            loop = self._parsed(parse_loop, source, below(path, form))
            return For(path, source, loop, inner("$each"), otherwise)
        if form == "$if":
            source = self._expression(body, form, path)
            condition = self._parsed(parse_condition, source, below(path, form))
            return If(path, source, condition, inner("$then"), otherwise)
        names = body["$let"]
        if not isinstance(names, Mapping) or not all(isinstance(name, str) for name in cast("Any", names)):
            raise mistake("'$let' is a mapping of names", "", None, at=path)
        parts = [
            (name, self.part(value, f"{below(path, form)}.{name}", depth + 1))
            for name, value in cast("Mapping[str, object]", names).items()
        ]
        return Let(path, tuple(parts), inner("$in"))

    @staticmethod
    def _expression(body: Mapping[str, object], form: str, path: str) -> str:
        source = body[form]
        if isinstance(source, bool):
            return "true" if source else "false"
        if problem := expression_problem(form, source):
            raise mistake(problem, "", 0, at=below(path, form))
        return cast("str", source)

    def _parsed(self, parse: Callable[[Engine, Token], _Parsed], source: str, path: str) -> _Parsed:
        token = Token(TOKEN_EXPRESSION, source, 0, source)
        try:
            parsed = parse(self._engine, token)
            instrument_expression(parsed, self._engine)
        except LiquidError as error:
            raise translated(error, source, at=path) from error
        return parsed


def expression_problem(form: str, source: object) -> str | None:
    """What is wrong with what stands after ``$for`` or ``$if``, before it is parsed; or None."""
    if not isinstance(source, str):
        return f"'{form}' takes a text"
    if source.lstrip().startswith(("{{", "{%")):
        return f"'{form}' is written without braces"
    return None


def _folded(part: Written, inner: tuple[Written, ...]) -> Written:
    """The part encoded now, where nothing in it has Liquid."""
    if not all(isinstance(item, Constant) for item in inner):
        return part
    sink = Sink()
    try:
        part.write(Context(nobody(), globals={}), sink, "")
    except BoundReached as error:
        raise mistake(str(error.args[0]), "", None, limit=True, at=part.path) from error
    return Constant(part.path, sink.getvalue())


def nobody() -> Template:
    """A template of nothing: python-liquid's contexts belong to a template, a body is none."""
    return Template(strict_engine(), nodes=[])


@dataclass(frozen=True, slots=True)
class Body:
    """A compiled body.

    Attributes:
        root: Its outermost part.
    """

    root: Written
    _holder: Template

    def text(self, data: Mapping[str, Any]) -> str:
        """The body as compact JSON.

        Raises:
            TemplateError: It cannot be rendered with these data; with the place in the body and the position there.
            Aborted: A leaf says that nothing is to be sent.
        """
        sink = Sink()
        context = Context(self._holder, globals=data)
        try:
            part = self.root.chosen(context)
            sink.put("null") if part is None else part.write(context, sink, "")
        except LiquidError as error:
            source = error.token.source if error.token is not None else ""
            raise translated(error, source, at=str(error.template_name or "")) from error
        except RecursionError as error:
            raise mistake("the body got a value that is nested too deeply", "", None, limit=True) from error
        return sink.getvalue()


_bodies: Final = Cache[Body]()


def compiled(body: Mapping[str, Any] | list[Any]) -> Body:
    """A body, compiled now or before.

    Args:
        body: Mappings, lists, texts, numbers, as YAML gives them.

    Raises:
        TemplateError: It is malformed; with the place and, in a leaf, the position there.
    """
    key = _content(body)
    return _bodies.get(key, len(key), lambda: Body(BodyCompiler().part(body, ""), nobody()))


def _content(body: Any) -> bytes:
    """What a body is, as a key. ``marshal`` is the fastest way to walk plain values."""
    try:
        return marshal.dumps(body, 2)
    except ValueError:
        # A date that YAML made of unquoted text, or a mapping that is not a dict.
        return marshal.dumps(_plain(body), 2)


def _plain(body: Any) -> Any:
    if isinstance(body, Mapping):
        return {_plain(key): _plain(value) for key, value in cast("Mapping[Any, Any]", body).items()}
    if isinstance(body, list | tuple):
        return [_plain(item) for item in cast("list[Any]", body)]
    if isinstance(body, dt.date | dt.datetime | dt.time | Decimal):
        return f"{type(body).__name__}:{body}"
    if body is None or isinstance(body, str | int | float):
        return body
    raise TemplateError(f"a body is made of mappings, lists, texts and numbers, not of {type(body).__name__}")


def render_structured(body: Mapping[str, Any] | list[Any], data: Mapping[str, Any]) -> bytes:
    """A structured body as compact JSON in UTF-8.

    Args:
        body: The structure.
        data: The variables; one that is missing is a mistake.

    Raises:
        TemplateError: The body is malformed, or cannot be rendered with these data.
        LimitExceeded: It would be larger than ``MAX_BODY``.
        Aborted: A leaf says that nothing is to be sent.
    """
    return encoded(compiled(body).text(data), "")
