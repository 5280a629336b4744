"""Bodies of webhooks: JSON as text or as a structure, forms, and plain text.

A structure is a YAML mapping or list with Liquid in its leaves and keys. A leaf that is a single output,
``"{{ order.total_price }}"``, keeps the type of its value. Any other leaf is a text. Four forms control the result,
each a mapping of only its own keys:

* ``{$for: "item in order.products limit: 3", $each: …, $else: …}``: a list, with ``forloop``. ``$else`` is used if the
  source is empty.
* ``{$if: "order.store", $then: …, $else: …}``: one of two parts. Without ``$else`` the key or item is omitted.
* ``{$let: {name: …}, $in: …}``: names for parts that are used repeatedly.
* A key that starts with ``$$`` is the key with one ``$``.

A structure is compiled once into parts that write JSON text. Parts without Liquid are encoded when compiled.
"""

from __future__ import annotations

import datetime as dt
import json
import marshal
import urllib.parse
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final, TypeGuard, TypeVar, cast

from liquid.builtin.expressions import BooleanExpression, LoopExpression
from liquid.builtin.output import OutputNode
from liquid.exceptions import LiquidError
from liquid.token import TOKEN_EXPRESSION, Token

from scenario.errors import TemplateError
from scenario.liquid.engine.context import Context, Sink
from scenario.liquid.engine.environment import Engine, TemplateCache, empty_template, json_engine, strict_engine
from scenario.liquid.engine.errors import make_error, translate_error
from scenario.liquid.engine.instrument import instrument_expression
from scenario.liquid.engine.limits import MAX_BODY, MAX_DEPTH, BoundReached
from scenario.liquid.engine.logic import parse_condition, parse_loop
from scenario.liquid.engine.values import JsonValueError, json_text, replace_surrogates
from scenario.liquid.sinks import body_parts
from scenario.liquid.sinks.body_parts import BodyPart, join_path
from scenario.liquid.sinks.json_text import JsonSink, encode_body, finish_document, refuse_duplicate_keys
from scenario.liquid.sinks.text import parse_template, render_into
from scenario.type_guards import is_list, is_mapping, is_sequence

FORMS: Final = {
    "$for": ({"$for", "$each"}, {"$else"}),
    "$if": ({"$if", "$then"}, {"$else"}),
    "$let": ({"$let", "$in"}, set[str]()),
}


_Parsed = TypeVar("_Parsed", LoopExpression, BooleanExpression)


