"""Conditions of ``{SPLIO IF …}`` and their conversion to Liquid. ``AND`` has higher precedence than ``OR``."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from splio.fields import MappedField

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


class ConversionError(Exception):
    """A part that has no equivalent in Liquid. The text states the reason."""


@dataclass(frozen=True)
class VariableReference:
    """``$order.extid$``."""

    table: str
    name: str


@dataclass(frozen=True)
class LiteralOperand:
    """A text or a number, as text."""

    text: str


Operand = VariableReference | LiteralOperand


FieldLookup = Callable[[VariableReference], MappedField]  # returns the field of a variable, or raises ConversionError
OldCondition = Callable[[FieldLookup], tuple[str, str]]
"""Writes a condition in Liquid: the word that joins its parts, empty for a single part, and its text."""


def convert_condition(text: str, find: FieldLookup) -> str:
    """Return a condition in Liquid. Raise ConversionError if it is malformed or has no equivalent."""
    reader = _ConditionParser(_tokens(text))
    if not reader.tokens:
        raise ConversionError("the condition is missing")
    condition = reader.either(0)
    if reader.tokens:
        raise ConversionError(f"{reader.shown()} cannot follow the condition")
    return condition(find)[1]


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
            raise ConversionError(f"'{text[at:].lstrip()[0]}' is not supported in a condition")
        at = found.end()
        if found["field"]:
            tokens.append(_Token("operand", found[0].strip(), VariableReference(found["table"] or "", found["field"])))
        elif found["operator"]:
            tokens.append(_Token("operator", _SAME.get(found["operator"], found["operator"])))
        elif found["mark"]:
            tokens.append(_Token("word", _MARKS.get(found["mark"], found["mark"])))
        elif found["word"]:
            word = found["word"]
            known = word.upper() in ("AND", "OR", "NOT", "LIKE")
            tokens.append(_Token("word", word.upper()) if known else _Token("operand", word, LiteralOperand(word)))
        else:
            quoted = next(found[name] for name in ("double", "single", "curly") if found[name] is not None)
            tokens.append(_Token("operand", f"'{quoted}'", LiteralOperand(quoted)))
    return tokens


class _ConditionParser:
    """A recursive descent parser with one method for each rule."""

    def __init__(self, tokens: Sequence[_Token]) -> None:
        self.tokens = list(tokens)[::-1]

    def shown(self) -> str:
        return f"'{self.tokens[-1].text}'" if self.tokens else "the end"

    def take(self, kind: str, *texts: str) -> str | None:
        if self.tokens and self.tokens[-1].kind == kind and (not texts or self.tokens[-1].text in texts):
            return self.tokens.pop().text
        return None

    def either(self, depth: int) -> OldCondition:
        return self._joined("OR", self._both, depth)

    def _both(self, depth: int) -> OldCondition:
        return self._joined("AND", self._single, depth)

    def _joined(self, word: str, part: Callable[[int], OldCondition], depth: int) -> OldCondition:
        conditions = [part(depth)]
        while self.take("word", word):
            conditions.append(part(depth))
        return conditions[0] if len(conditions) == 1 else partial(_write_group, word.lower(), conditions)

    def _single(self, depth: int) -> OldCondition:
        if depth > _DEEPEST:
            raise ConversionError(f"the condition is nested more than {_DEEPEST} levels deep")
        if self.take("word", "NOT"):
            return _negate(self._single(depth + 1))
        if self.take("word", "("):
            inner = self.either(depth + 1)
            if not self.take("word", ")"):
                raise ConversionError("a parenthesis is not closed")
            return inner
        return self._comparison()

    def _comparison(self) -> OldCondition:
        left = self._operand()
        if operator := self.take("operator") or self.take("word", "LIKE"):
            return partial(_write_comparison, left, operator, self._operand())
        if self.tokens[-2:-1] and self.tokens[-1].text == "NOT" and self.tokens[-2].text == "LIKE":
            del self.tokens[-2:]
            return _negate(partial(_write_comparison, left, "LIKE", self._operand()))
        if isinstance(left, LiteralOperand):
            raise ConversionError(f"'{left.text}' has no value to compare with")
        return partial(_write_comparison, left, "", LiteralOperand(""))

    def _operand(self) -> Operand:
        if self.tokens and (operand := self.tokens[-1].operand) is not None:
            self.tokens.pop()
            return operand
        raise ConversionError(f"a variable, a text or a number is missing before {self.shown()}")


def _negate(condition: OldCondition) -> OldCondition:
    return lambda find: ("", f"not ({condition(find)[1]})")


def _write_group(word: str, conditions: Sequence[OldCondition], find: FieldLookup) -> tuple[str, str]:
    parts = [condition(find) for condition in conditions]
    return word, f" {word} ".join(text if inner in ("", word) else f"({text})" for inner, text in parts)


_NUMBER: Final = re.compile(r"-?\d{1,15}(?:[.,]\d{1,9})?", re.ASCII)
_UNQUOTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]|\{\{|\{%|\}\}|%\}")
_FLAGS: Final = {"1": "true", "true": "true", "yes": "true", "0": "false", "false": "false", "no": "false"}
_FLIPPED: Final = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}


def quote(text: str) -> str:
    if _UNQUOTABLE.search(text) or ("'" in text and '"' in text):
        why = "it has both kinds of quotes, braces or a line break in it"
        raise ConversionError(f"Liquid cannot write this text: {why}")
    return f'"{text}"' if "'" in text else f"'{text}'"


def _write_comparison(left: Operand, operator: str, right: Operand, find: FieldLookup) -> tuple[str, str]:
    """Write a comparison by ``= != < <= > >= LIKE``, or a single operand."""
    if isinstance(left, LiteralOperand):
        if isinstance(right, LiteralOperand):
            raise ConversionError("a condition compares a variable with a value")
        if operator == "LIKE":
            raise ConversionError("a variable stands before LIKE, and a text after it")
        left, right, operator = right, left, _FLIPPED.get(operator, operator)
    known = find(left)
    if not operator:
        return "", f"{known.path} != blank"
    if operator == "LIKE":
        return "", _write_like(known, right)
    if isinstance(right, VariableReference):
        return "", _write_field_comparison(known, operator, find(right))
    if operator in ("=", "!="):
        return _write_equality(known, operator, right.text)
    return "", _write_order(known, operator, right.text)


def _write_equality(known: MappedField, operator: str, text: str) -> tuple[str, str]:
    sign, word = ("==", "or") if operator == "=" else ("!=", "and")
    if not text.strip():
        return "", f"{known.path} {sign} blank"
    number, flag = _to_number_literal(text), _FLAGS.get(text.lower())
    match known.kind:
        case "number":
            values = [_require_literal(number, known, text)]
        case "flag":
            values = [_require_literal(flag, known, text)]
        case None:
            # A custom field may hold text, a number or a boolean, whatever its data type.
            values = [quote(text), *filter(None, (number, flag))]
        case _:
            values = [quote(text)]
    return word if len(values) > 1 else "", f" {word} ".join(f"{known.path} {sign} {value}" for value in values)


def _write_order(known: MappedField, operator: str, text: str) -> str:
    number = _to_number_literal(text)
    match known.kind:
        case "number":
            return f"{known.path} {operator} {_require_literal(number, known, text)}"
        case "flag":
            raise ConversionError(f"'{known.path}' is true or false, and these have no order")
        case "date":
            return f"{known.path} {operator} {quote(text)}"
        case _ if number is not None:
            return f"{known.path} | plus: 0 {operator} {number}"
        case None:
            return f"{known.path} | string {operator} {quote(text)}"
        case _:
            return f"{known.path} {operator} {quote(text)}"


def _write_field_comparison(known: MappedField, operator: str, other: MappedField) -> str:
    if operator in ("=", "!="):
        return f"{known.path} {'==' if operator == '=' else '!='} {other.path}"
    if known.kind == other.kind and known.kind in ("number", "date", "text"):
        return f"{known.path} {operator} {other.path}"
    return f"{known.path} | plus: 0 {operator} {other.path} | plus: 0"


def _write_like(known: MappedField, pattern: Operand) -> str:
    if isinstance(pattern, VariableReference):
        raise ConversionError("LIKE is followed by a text")
    text = pattern.text
    core = text.removeprefix("%").removesuffix("%")
    if not core or "%" in core or "_" in core:
        raise ConversionError("LIKE supports '%' only at the start and the end, and no '_'")
    path = known.path if known.kind in ("text", "date") else f"{known.path} | string"
    length = len(core)
    match text.startswith("%"), text.endswith("%"):
        case True, True:
            return f"{path} contains {quote(core)}"
        case False, True:
            return f"{path} | slice: 0, {length} == {quote(core)}"
        case True, False:
            return f"{path} | slice: -{length}, {length} == {quote(core)}"
        case _:
            return f"{path} == {quote(core)}"


def _to_number_literal(text: str) -> str | None:
    """Return a number as a Liquid literal, or None. A text with leading zeros is a code, not a number."""
    text = text.strip()
    if not _NUMBER.fullmatch(text) or re.match(r"-?0\d", text):
        return None
    return text.replace(",", ".")


def _require_literal(value: str | None, known: MappedField, text: str) -> str:
    if value is None:
        kind = "a number" if known.kind == "number" else "true or false"
        raise ConversionError(f"'{known.path}' is {kind}, which '{text[:40]}' is not")
    return value
