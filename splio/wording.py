"""Conditions as they are written here."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from splio.condition import Comparison, Condition, Literal, Named, Not, Operand, Unreadable
from splio.fields import Field

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