def _compile_part(body: object, path: str, depth: int = 0) -> BodyPart:
    if depth > MAX_DEPTH:
        raise make_error(f"a body may be nested {MAX_DEPTH} levels deep", "", None, limit=True, at=path)
    if isinstance(body, str):
        return _compile_text(body, path)
    if is_mapping(body):
        return _compile_mapping(body, path, depth)
    if is_sequence(body):
        made = tuple(_compile_part(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(body))
        return _fold_constant(body_parts.ListPart(path, made), made)
    try:
        return body_parts.ConstantPart(path, json_text(body))
    except (JsonValueError, BoundReached) as error:
        raise make_error(str(error.args[0]), "", None, at=path) from error


def _compile_text(text: str, path: str) -> body_parts.ConstantPart | body_parts.LiquidPart:
    if "{{" not in text and "{%" not in text:
        return body_parts.ConstantPart(path, json_text(text))
    try:
        template = strict_engine().parse_template(text)
    except LiquidError as error:
        raise translate_error(error, text, at=path) from error
    node = template.nodes[0] if len(template.nodes) == 1 else None
    return body_parts.LiquidPart(path, template, text, node.expression if isinstance(node, OutputNode) else None)


def _compile_mapping(body: Mapping[Any, Any], path: str, depth: int) -> BodyPart:
    for form, (needed, allowed) in FORMS.items():
        if form in body:
            keys = set(body)
            if not needed <= keys or keys - needed - allowed:
                names = " and ".join(sorted(needed))
                more = f", with {' or '.join(sorted(allowed))} if needed" if allowed else ""
                raise make_error(f"'{form}' is a mapping of {names} alone{more}", "", None, at=path)
            return _compile_form(form, body, path, depth)
    pairs = tuple(_compile_entry(key, value, path, depth) for key, value in body.items())
    plain = [pair.key for pair in pairs if isinstance(pair.key, str)]
    if len(set(plain)) < len(plain):
        # 1 and "1" are different keys in YAML, but equal in JSON.
        raise make_error(body_parts.SAME_KEYS, "", None, at=path)
    rendered = len(plain) < len(pairs)
    mapped = body_parts.MappingPart(path, pairs, rendered)
    return mapped if rendered else _fold_constant(mapped, tuple(pair.value for pair in pairs))


def _compile_entry(key: object, value: object, path: str, depth: int) -> body_parts.MappingEntry:
    if not isinstance(key, str):
        if not isinstance(key, int) or isinstance(key, bool):
            raise make_error("a key that is not text must be written in quotes", "", None, at=path)
        key = str(key)
    if key.startswith("$$"):
        key = key[1:]
    elif key.startswith("$"):
        reason = "there is no such form: use $for, $if or $let, or write the key with '$$'"
        raise make_error(reason, "", None, at=join_path(path, key))
    inner = join_path(path, key)
    part = _compile_text(key, inner)
    written = part if isinstance(part, body_parts.LiquidPart) else f"{part.text}:"
    return body_parts.MappingEntry(written, _compile_part(value, inner, depth + 1))


def _compile_form(form: str, body: Mapping[Any, Any], path: str, depth: int) -> BodyPart:
    def inner(key: str) -> BodyPart:
        return _compile_part(body[key], join_path(path, key), depth + 1)

    otherwise = inner("$else") if "$else" in body else None
    if form == "$for":
        loop = _parse(parse_loop, body[form], form, path)
        return body_parts.ForPart(path, loop, inner("$each"), otherwise)
    if form == "$if":
        condition = _parse(parse_condition, body[form], form, path)
        return body_parts.IfPart(path, condition, inner("$then"), otherwise)
    names = body["$let"]
    if not is_mapping(names) or not all(isinstance(name, str) for name in names):
        raise make_error("'$let' is a mapping of names", "", None, at=path)
    below = join_path(path, form)
    parts = [(name, _compile_part(value, f"{below}.{name}", depth + 1)) for name, value in names.items()]
    return body_parts.LetPart(path, tuple(parts), inner("$in"))


def _parse(parse: Callable[[Engine, Token], _Parsed], source: object, form: str, path: str) -> _Parsed:
    if isinstance(source, bool):
        source = "true" if source else "false"
    if not is_bare_expression(source):
        raise make_error(describe_expression_problem(form, source), "", 0, at=join_path(path, form))
    try:
        parsed = parse(strict_engine(), Token(TOKEN_EXPRESSION, source, 0, source))
        instrument_expression(parsed, strict_engine())
    except LiquidError as error:
        raise translate_error(error, source, at=join_path(path, form)) from error
    return parsed


def is_bare_expression(source: object) -> TypeGuard[str]:
    """Return True if the value of ``$for`` or ``$if`` is a text without braces around it."""
    return isinstance(source, str) and not source.lstrip().startswith(("{{", "{%"))


def describe_expression_problem(form: str, source: object) -> str:
    """Return a message about a value of ``$for`` or ``$if`` that is not a bare expression."""
    return f"'{form}' is written without braces" if isinstance(source, str) else f"'{form}' takes a text"


def _fold_constant(part: BodyPart, inner: tuple[BodyPart, ...]) -> BodyPart:
    """Encode the part now if it contains no Liquid."""
    if not all(isinstance(item, body_parts.ConstantPart) for item in inner):
        return part
    sink = Sink()
    try:
        part.write(Context(empty_template(strict_engine), globals={}), sink, "")
    except BoundReached as error:
        raise make_error(str(error.args[0]), "", None, limit=True, at=part.path) from error
    return body_parts.ConstantPart(part.path, sink.getvalue())


_bodies: Final = TemplateCache[BodyPart]()


def compile_body(body: Mapping[str, Any] | list[Any]) -> BodyPart:
    try:
        key = marshal.dumps(cast("Any", body), 2)  # the fastest way to walk plain values
    except ValueError:  # a date that YAML parsed from unquoted text, or a mapping other than a dict
        key = marshal.dumps(_to_plain_values(body), 2)
    return _bodies.get(key, len(key), lambda: _compile_part(body, ""))


def _render_structure(body: Mapping[str, Any] | list[Any], data: Mapping[str, Any]) -> str:
    sink = Sink()
    try:
        compile_body(body).write_chosen(Context(empty_template(strict_engine), globals=data), sink)
    except LiquidError as error:
        source = error.token.source if error.token is not None else ""
        raise translate_error(error, source, at=str(error.template_name or "")) from error
    except RecursionError as error:
        raise make_error("the body got a value that is nested too deeply", "", None, limit=True) from error
    return sink.getvalue()


def _to_plain_values(body: Any) -> Any:
    if is_mapping(body):
        return {_to_plain_values(key): _to_plain_values(value) for key, value in body.items()}
    if is_sequence(body):
        return [_to_plain_values(item) for item in body]
    if isinstance(body, dt.date | dt.datetime | dt.time | Decimal):
        return f"{type(body).__name__}:{body}"
    if body is None or isinstance(body, str | int | float):
        return body
    raise TemplateError(f"a body consists of mappings, lists, texts and numbers, not of {type(body).__name__}")


def render_json(body: str | Mapping[str, Any] | list[Any], data: Mapping[str, Any]) -> bytes:
    """Render JSON text with Liquid in it, or a structure with Liquid in its leaves.

    The result is valid JSON in UTF-8. A structure gives compact JSON, a text keeps its layout.
    """
    if not isinstance(body, str):
        return encode_body(_render_structure(body, data), "")
    sink = render_into(json_engine, body, data, JsonSink())
    rendered = finish_document(sink, body)
    if parse_template(json_engine, body).has_rendered_keys:
        refuse_duplicate_keys(rendered, sink, body)
    return rendered


def render_plain(body: str, data: Mapping[str, Any]) -> bytes:
    """Render a body that is neither JSON nor a form: text in UTF-8 without escaping. Raises as ``render_json`` does."""
    return encode_body(render_into(strict_engine, body, data, Sink()).getvalue(), body)


def render_form(body: Mapping[str, Any], data: Mapping[str, Any]) -> bytes:
    """Render a form (``application/x-www-form-urlencoded``) from field names and values, with Liquid in both.

    A list repeats its field, nil is an empty value.
    """
    rendered: Any = json.loads(replace_surrogates(_render_structure(body, data)))
    if not is_mapping(rendered):
        raise TemplateError("a form is a mapping of field names to values")
    pairs: list[tuple[str, str]] = []
    for name, value in rendered.items():
        for item in value if is_list(value) else [value]:
            if isinstance(item, dict | list):
                reason = "a form's value is a text, a number or a list of these: for JSON in a text, '| json | string'"
                raise make_error(reason, "", None, at=name)
            pairs.append((name, item if isinstance(item, str) else "" if item is None else json.dumps(item)))
    form = urllib.parse.urlencode(pairs).encode()
    if len(form) > MAX_BODY:
        raise make_error(f"the body is larger than {MAX_BODY // 1024} KB", "", None, limit=True)
    return form
