"""The parts of a structured body, compiled: each writes its own JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from json.encoder import encode_basestring
from typing import ClassVar, Final, TextIO, cast

from liquid.ast import Node
from liquid.builtin.expressions import BooleanExpression, LoopExpression
from liquid.builtin.tags.for_tag import ForLoop
from liquid.exceptions import LiquidError, LiquidInterrupt, LiquidSyntaxError, LiquidTypeError
from liquid.expression import Expression

from scenario.liquid.engine.context import Context
from scenario.liquid.engine.environment import Template
from scenario.liquid.engine.sink import Sink
from scenario.liquid.engine.values import NoJson, clean, json_text

SAME_KEYS: Final = "two keys of the same mapping are equal"


def below(path: str, key: str) -> str:
    """The place of a key in the part of a body at a path."""
    return f"{path}.{key}" if path else key


class Written:
    """A part of a body, compiled.

    Attributes:
        path: Where it is in the body, such as ``lines.$each.name``.
        chooses: Whether ``chosen`` may give anything but the part itself, so that it has to be asked.
    """

    path: str
    chooses: ClassVar[bool] = False

    def chosen(self, context: Context) -> Written | None:
        """What is to be written in its place, or None for nothing."""
        return self

    def write(self, context: Context, sink: Sink, lead: str) -> None:
        """Write it as JSON.

        Args:
            context: The variables.
            sink: Where to.
            lead: What to write right before it: a comma, a key.
        """
        raise AssertionError("each kind of part writes itself")


@dataclass(frozen=True, slots=True)
class Constant(Written):
    """A part without Liquid."""

    path: str
    text: str

    def write(self, context: Context, sink: Sink, lead: str) -> None:
        """Write the text that was encoded while compiling."""
        sink.put(lead + self.text)


@dataclass(frozen=True, slots=True)
class Leaf(Written):
    """A text with Liquid in it.

    Attributes:
        template: The text, parsed.
        source: The text.
        output: The expression that gives the value, where the text is one output and nothing else.
    """

    path: str
    template: Template
    source: str
    output: Expression | None

    def value(self, context: Context) -> object:
        """Its value: of a single output the output's, else the rendered text."""
        if self.output is None:
            return self.text(context)
        try:
            return self.output.evaluate(context)
        except LiquidError as error:
            raise _placed(error, self.path, self.template.nodes[0]) from None

    def text(self, context: Context) -> str:
        """The rendered text."""
        sink = Sink()
        buffer = cast("TextIO", sink)
        for node in self.template.nodes:
            try:
                node.render(context, buffer)
            except LiquidError as error:
                raise _placed(error, self.path, node) from None
            except LiquidInterrupt as interrupt:
                error = LiquidSyntaxError(f"unexpected '{interrupt}'", token=node.token)
                raise _placed(error, self.path) from interrupt
        return sink.getvalue()

    def write(self, context: Context, sink: Sink, lead: str) -> None:
        """Write the value."""
        try:
            value = self.text(context) if self.output is None else self.output.evaluate(context)
            sink.put(lead + (encode_basestring(value) if type(value) is str else json_text(value)))
        except NoJson as error:
            raise _placed(LiquidTypeError(str(error), token=self.template.nodes[0].token), self.path) from error
        except LiquidError as error:
            raise _placed(error, self.path, self.template.nodes[0]) from None


@dataclass(frozen=True, slots=True)
class Listed(Written):
    """A list."""

    path: str
    items: tuple[Written, ...]

    def write(self, context: Context, sink: Sink, lead: str) -> None:
        """Write the items that are not left out."""
        before = f"{lead}["
        for item in self.items:
            part = item.chosen(context) if item.chooses else item
            if part is not None:
                part.write(context, sink, before)
                before = ","
        sink.put("]" if before == "," else f"{before}]")


@dataclass(frozen=True, slots=True)
class Pair:
    """One key of a mapping, encoded with its colon, or rendered each time; and its value."""

    key: str | Leaf
    value: Written


