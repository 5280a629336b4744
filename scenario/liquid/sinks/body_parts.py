"""The compiled parts of structured bodies, which write JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from json.encoder import encode_basestring
from typing import Final, TextIO, cast

from liquid.ast import Node
from liquid.builtin.expressions import BooleanExpression, LoopExpression
from liquid.builtin.tags.for_tag import ForLoop
from liquid.exceptions import LiquidError, LiquidInterrupt, LiquidSyntaxError, LiquidTypeError
from liquid.expression import Expression

from scenario.liquid.engine.context import Context, Sink, note_empty_output
from scenario.liquid.engine.environment import ParsedTemplate
from scenario.liquid.engine.values import JsonValueError, json_text, replace_surrogates

SAME_KEYS: Final = "two keys of the same mapping are equal"


def join_path(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


class BodyPart:
    """A compiled part of a body. Its path is such as ``lines.$each.name``."""

    path: str

    def choose(self, context: Context) -> BodyPart | None:
        """Return the part to write in its place, or None for nothing."""
        return self

    def write(self, context: Context, sink: Sink, lead: str) -> None:
        """Write the part as JSON, with a text before it, such as a comma or a key."""
        raise AssertionError("the part that is chosen writes itself")

    def inner(self) -> Iterable[BodyPart]:
        """Return the parts in it, except below names that it defines."""
        return ()

    def write_chosen(self, context: Context, sink: Sink, lead: str = "") -> None:
        """Write the chosen part, or null for nothing."""
        part = self.choose(context)
        sink.put(f"{lead}null") if part is None else part.write(context, sink, lead)


@dataclass(frozen=True, slots=True)
class ConstantPart(BodyPart):
    """A part without Liquid, encoded when compiled."""

    path: str
    text: str

    def write(self, context: Context, sink: Sink, lead: str) -> None:
        sink.put(lead + self.text)


@dataclass(frozen=True, slots=True)
class LiquidPart(BodyPart):
    """A text with Liquid in it."""

    path: str
    template: ParsedTemplate
    source: str
    output: Expression | None
    """The expression of the value if the text is a single output."""

    def value(self, context: Context) -> object:
        """Return the value of a single output, otherwise the rendered text."""
        if self.output is None:
            return self.text(context)
        try:
            return self.output.evaluate(context)
        except LiquidError as error:
            raise _with_place(error, self.path, self.template.nodes[0]) from None

    def text(self, context: Context) -> str:
        sink = Sink()
        buffer = cast("TextIO", sink)
        for node in self.template.nodes:
            try:
                node.render(context, buffer)
            except LiquidError as error:
                raise _with_place(error, self.path, node) from None
            except LiquidInterrupt as interrupt:
                error = LiquidSyntaxError(f"unexpected '{interrupt}'", token=node.token)
                raise _with_place(error, self.path) from interrupt
        return sink.getvalue()

    def write(self, context: Context, sink: Sink, lead: str) -> None:
        try:
            value = self.text(context) if self.output is None else self.output.evaluate(context)
            if self.output is not None and (value is None or (type(value) is str and not value)):
                note_empty_output(self.output)
            sink.put(lead + (encode_basestring(value) if type(value) is str else json_text(value)))
        except JsonValueError as error:
            raise _with_place(LiquidTypeError(str(error), token=self.template.nodes[0].token), self.path) from error
        except LiquidError as error:
            raise _with_place(error, self.path, self.template.nodes[0]) from None


@dataclass(frozen=True, slots=True)
class ListPart(BodyPart):
    """A list."""

    path: str
    items: tuple[BodyPart, ...]

    def inner(self) -> Iterable[BodyPart]:
        return self.items

    def write(self, context: Context, sink: Sink, lead: str) -> None:
        before = f"{lead}["
        for item in self.items:
            part = item.choose(context)
            if part is not None:
                part.write(context, sink, before)
                before = ","
        sink.put("]" if before == "," else f"{before}]")


@dataclass(frozen=True, slots=True)
class MappingEntry:
    """One key of a mapping, either encoded with its colon or rendered each time, and its value."""

    key: str | LiquidPart
    value: BodyPart


@dataclass(frozen=True, slots=True)
class MappingPart(BodyPart):
    """A mapping."""

    path: str
    pairs: tuple[MappingEntry, ...]
    has_rendered_keys: bool

    def inner(self) -> Iterable[BodyPart]:
        return [part for pair in self.pairs for part in (pair.key, pair.value) if isinstance(part, BodyPart)]

    def write(self, context: Context, sink: Sink, lead: str) -> None:
        context.budget.spend(len(self.pairs))
        seen: dict[str, LiquidPart | None] | None = {} if self.has_rendered_keys else None
        before = f"{lead}{{"
        for pair in self.pairs:
            part = pair.value.choose(context)
            if part is None:
                continue
            key = pair.key if isinstance(pair.key, str) else f"{json_text(pair.key.text(context))}:"
            if seen is not None:
                self._refuse_twice(key, seen, pair)
            part.write(context, sink, before + key)
            before = ","
        sink.put("}" if before == "," else f"{before}}}")

    @staticmethod
    def _refuse_twice(key: str, seen: dict[str, LiquidPart | None], pair: MappingEntry) -> None:
        # Data must not duplicate a key. Receivers treat all invalid characters as equal.
        name = replace_surrogates(key)
        leaf = pair.key if isinstance(pair.key, LiquidPart) else None
        if name in seen and (leaf := leaf or seen[name]) is not None:
            raise _with_place(LiquidTypeError(SAME_KEYS, token=leaf.template.nodes[0].token), leaf.path)
        seen[name] = leaf


@dataclass(frozen=True, slots=True)
class ForPart(BodyPart):
    """``$for``."""

    path: str
    loop: LoopExpression
    each: BodyPart
    otherwise: BodyPart | None

    def inner(self) -> Iterable[BodyPart]:
        return () if self.otherwise is None else (self.otherwise,)

    def write(self, context: Context, sink: Sink, lead: str) -> None:
        try:
            items, length = self.loop.evaluate(context)
        except LiquidError as error:
            raise _with_place(error, join_path(self.path, "$for")) from None
        if not length and self.otherwise is not None:
            self.otherwise.write_chosen(context, sink, lead)
            return
        each, budget, name = self.each, context.budget, self.loop.identifier
        state = ForLoop(f"{name}-{self.loop.iterable}", items, length, context.parentloop())
        variables: dict[str, object] = {"forloop": state, name: None}
        before = f"{lead}["
        with context.loop(variables, state):
            for item in state:
                budget.spend(1)
                variables[name] = item
                part = each.choose(context)
                if part is not None:
                    part.write(context, sink, before)
                    before = ","
        sink.put("]" if before == "," else f"{before}]")


@dataclass(frozen=True, slots=True)
class IfPart(BodyPart):
    """``$if``."""

    path: str
    condition: BooleanExpression
    then: BodyPart
    otherwise: BodyPart | None

    def inner(self) -> Iterable[BodyPart]:
        return (self.then,) if self.otherwise is None else (self.then, self.otherwise)

    def choose(self, context: Context) -> BodyPart | None:
        try:
            holds = self.condition.evaluate(context)
        except LiquidError as error:
            raise _with_place(error, join_path(self.path, "$if")) from None
        part = self.then if holds else self.otherwise
        return part.choose(context) if part is not None else None


@dataclass(frozen=True, slots=True)
class LetPart(BodyPart):
    """``$let``."""

    path: str
    names: tuple[tuple[str, BodyPart], ...]
    inside: BodyPart

    def write(self, context: Context, sink: Sink, lead: str) -> None:
        variables: dict[str, object] = {}
        with context.extend(variables):
            for name, part in self.names:
                variables[name] = self._value(part, context)
            self.inside.write_chosen(context, sink, lead)

    @staticmethod
    def _value(part: BodyPart, context: Context) -> object:
        if isinstance(part, LiquidPart):
            return part.value(context)
        text = Sink()
        chosen = part.choose(context)
        if chosen is None:
            return None
        chosen.write(context, text, "")
        return json.loads(text.getvalue())


def _with_place(error: LiquidError, path: str, node: Node | None = None) -> LiquidError:
    error.template_name = error.template_name or path
    if error.token is None and node is not None:
        error.token = node.token
    return error
