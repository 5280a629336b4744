"""Conditions of ``{SPLIO IF …}``, read into a tree.

``AND`` binds closer than ``OR``; parentheses and ``NOT`` are understood. What an operand means here is not decided yet.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_TOKEN: Final = re.compile(
    r"""\s*(?:
    \$(?:(?P<table>[A-Za-z_]\w*)\.)?(?P<field>[A-Za-z_]\w*)\$
    |"(?P<double>[^"]*)"|'(?P<single>[^']*)'|“(?P<curly>[^”]*)”
    |(?P<operator><>|!=|<=|>=|=>|=<|==|=|<|>)
    |(?P<mark>&&|\|\||[()!])
    |(?P<word>[^\s()<>=!&|"'“$]+)
    )""",
    re.VERBOSE | re.ASCII,
)
_SAME: Final = {"==": "=", "<>": "!=", "=>": ">=", "=<": "<="}
_MARKS: Final = {"&&": "AND", "||": "OR", "!": "NOT"}
_DEEPEST: Final = 20


class Unreadable(Exception):
    """A condition that means nothing here; the text says why."""


@dataclass(frozen=True)
class Named:
    """``$order.extid$``."""

    table: str
    name: str


@dataclass(frozen=True)
class Literal:
    """A text or a number, as text."""

    text: str


Operand = Named | Literal


@dataclass(frozen=True)
class Comparison:
    """Two operands compared.

    Attributes:
        left: The first operand.
        operator: ``= != < <= > >= LIKE``, or empty where an operand stands alone.
        right: The second operand.
    """

    left: Operand
    operator: str = ""
    right: Operand = Literal("")


@dataclass(frozen=True)
class Not:
    """The opposite of a condition."""

    condition: Condition


@dataclass(frozen=True)
class Group:
    """Several conditions.

    Attributes:
        word: ``and`` or ``or``.
        conditions: Two or more.
    """

    word: str
    conditions: tuple[Condition, ...]


Condition = Comparison | Not | Group


def parse_condition(text: str) -> Condition:
    """Reads a condition.

    Raises:
        Unreadable: It is none.
    """
    reader = _Reader(_tokens(text))
    if not reader.tokens:
        raise Unreadable("the condition is missing")
    condition = reader.either(0)
    if reader.tokens:
        raise Unreadable(f"nothing can follow the condition, but {reader.shown()} does")
    return condition


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    operand: Operand | None = None


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    at, text = 0, text.strip()
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise Unreadable(f"'{text[at:].lstrip()[0]}' is not understood in a condition")
        at = found.end()
        if found["field"]:
            tokens.append(_Token("operand", found[0].strip(), Named(found["table"] or "", found["field"])))
        elif found["operator"]:
            tokens.append(_Token("operator", _SAME.get(found["operator"], found["operator"])))
        elif found["mark"]:
            tokens.append(_Token("word", _MARKS.get(found["mark"], found["mark"])))
        elif found["word"]:
            word = found["word"]
            known = word.upper() in ("AND", "OR", "NOT", "LIKE")
            tokens.append(_Token("word", word.upper()) if known else _Token("operand", word, Literal(word)))
        else:
            quoted = next(found[name] for name in ("double", "single", "curly") if found[name] is not None)
            tokens.append(_Token("operand", f"'{quoted}'", Literal(quoted)))
    return tokens


class _Reader:
    """Takes tokens from the front, by one rule a method."""

    def __init__(self, tokens: Sequence[_Token]) -> None:
        self.tokens = list(tokens)[::-1]

    def shown(self) -> str:
        return f"'{self.tokens[-1].text}'" if self.tokens else "the end"

    def take(self, kind: str, *texts: str) -> str | None:
        if self.tokens and self.tokens[-1].kind == kind and (not texts or self.tokens[-1].text in texts):
            return self.tokens.pop().text
        return None

    def either(self, depth: int) -> Condition:
        conditions = [self.both(depth)]
        while self.take("word", "OR"):
            conditions.append(self.both(depth))
        return conditions[0] if len(conditions) == 1 else Group("or", _flat("or", conditions))

    def both(self, depth: int) -> Condition:
        conditions = [self.single(depth)]
        while self.take("word", "AND"):
            conditions.append(self.single(depth))
        return conditions[0] if len(conditions) == 1 else Group("and", _flat("and", conditions))

    def single(self, depth: int) -> Condition:
        if depth > _DEEPEST:
            raise Unreadable(f"the condition is nested more than {_DEEPEST} levels deep")
        if self.take("word", "NOT"):
            return Not(self.single(depth + 1))
        if self.take("word", "("):
            inner = self.either(depth + 1)
            if not self.take("word", ")"):
                raise Unreadable("a parenthesis is not closed")
            return inner
        return self.comparison()

    def comparison(self) -> Condition:
        left = self.operand()
        if operator := self.take("operator"):
            return Comparison(left, operator, self.operand())
        if self.take("word", "LIKE"):
            return Comparison(left, "LIKE", self.operand())
        if self.tokens[-2:-1] and self.tokens[-1].text == "NOT" and self.tokens[-2].text == "LIKE":
            self.tokens.pop()
            self.tokens.pop()
            return Not(Comparison(left, "LIKE", self.operand()))
        if isinstance(left, Literal):
            raise Unreadable(f"'{left.text}' is compared with nothing")
        return Comparison(left)

    def operand(self) -> Operand:
        if self.tokens and (operand := self.tokens[-1].operand) is not None:
            self.tokens.pop()
            return operand
        raise Unreadable(f"a variable, a text or a number is missing before {self.shown()}")


def _flat(word: str, conditions: Sequence[Condition]) -> tuple[Condition, ...]:
    """Groups of the same word inside of one another are one."""
    flat: list[Condition] = []
    for condition in conditions:
        if isinstance(condition, Group) and condition.word == word:
            flat.extend(condition.conditions)
        else:
            flat.append(condition)
    return tuple(flat)
