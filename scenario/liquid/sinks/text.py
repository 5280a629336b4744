"""E-mail texts and HTML, SMS and subjects; conditions and single values."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from liquid.builtin.expressions import BooleanExpression, Nil
from liquid.builtin.expressions.primitive import Blank, Empty
from liquid.builtin.output import OutputNode
from liquid.exceptions import LiquidError
from liquid.token import TOKEN_EXPRESSION, Token
from liquid.undefined import Undefined

from scenario.liquid.engine.access import plain_value
from scenario.liquid.engine.context import Context, HtmlSink, Sink
from scenario.liquid.engine.environment import (
    Engine,
    ParsedTemplate,
    TemplateCache,
    empty_template,
    html_engine,
    text_engine,
)
from scenario.liquid.engine.errors import make_error, translate_error
from scenario.liquid.engine.instrument import instrument_expression
from scenario.liquid.engine.limits import MAX_SOURCE
from scenario.liquid.engine.logic import parse_condition
from scenario.liquid.engine.values import JsonValueError
from scenario.source.findings import clip

_Sink = TypeVar("_Sink", bound=Sink)
_templates: Final = TemplateCache[ParsedTemplate]()
_conditions: Final = TemplateCache[BooleanExpression]()

_BRACES: Final = re.compile(r"\{%-?\s*end\w+\s*-?%\}|\{[{%]-?\s*(?:if\s+)?|\s*-?[%}]\}")
_NOT_ON_A_LINE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def parse_template(engine: Callable[[], Engine], source: str) -> ParsedTemplate:

    def parse() -> ParsedTemplate:
        try:
            return engine().parse_template(source)
        except LiquidError as error:
            raise translate_error(error, source) from error

    return _templates.get((engine, source), len(source), parse)


def render_into(engine: Callable[[], Engine], source: str, data: Mapping[str, Any], sink: _Sink) -> _Sink:
    """Render a template into a sink, and return the sink."""
    try:
        parse_template(engine, source).write(data, sink)
    except LiquidError as error:
        raise translate_error(error, source) from error
    except RecursionError as error:
        raise make_error("the template got a value that is nested too deeply", source, None, limit=True) from error
    return sink


def render_text(source: str, data: Mapping[str, Any]) -> str:
    """Render an e-mail's text or an SMS. Nothing is escaped, and missing values render as nothing."""
    return render_into(text_engine, source, data, Sink()).getvalue()


def parse_text(source: str) -> None:
    parse_template(text_engine, source)


def render_html(source: str, data: Mapping[str, Any]) -> str:
    """Render an HTML e-mail. Values are escaped, and missing values render as nothing."""
    return render_into(html_engine, source, data, HtmlSink()).getvalue()


def render_line(source: str, data: Mapping[str, Any]) -> str:
    """Render a subject, which is one line for any data. Raises as ``render_text`` does."""
    return one_line(render_text(source, data))


def one_line(text: str) -> str:
    """Replace each run of line breaks and control characters by one space, and strip the text."""
    return _NOT_ON_A_LINE.sub(" ", text).strip()


def compile_condition(source: str) -> BooleanExpression:
    return _conditions.get(source, len(source), lambda: _parse_condition(source))


def _parse_condition(source: str) -> BooleanExpression:
    if len(source) > MAX_SOURCE:
        raise make_error(f"a condition may have {MAX_SOURCE // 1024} KB of text", source, MAX_SOURCE, limit=True)
    if not source.strip():
        raise make_error("the condition is empty", source, 0)
    if source.lstrip().startswith(("{{", "{%")):
        raise make_error(f"a condition is written without braces: {clip(_BRACES.sub('', source))}", source, 0)
    try:
        expression = parse_condition(text_engine(), Token(TOKEN_EXPRESSION, source, 0, source))
        instrument_expression(expression, text_engine())
    except LiquidError as error:
        raise translate_error(error, source) from error
    return expression


def evaluate_condition(source: str, data: Mapping[str, Any]) -> bool:
    """Evaluate a condition such as ``order.total_price > 20 and contact.cellphone != blank``.

    Missing values are nil. `scenario.liquid.engine.logic` documents the syntax.
    """
    expression = compile_condition(source)
    try:
        return expression.evaluate(Context(empty_template(text_engine), globals=data))
    except LiquidError as error:
        raise translate_error(error, source) from error


def evaluate_value(source: str, data: Mapping[str, Any]) -> Any:
    """Return the value of a template with a single output, otherwise its text. A missing value is None."""
    parsed = parse_template(text_engine, source)
    if len(parsed.nodes) != 1 or not isinstance(parsed.nodes[0], OutputNode):
        return render_text(source, data)
    try:
        found = parsed.nodes[0].expression.evaluate(Context(parsed, globals=data))
    except LiquidError as error:
        raise translate_error(error, source) from error
    except JsonValueError as error:
        raise make_error(str(error), source, 0) from error
    if found is None or isinstance(found, Undefined | Nil):
        return None
    return "" if isinstance(found, Blank | Empty) else plain_value(found)