@dataclass(frozen=True, slots=True)
class Mapped(Written):
    """A mapping."""

    path: str
    pairs: tuple[Pair, ...]
    has_rendered_keys: bool

    def write(self, context: Context, sink: Sink, lead: str) -> None:
        """Write the pairs that are not left out."""
        context.budget.spend(len(self.pairs))
        seen: dict[str, Leaf | None] | None = {} if self.has_rendered_keys else None
        before = f"{lead}{{"
        for pair in self.pairs:
            part = pair.value
            if part.chooses and (part := part.chosen(context)) is None:
                continue
            key = pair.key if isinstance(pair.key, str) else f"{json_text(pair.key.text(context))}:"
            if seen is not None:
                self._refuse_twice(key, seen, pair)
            part.write(context, sink, before + key)
            before = ","
        sink.put("}" if before == "," else f"{before}}}")

    @staticmethod
    def _refuse_twice(key: str, seen: dict[str, Leaf | None], pair: Pair) -> None:
        # A key made of data must not take another's place, as the receiver reads them: broken characters are one.
        name = clean(key)
        leaf = pair.key if isinstance(pair.key, Leaf) else None
        if name in seen and (leaf := leaf or seen[name]) is not None:
            raise _placed(LiquidTypeError(SAME_KEYS, token=leaf.template.nodes[0].token), leaf.path)
        seen[name] = leaf


@dataclass(frozen=True, slots=True)
class For(Written):
    """``$for``."""

    path: str
    source: str
    loop: LoopExpression
    each: Written
    otherwise: Written | None

    def write(self, context: Context, sink: Sink, lead: str) -> None:
        """Write a list with what ``$each`` gives for each item."""
        try:
            items, length = self.loop.evaluate(context)
        except LiquidError as error:
            raise _placed(error, below(self.path, "$for")) from None
        if not length and self.otherwise is not None:
            part = self.otherwise.chosen(context)
            sink.put(f"{lead}null") if part is None else part.write(context, sink, lead)
            return
        each, budget, name = self.each, context.budget, self.loop.identifier
        state = ForLoop(f"{name}-{self.loop.iterable}", items, length, context.parentloop())
        variables: dict[str, object] = {"forloop": state, name: None}
        before = f"{lead}["
        with context.loop(variables, state):
            for item in state:
                budget.spend(1)
                variables[name] = item
                part = each.chosen(context) if each.chooses else each
                if part is not None:
                    part.write(context, sink, before)
                    before = ","
        sink.put("]" if before == "," else f"{before}]")


@dataclass(frozen=True, slots=True)
class If(Written):
    """``$if``."""

    path: str
    source: str
    condition: BooleanExpression
    then: Written
    otherwise: Written | None
    chooses: ClassVar[bool] = True

    def chosen(self, context: Context) -> Written | None:
        """The part that the condition picks."""
        try:
            holds = self.condition.evaluate(context)
        except LiquidError as error:
            raise _placed(error, below(self.path, "$if")) from None
        part = self.then if holds else self.otherwise
        return part.chosen(context) if part is not None else None

    def write(self, context: Context, sink: Sink, lead: str) -> None:
        """Write the part that the condition picks, nothing being null."""
        part = self.chosen(context)
        sink.put(f"{lead}null") if part is None else part.write(context, sink, lead)


@dataclass(frozen=True, slots=True)
class Let(Written):
    """``$let``."""

    path: str
    names: tuple[tuple[str, Written], ...]
    inside: Written

    def write(self, context: Context, sink: Sink, lead: str) -> None:
        """Write ``$in`` with the names in place."""
        variables: dict[str, object] = {}
        with context.extend(variables):
            for name, part in self.names:
                variables[name] = self._value(part, context)
            part = self.inside.chosen(context)
            sink.put(f"{lead}null") if part is None else part.write(context, sink, lead)

    @staticmethod
    def _value(part: Written, context: Context) -> object:
        if isinstance(part, Leaf):
            return part.value(context)
        text = Sink()
        chosen = part.chosen(context)
        if chosen is None:
            return None
        chosen.write(context, text, "")
        return json.loads(text.getvalue())


def _placed(error: LiquidError, path: str, node: Node | None = None) -> LiquidError:
    """The error, with the part of the body that it is about and a position there, unless it has them."""
    error.template_name = error.template_name or path
    if error.token is None and node is not None:
        error.token = node.token
    return error
