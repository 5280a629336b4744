"""Conditions of ``{SPLIO IF …}``, read into a tree.

``AND`` binds closer than ``OR``; parentheses and ``NOT`` are understood. What an operand means here is not decided yet.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from splio.fields import Field

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


_NUMBER: Final = re.compile(r"-?\d{1,15}(?:[.,]\d{1,9})?", re.ASCII)
_UNQUOTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]|\{\{|\{%|\}\}|%\}")
_FLAGS: Final = {"1": "true", "true": "true", "yes": "true", "0": "false", "false": "false", "no": "false"}
_FLIPPED: Final = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}

Find = Callable[[Named], Field]
"""Our field of a variable; raises Unreadable where there is none."""


def quoted(text: str) -> str:
    """A text as Liquid writes it.

    Raises:
        Unreadable: Liquid cannot write it.
    """
    if _UNQUOTABLE.search(text) or ("'" in text and '"' in text):
        raise Unreadable("Liquid cannot write this text: it has both kinds of quotes, braces or a line break in it")
    return f'"{text}"' if "'" in text else f"'{text}'"


def write(condition: Condition, find: Find) -> str:
    """A condition in Liquid.

    Args:
        condition: As it was read.
        find: Gives our field of a variable.

    Raises:
        Unreadable: Something in it means nothing here.
    """
    return _write(condition, find)[1]


def _write(condition: Condition, find: Find) -> tuple[str, str]:
    """The word that joins the condition's parts, empty where there is one part only, and its text."""
    if isinstance(condition, Comparison):
        word, texts = _comparison(condition, find)
        return (word, f" {word} ".join(texts)) if len(texts) > 1 else ("", texts[0])
    if isinstance(condition, Not):
        return "", f"not ({write(condition.condition, find)})"
    texts: list[str] = []
    for part in condition.conditions:
        word, text = _write(part, find)
        texts.append(text if word in ("", condition.word) else f"({text})")
    return condition.word, f" {condition.word} ".join(texts)


def _comparison(comparison: Comparison, find: Find) -> tuple[str, list[str]]:
    """The conditions that say the same, and the word between them."""
    left, operator, right = comparison.left, comparison.operator, comparison.right
    if isinstance(left, Literal):
        if isinstance(right, Literal):
            raise Unreadable("a condition compares a variable with something")
        if operator == "LIKE":
            raise Unreadable("a variable stands before LIKE, and a text after it")
        left, right, operator = right, left, _FLIPPED.get(operator, operator)
    known = find(left)
    if not operator:
        return "", [f"{known.path} != blank"]
    if operator == "LIKE":
        return "", [_like(known, right)]
    if isinstance(right, Named):
        return "", [_between(known, operator, find(right))]
    if operator in ("=", "!="):
        return _equality(known, operator, right.text)
    return "", [_order(known, operator, right.text)]


def _equality(known: Field, operator: str, text: str) -> tuple[str, list[str]]:
    sign, word = ("==", "or") if operator == "=" else ("!=", "and")
    if not text.strip():
        return "", [f"{known.path} {sign} blank"]
    number, flag = _number(text), _FLAGS.get(text.lower())
    match known.kind:
        case "number":
            values = [_needed(number, known, text)]
        case "flag":
            values = [_needed(flag, known, text)]
        case None:
            # A custom field may hold text, a number or true and false, whatever its data type says.
            values = [quoted(text), *filter(None, (number, flag))]
        case _:
            values = [quoted(text)]
    return word, [f"{known.path} {sign} {value}" for value in values]


def _order(known: Field, operator: str, text: str) -> str:
    number = _number(text)
    match known.kind:
        case "number":
            return f"{known.path} {operator} {_needed(number, known, text)}"
        case "flag":
            raise Unreadable(f"'{known.path}' is true or false: neither is more than the other")
        case "date":
            return f"{known.path} {operator} {quoted(text)}"
        case _ if number is not None:
            return f"{known.path} | plus: 0 {operator} {number}"
        case None:
            return f"{known.path} | string {operator} {quoted(text)}"
        case _:
            return f"{known.path} {operator} {quoted(text)}"


def _between(known: Field, operator: str, other: Field) -> str:
    """Two fields compared."""
    if operator in ("=", "!="):
        return f"{known.path} {'==' if operator == '=' else '!='} {other.path}"
    if known.kind == other.kind and known.kind in ("number", "date", "text"):
        return f"{known.path} {operator} {other.path}"
    return f"{known.path} | plus: 0 {operator} {other.path} | plus: 0"


def _like(known: Field, pattern: Operand) -> str:
    if isinstance(pattern, Named):
        raise Unreadable("LIKE is followed by a text")
    text = pattern.text
    core = text.removeprefix("%").removesuffix("%")
    if not core or "%" in core or "_" in core:
        raise Unreadable("LIKE can have a '%' at its beginning and its end only, and no '_'")
    path = known.path if known.kind in ("text", "date") else f"{known.path} | string"
    length = len(core)
    match text.startswith("%"), text.endswith("%"):
        case True, True:
            return f"{path} contains {quoted(core)}"
        case False, True:
            return f"{path} | slice: 0, {length} == {quoted(core)}"
        case True, False:
            return f"{path} | slice: -{length}, {length} == {quoted(core)}"
        case _:
            return f"{path} == {quoted(core)}"


def _number(text: str) -> str | None:
    """A number as Liquid writes it, or None where the text is none. Leading zeros tell a code from a number."""
    text = text.strip()
    if not _NUMBER.fullmatch(text) or re.match(r"-?0\d", text):
        return None
    return text.replace(",", ".")


def _needed(value: str | None, known: Field, text: str) -> str:
    if value is None:
        kinds: Mapping[str, str] = {"number": "a number", "flag": "true or false"}
        raise Unreadable(f"'{known.path}' is {kinds[known.kind or '']}, which '{text[:40]}' is not")
    return value
