"""python-liquid, set up for our sinks: its lexer, tags, filters and contexts replaced where they are not enough."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Final, Generic, TextIO, TypeVar, cast

from liquid import BoundTemplate, DictLoader, Environment, Mode, RenderContext
from liquid.ast import Node
from liquid.exceptions import LiquidError, LiquidInterrupt, LiquidSyntaxError
from liquid.parser import get_parser
from liquid.token import Token

from scenario.liquid import filters
from scenario.liquid.engine.access import Missing, StrictMissing
from scenario.liquid.engine.context import Context
from scenario.liquid.engine.instrument import instrument
from scenario.liquid.engine.lexer import template_stream
from scenario.liquid.engine.limits import BoundReached
from scenario.liquid.engine.nodes import (
    AbortTag,
    EchoValueTag,
    FixedIncludeTag,
    LinesTag,
    RowsTag,
    StrictCaseTag,
    UnlessSoTag,
    ValueTag,
    WhetherTag,
)
from scenario.liquid.engine.sink import ContentTag, Sink
from scenario.liquid.sinks.json_text import JsonContentTag, has_written_keys

_TAGS = (
    AbortTag,
    ContentTag,
    EchoValueTag,
    FixedIncludeTag,
    LinesTag,
    RowsTag,
    StrictCaseTag,
    UnlessSoTag,
    ValueTag,
    WhetherTag,
)
_MARKUP_TAGS = ("tablerow", "ifchanged")
"""Tags that write HTML, or write again what they rendered: outside of texts and e-mails they would be escaped."""


class Template(BoundTemplate):
    """A parsed template. Holds no state: it may be rendered by several threads at once."""

    context_class: type[RenderContext] = Context
    written_keys: bool = False
    """Whether data may be in the keys of the JSON that it writes."""

    def write(self, data: Mapping[str, Any], sink: Sink) -> None:
        """Render into a sink.

        Args:
            data: The variables.
            sink: Where to write; it decides how values are escaped.

        Raises:
            LiquidError: The template cannot be rendered with these data.
            Aborted: The template says that nothing is to be sent.
        """
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
    """One way to read templates.

    Args:
        strict: Whether a missing variable is a mistake (webhooks) or nothing (texts and e-mails).
        html: Whether outputs are escaped as HTML.
        json: Whether literal text is JSON, whose strings are to be told apart.
        markup: Whether there are tags that write markup.
        partials: Templates that ``render`` and ``include`` may name, literally. Without any, there are no such tags.
    """

    loop_iteration_limit: ClassVar[int | None] = 100_000
    block_nesting_limit: ClassVar[int] = 30
    context_depth_limit: ClassVar[int] = 30
    template_class: type[BoundTemplate] = Template

    def __init__(
        self,
        *,
        strict: bool,
        html: bool = False,
        json: bool = False,
        markup: bool = False,
        partials: Mapping[str, str] | None = None,
    ) -> None:
        self._json, self._markup, self._partials = json, markup, partials
        super().__init__(
            tolerance=Mode.STRICT,
            undefined=StrictMissing if strict else Missing,
            autoescape=html,
            loader=DictLoader(dict(partials or {})),
        )

    def setup_tags_and_filters(self, *, extra: bool = False) -> None:
        """Register python-liquid's tags, less those that have no place, and our filters."""
        super().setup_tags_and_filters(extra=False)
        for tag in _TAGS:
            self.add_tag(tag)
        if self._json:
            self.add_tag(JsonContentTag)
        if not self._markup:
            for name in _MARKUP_TAGS:
                del self.tags[name]
        if self._partials is None:
            del self.tags["render"], self.tags["include"]
        self.filters.update(filters.functions(html=self.autoescape))

    def _parse(self, source: str) -> list[Node]:
        nodes = get_parser(self).parse(template_stream(source))
        instrument(nodes, self)
        return nodes

    def from_string(
        self,
        source: str,
        name: str = "",
        path: str | Path | None = None,
        globals: Mapping[str, object] | None = None,  # noqa: A002 - python-liquid's name
        matter: Mapping[str, object] | None = None,
    ) -> BoundTemplate:
        """Parse a template.

        Raises:
            LiquidError: It is malformed, or reaches a bound.
        """
        try:
            nodes = self._parse(source)
        except RecursionError as error:
            raise BoundReached("the template is nested too deeply", Token("", "", 0, source)) from error
        made = self.template_class(self, nodes, name=name, path=path)
        if self._json:
            # Partials are read only while rendering: any may have an output in a key.
            cast("Template", made).written_keys = bool(self._partials) or has_written_keys(nodes)
        return made

    def error(
        self,
        exc: type[LiquidError] | LiquidError,
        msg: str | None = None,
        token: Token | None = None,
    ) -> None:
        """Raise the error, with a position wherever there is one.

        Raises:
            LiquidError: Always.
        """
        error = exc if isinstance(exc, LiquidError) else exc(msg, token=token)
        if error.token is None or error.token.start_index < 0:
            error.token = token or error.token
        raise error


@cache
def text_engine() -> Engine:
    """For e-mail texts, subjects, SMS and conditions: what is missing renders as nothing."""
    return Engine(strict=False, markup=True)


@cache
def html_engine() -> Engine:
    """For HTML e-mails."""
    return Engine(strict=False, html=True, markup=True)


@cache
def strict_engine() -> Engine:
    """For the leaves of structured bodies, URLs and headers: what is missing is a mistake."""
    return Engine(strict=True)


@cache
def json_engine() -> Engine:
    """For JSON bodies written as text."""
    return Engine(strict=True, json=True)


T = TypeVar("T")

MAX_CHARACTERS: Final = 2_000_000
"""Source text whose compiled form one cache keeps: about 60 MB, since a compiled template is 30 times its source."""


class Cache(Generic[T]):
    """What was compiled last, up to a number of characters of source. Safe for threads.

    Two threads that miss at the same time both compile; that is cheaper than one waiting for the other.

    Args:
        capacity: Characters of source, all entries together.
    """

    def __init__(self, capacity: int = MAX_CHARACTERS) -> None:
        self._capacity = capacity
        self._held = 0
        self._entries: OrderedDict[Hashable, tuple[T, int]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, weight: int, make: Callable[[], T]) -> T:
        """The entry of that key, made if it is not there.

        Args:
            key: The content that it is compiled from.
            weight: Characters of that content.
            make: Compiles it. What it raises is passed on, and nothing is kept.
        """
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
