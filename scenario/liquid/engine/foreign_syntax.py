"""Syntax of other languages in conditions, and its Liquid equivalents.

It is only searched for to explain why a condition cannot be parsed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from operator import itemgetter
from typing import Final, NamedTuple

from liquid.exceptions import LiquidSyntaxError
from liquid.token import Token

_QUOTED: Final = re.compile(r"'[^']*'|\"[^\"]*\"")
_VALUE: Final = re.compile(r"'[^']*'|\"[^\"]*\"|[\w.-]+")
_SHOWN: Final = 3
_MOST: Final = 20
_QUOTES: Final = "“”„‟«»‘’‚‛‹›`´"
_NAME: Final = r"(?<![\w.-])[A-Za-z_][\w-]*(?:\.[\w-]+|\[[^\]]*\])*"

_SIGNS: Final = {
    "&&": "and",
    "||": "or",
    **dict.fromkeys(("!", "unless"), "not"),
    **dict.fromkeys(("=", "===", "eq", "equal", "equals"), "=="),
    **dict.fromkeys(("!==", "=!", "≠", "ne"), "!="),
    **dict.fromkeys(("=>", "≥", "ge", "gte"), ">="),
    **dict.fromkeys(("=<", "≤", "le", "lte"), "<="),
    **dict.fromkeys(("=~", "like", "matches", "includes"), "contains"),
    "gt": ">",
    "lt": "<",
}
_ARITHMETIC: Final = {"+": "plus", "-": "minus", "*": "times", "/": "divided_by", "%": "modulo"}
_METHODS: Final = {
    **dict.fromkeys(("len", "length", "count", "size"), "order.products.size"),
    **dict.fromkeys(("lower", "lowercase", "tolowercase", "lcase"), "contact.city | downcase"),
    **dict.fromkeys(("upper", "uppercase", "touppercase", "ucase"), "contact.city | upcase"),
    **dict.fromkeys(("contains", "includes", "has", "in_array", "indexof"), "contact.city contains 'x'"),
    **dict.fromkeys(("number", "int", "float", "parseint", "parsefloat"), "event.score | number"),
    **dict.fromkeys(("startswith", "starts_with"), "contact.city | slice: 0, 3 == 'Lon'"),
    **dict.fromkeys(("endswith", "ends_with"), "contact.city | slice: -3, 3 == 'don'"),
    **dict.fromkeys(("isset", "empty", "exists", "defined", "isnull", "isempty", "is_null"), "contact.city == blank"),
}


class ForeignWord(NamedTuple):
    """One word or sign."""

    offset: int
    """Index into the source that contains the condition."""
    message: str
    """One sentence with the Liquid equivalent."""


class ForeignSyntaxError(LiquidSyntaxError):
    """A condition in the syntax of another language."""

    def __init__(self, found: list[ForeignWord], token: Token) -> None:
        super().__init__(found[0].message, token=token._replace(start_index=found[0].offset, value=""))
        self.found = found


def _explain_sign(found: re.Match[str]) -> str:
    return f"'{found[0]}' is written '{_SIGNS[found[0].lower()]}' here"


def _explain_blank(found: re.Match[str]) -> str:
    is_there = bool(found["not"]) is not (found["there"] is not None)
    return f"'{_join_spaces(found[0])}' is written '{'!=' if is_there else '=='} blank'"


def _explain_in(found: re.Match[str]) -> str:
    name, sign, word = found["name"] or "event.sku", *(("!=", "and") if found["not"] else ("==", "or"))
    if re.match(_NAME, found["what"] or ""):
        asked = f"{found['what']} contains {name}"
        return f"'in' is written the other way round: {f'not ({asked})' if found['not'] else asked}"
    listed = _VALUE.findall(found["list"] or "") or ["'a'", "'b'"]
    each = f" {word} ".join(f"{name} {sign} {value}" for value in listed[:_SHOWN])
    more = " …" if len(listed) > _SHOWN else ""
    return f"there is no '{_join_spaces(found['word'])}': compare with each, {each}{more}"


def _explain_part(found: re.Match[str]) -> str:
    place = "0, 3" if found[0][0] in "sSbB" else "-3, 3"
    example = f"contact.city | slice: {place} == 'abc'"
    return f"there is no '{_join_spaces(found[0])}': compare a part of the text, such as {example}"


def _explain_call(found: re.Match[str]) -> str:
    instead = _METHODS.get(found["called"].lower(), "order.total_price | round: 2 > 20")
    return f"there are no functions such as '{found['called']}()': write {instead}"


def _explain_date_arithmetic(found: re.Match[str]) -> str:
    name = "add" if found["sign"] == "+" else "subtract"
    length = f"{found['count']}{found['unit'][0].lower()}"
    return f"'{_join_spaces(found[0])}' is written with a filter: {found['date']} | {name}: '{length}'"


def _explain_arithmetic(found: re.Match[str]) -> str:
    name = _ARITHMETIC[found["sign"]]
    return f"'{found['sign']}' is not an operator here: calculate with the filter '{name}', such as a | {name}: 2 > b"


def _join_spaces(text: str) -> str:
    return " ".join(text.split())


_WRITTEN: Final[tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...]] = (
    (r"\{\{|\}\}|\{%|%\}", "'…' is not allowed in a condition: write the name alone"),
    (
        rf"[{_QUOTES}][^{_QUOTES}'\"]*[{_QUOTES}]?",
        lambda found: f"'{found[0][0]}' is not a quote here: write '{found[0].strip(_QUOTES).strip()}'",
    ),
    (r"&&|\|\||!==|===|=>|=<|=!|=~|[≠≥≤]|(?<![=!<>])=(?![=])|!(?!=)", _explain_sign),
    (r"&", "'&' is written 'and' here"),
    (
        r"(?<![\w.])(?:AND|OR|NOT|And|Or|Not|CONTAINS|Contains)\b(?!\.)",
        lambda found: f"'{found[0]}' is written in lower case: '{found[0].lower()}'",
    ),
    (
        r"^\s*(?i:(if|when|where|only if))(?=\s+[\w(!'\"])",
        lambda found: f"leave '{found[1]}' out: a condition is only the expression",
    ),
    (
        r"(?<![\w.])(?i:is)\s+(?P<not>(?i:not)\s+)?(?i:(?P<there>set|defined|present)|empty|blank|null|nil|none|undefined|missing)\b",
        _explain_blank,
    ),
    (
        r"(?<![\w.])(?i:is)(?P<not>\s+(?i:not))?(?=\s)",
        lambda found: f"'{_join_spaces(found[0])}' is written '{'!=' if found['not'] else '=='}'",
    ),
    (
        rf"(?:(?P<name>{_NAME}|'[^']*'|\"[^\"]*\")\s+)?(?<![\w.])(?P<word>(?P<not>(?i:not)\s+)?(?i:in))(?=\s|\()\s*(?:(?P<what>{_NAME})|(?P<list>[\[(][^\])]*)[\])]?)?",
        _explain_in,
    ),
    (
        r"(?i:(?<![\w.])(?:not|does\s+not)\s+(?:contains?|like|match(?:es)?|includes?)\b)",
        lambda found: f"'{_join_spaces(found[0])}' is written with 'not' in front: not (a contains b)",
    ),
    (r"(?i:(?<![\w.])(?:starts?|begins?|ends?)[ _]?with\b)(?!\()", _explain_part),
    (r"(?<![\w.])(?:equals?|eq|ne|gte?|lte?|ge|le|(?i:like|matches|includes|unless))\b(?![.:(])", _explain_sign),
    (r"(?<![\w.])(?i:between)\b", "there is no '…': write a >= 1 and a <= 5"),
    (r"(?<![\w.])(?i:exists|isset|is_set|defined)\b(?!\()", "'…' is written '!= blank'"),
    (r"(?<![\w.])(?i:then|else|end|endif)\b", "'…' is not allowed in a condition: it only tests values"),
    (
        r"(?<![\w.])(?i:contains\s+(?:any|all|one)(?:\s+of)?)(?=[\s(\[])",
        "there is no '…': compare with each, a contains 'x' or a contains 'y'",
    ),
    (r"\?", "there is no '… :': a condition is only true or false, and 'then' and 'else' belong to a step"),
    (r"(?<![\w.])(?!(?:and|or|not|contains|in)\()(?P<called>[A-Za-z_]\w*)\(", _explain_call),
    (r"\.(?P<called>[A-Za-z_]\w*)\(", _explain_call),
    (
        rf"(?P<date>{_NAME})\s*(?P<sign>[+-])\s*(?P<count>\d+)\s*(?P<unit>(?i:seconds?|minutes?|hours?|days?|weeks?|[smhdw]))\b",
        _explain_date_arithmetic,
    ),
    (r"(?<=[=<>]\d),(?=\d)|(?<=[=<>] \d),(?=\d)|(?<=\d\d),(?=\d)", "a number is written with a point: 20.5"),
    (r"\b\d{4}-\d\d-\d\d(?!\d)(?:[T ]\d\d:\d\d\S*)?", "a date is written in quotes: '…'"),
    (r"(?<=\d)\s?(?:[€$£]|%(?!\s*\d)|(?:EUR|USD|GBP|euros?|days?)\b)", "a number is written without a unit: 20"),
    (r"(?<![\w\].)])\[", "there are no lists in a condition: compare with each value, joined by 'or'"),
    (r"(?P<sign>[+*/%]|(?<=\s)-(?=\s))", _explain_arithmetic),
)


def explain_foreign_syntax(token: Token) -> ForeignSyntaxError | None:
    """Return an error that lists the foreign words of an unreadable condition, or None if it has none."""
    # Words between quotes do not count. An unclosed quote has no effect.
    outside = _QUOTED.sub(lambda quoted: "\0" * len(quoted[0]), token.value)
    matches = [
        (_find_word_start(match), match, say)
        for pattern, say in _WRITTEN
        for match in re.finditer(pattern, token.value)
    ]
    found: list[ForeignWord] = []
    taken = 0
    for start, match, say in sorted(matches, key=itemgetter(0)):
        if len(found) < _MOST and start >= taken and outside[start] != "\0":
            taken = match.end()
            message = say.replace("…", match[0]) if isinstance(say, str) else say(match)
            found.append(ForeignWord(token.start_index + start, message))
    return ForeignSyntaxError(found, token) if found else None


def _find_word_start(match: re.Match[str]) -> int:
    """Return the start of the word itself, without the context matched before it."""
    groups = match.groupdict()
    return match.start("word") if "word" in groups else match.start("called") if "called" in groups else match.start()
