"""E-mail texts and HTML, SMS, subjects; conditions and single values."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from liquid.builtin.expressions import Nil
from liquid.builtin.expressions.primitive import Blank, Empty
from liquid.builtin.output import OutputNode
from liquid.exceptions import LiquidError
from liquid.token import TOKEN_EXPRESSION, Token
from liquid.undefined import Undefined

from scenario.liquid.engine.access import closed
from scenario.liquid.engine.context import Context
from scenario.liquid.engine.environment import Cache, Engine, Template, html_engine, text_engine
from scenario.liquid.engine.errors import mistake, translated
from scenario.liquid.engine.instrument import instrument_expression
from scenario.liquid.engine.limits import MAX_SOURCE
from scenario.liquid.engine.logic import parse_condition
from scenario.liquid.engine.sink import HtmlSink, Sink
from scenario.liquid.engine.values import NoJson
from scenario.source.findings import clip

_templates: Final = Cache[Template]()
_conditions: Final = Cache["Condition"]()

_BRACES: Final = re.compile(r"\{%-?\s*end\w+\s*-?%\}|\{[{%]-?\s*(?:if\s+)?|\s*-?[%}]\}")
_NOT_ON_A_LINE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def template(engine: Callable[[], Engine], source: str) -> Template:
    """A template, parsed now or before.

    Args:
        engine: One of the engines of ``engine``.
        source: The template's text.

    Raises:
        TemplateError: It is malformed; with its position.
    """

    def parse() -> Template:
        try:
            return cast("Template", engine().from_string(source))
        except LiquidError as error:
            raise translated(error, source) from error

    return _templates.get((engine, source), len(source), parse)


def render(engine: Callable[[], Engine], source: str, data: Mapping[str, Any], sink: Sink) -> Template:
    """Render a template into a sink.

    Returns:
        The template.

    Raises:
        TemplateError: It is malformed, or cannot be rendered with these data.
        Aborted: It says that nothing is to be sent.
    """
    parsed = template(engine, source)
    try:
        parsed.write(data, sink)
    except LiquidError as error:
        raise translated(error, source) from error
    except RecursionError as error:
        raise mistake("the template got a value that is nested too deeply", source, None, limit=True) from error
    return parsed


def render_text(source: str, data: Mapping[str, Any]) -> str:
    """An e-mail's text or an SMS. Nothing is escaped; what is missing renders as nothing.

    Args:
        source: The template.
        data: The variables: plain JSON values, or ``Decimal`` and ``datetime``.

    Raises:
        TemplateError: The template is malformed, or cannot be rendered with these data.
        Aborted: The template says that nothing is to be sent.
    """
    sink = Sink()
    render(text_engine, source, data, sink)
    return sink.getvalue()


def parse_text(source: str) -> None:
    """Refuse a malformed text without rendering it.

    Raises:
        TemplateError: It is malformed; with its position.
    """
    template(text_engine, source)


def render_html(source: str, data: Mapping[str, Any]) -> str:
    """An HTML e-mail: values are escaped, what is missing renders as nothing. Raises as ``render_text`` does."""
    sink = HtmlSink()
    render(html_engine, source, data, sink)
    return sink.getvalue()


def render_line(source: str, data: Mapping[str, Any]) -> str:
    """A subject: one line, whatever the data hold. Raises as ``render_text`` does.

    Returns:
        The text, in which each run of line breaks and control characters is one space, with none at its ends.
    """
    return _NOT_ON_A_LINE.sub(" ", render_text(source, data)).strip()


class Condition:
    """A condition, compiled.

    Attributes:
        source: Its text.
        expression: Its tree.
    """

    __slots__ = ("_holder", "expression", "source")

    def __init__(self, source: str) -> None:
        self.source = source
        token = Token(TOKEN_EXPRESSION, source, 0, source)
        if len(source) > MAX_SOURCE:
            raise mistake(f"a condition may have {MAX_SOURCE // 1024} KB of text", source, MAX_SOURCE, limit=True)
        if not source.strip():
            raise mistake("the condition is empty", source, 0)
        if source.lstrip().startswith(("{{", "{%")):
            raise mistake(f"a condition is written without braces: {clip(_BRACES.sub('', source))}", source, 0)
        engine = text_engine()
        try:
            self.expression = parse_condition(engine, token)
            instrument_expression(self.expression, engine)
        except LiquidError as error:
            raise translated(error, source) from error
        self._holder = Template(engine, nodes=[])

    def holds(self, data: Mapping[str, Any]) -> bool:
        """Whether it is true of these data.

        Raises:
            TemplateError: It compares what cannot be compared.
        """
        try:
            return self.expression.evaluate(Context(self._holder, globals=data))
        except LiquidError as error:
            raise translated(error, self.source) from error


def condition(source: str) -> Condition:
    """A condition, compiled now or before.

    Raises:
        TemplateError: It is malformed; with its position.
    """
    return _conditions.get(source, len(source), lambda: Condition(source))


def evaluate_condition(source: str, data: Mapping[str, Any]) -> bool:
    """Whether a condition holds, such as ``order.total_price > 20 and contact.cellphone != blank``.

    What is missing is nil. How it is read, `scenario.liquid.engine.logic` says.

    Args:
        source: The condition, without braces.
        data: The variables.

    Raises:
        TemplateError: The condition is malformed, or compares what cannot be compared.
    """
    return condition(source).holds(data)


def evaluate_value(source: str, data: Mapping[str, Any]) -> Any:
    """The value of a template: of ``{{ reward.expiration_date }}`` alone the value itself, else the rendered text.

    What is missing is None. Raises as ``render_text`` does.
    """
    parsed = template(text_engine, source)
    if len(parsed.nodes) != 1 or not isinstance(parsed.nodes[0], OutputNode):
        return render_text(source, data)
    try:
        found = parsed.nodes[0].expression.evaluate(Context(parsed, globals=data))
    except LiquidError as error:
        raise translated(error, source) from error
    except NoJson as error:
        raise mistake(str(error), source, 0) from error
    if found is None or isinstance(found, Undefined | Nil):
        return None
    return "" if isinstance(found, Blank | Empty) else closed(found)
