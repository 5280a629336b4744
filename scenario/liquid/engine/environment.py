"""python-liquid's environment with the project's lexer, tags, filters and contexts; the cache of compiled templates."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from functools import cache
from typing import Any, ClassVar, Final, Generic, TextIO, TypeVar, cast

from liquid import BoundTemplate, Environment, Mode, RenderContext
from liquid.exceptions import LiquidError, LiquidInterrupt, LiquidSyntaxError
from liquid.parser import get_parser
from liquid.token import Token

from scenario.liquid import filters
from scenario.liquid.engine.access import LenientMissing, StrictMissing
from scenario.liquid.engine.context import Context, LiteralTextTag, Sink
from scenario.liquid.engine.instrument import instrument
from scenario.liquid.engine.lexer import template_stream
from scenario.liquid.engine.limits import BoundReached
from scenario.liquid.engine.nodes import TAGS
from scenario.liquid.sinks.json_text import JsonContentTag, has_rendered_keys

_MARKUP_TAGS = ("tablerow", "ifchanged")
"""Tags that write HTML or repeat their own output. Outside of texts and e-mails their output would be escaped."""


class ParsedTemplate(BoundTemplate):
    """A parsed template. It is stateless, so several threads may render it."""

    context_class: type[RenderContext] = Context
    has_rendered_keys: bool = False
    """True if data may occur in keys of the JSON that it writes."""

    def write(self, data: Mapping[str, Any], sink: Sink) -> None:
        """Render into a sink, which escapes the values. Raise LiquidError, or Aborted if the template says so."""
        context = self.context_class(self, globals=data)
        buffer = cast("TextIO", sink)
        for node in self.nodes:
            try:
                node.render(context, buffer)
            except LiquidError as error:
                self.env.error(error, token=node.token)
            except LiquidInterrupt as interrupt:
                raise LiquidSyntaxError(f"unexpected '{interrupt}'", token=node.token) from interrupt


class Engine(Environment):
    """The environment of one output format.

    Args:
        strict: True if a missing variable is an error (webhooks), False if it renders as nothing (texts and e-mails).
        html: True to escape outputs as HTML.
        json: True if the literal text is JSON, in which strings are tracked.
        markup: True if tags that write markup exist.
    """

    loop_iteration_limit: ClassVar[int | None] = 100_000

    def __init__(self, *, strict: bool, html: bool = False, json: bool = False, markup: bool = False) -> None:
        self._json, self._markup = json, markup
        undefined = StrictMissing if strict else LenientMissing
        super().__init__(tolerance=Mode.STRICT, undefined=undefined, autoescape=html)

    def setup_tags_and_filters(self, *, extra: bool = False) -> None:
        super().setup_tags_and_filters(extra=False)
        for tag in (LiteralTextTag, *TAGS):
            self.add_tag(tag)
        if self._json:
            self.add_tag(JsonContentTag)
        for name in ("render", "include", *(() if self._markup else _MARKUP_TAGS)):
            del self.tags[name]
        self.filters.update(filters.filter_functions(html=self.autoescape))

    def parse_template(self, source: str) -> ParsedTemplate:
        """Parse a template, with its filters and comparisons replaced."""
        try:
            nodes = get_parser(self).parse(template_stream(source))
            instrument(nodes, self)
        except RecursionError as error:
            raise BoundReached("the template is nested too deeply", Token("", "", 0, source)) from error
        made = ParsedTemplate(self, nodes)
        made.has_rendered_keys = self._json and has_rendered_keys(nodes)
        return made

    def error(self, exc: type[LiquidError] | LiquidError, msg: str | None = None, token: Token | None = None) -> None:
        error = exc if isinstance(exc, LiquidError) else exc(msg, token=token)
        if error.token is None or error.token.start_index < 0:
            error.token = token or error.token
        raise error


@cache
def text_engine() -> Engine:
    """Return the engine for texts, subjects, SMS and conditions, in which missing values render as nothing."""
    return Engine(strict=False, markup=True)


@cache
def html_engine() -> Engine:
    return Engine(strict=False, html=True, markup=True)


@cache
def strict_engine() -> Engine:
    """Return the engine for structured bodies, URLs and headers, in which missing values are errors."""
    return Engine(strict=True)


@cache
def json_engine() -> Engine:
    """Return the engine for JSON bodies written as text."""
    return Engine(strict=True, json=True)


@cache
def empty_template(engine: Callable[[], Engine]) -> ParsedTemplate:
    """Return an empty template, which python-liquid's contexts require."""
    return ParsedTemplate(engine(), nodes=[])


T = TypeVar("T")

MAX_CHARACTERS: Final = 2_000_000
"""Source text of the templates in one cache. A compiled template is 30 times its source, so this is about 60 MB."""


class TemplateCache(Generic[T]):
    """A thread-safe LRU cache of compiled templates, bounded by the length of their sources.

    Two threads that miss at the same time both compile, which costs less than waiting.
    """

    def __init__(self, capacity: int = MAX_CHARACTERS) -> None:
        self._capacity = capacity
        self._held = 0
        self._entries: OrderedDict[Hashable, tuple[T, int]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, weight: int, make: Callable[[], T]) -> T:
        """Return the entry of a key, compiled if it is missing. Its weight is the length of its source."""
        entries = self._entries
        found = entries.get(key)
        if found is not None:
            with self._lock:
                if key in entries:
                    entries.move_to_end(key)
            return found[0]
        made = make()
        with self._lock:
            if key not in entries:
                entries[key] = (made, weight)
                self._held += weight
            while self._held > self._capacity and len(entries) > 1:
                _, (_, dropped) = entries.popitem(last=False)
                self._held -= dropped
        return made
