# ruff: noqa: E501 - a case is a line
"""Templates with typing mistakes: pages, mutated at random but the same for the same seed."""

import random
import re
from collections.abc import Callable, Iterator
from typing import Any, cast

from scenario import liquid
from scenario.errors import Aborted, TemplateError
from scenario.plan.compile import handed, pick
from tests.scenario.liquid.samples import Page, pages, variables

_WORDS = re.compile(r"\{\{|\}\}|\{%-?|-?%\}|\w+|\s+|.", re.DOTALL)
_TYPED = [
    *"{}%|:.,'\"[]()=<>!-? \n\\\0é\ud83d",
    *("{{", "}}", "{%", "%}", "{%-", "-%}", "end", "else", "elsif", "endif", "endfor", "for", "if", "in", "and", "or"),
    *("contact", "order", "forloop", "limit:", "..", "(1..3)", "nil", "blank", "contains", "| upcase", "| date: '%Y'"),
    *("{% if x %}", "{% endif %}", "{% raw %}", "{% comment %}", "{% case x %}", "{% when 1 %}", "{% break %}", "{{ x", "9" * 30),
]  # fmt: skip


def mutated(text: str, dice: random.Random) -> str:
    """The text with one to three mistakes in it."""
    words = _WORDS.findall(text) or [""]
    for _ in range(dice.randint(1, 3)):
        at = dice.randrange(len(words))
        match dice.randrange(5):
            case 0:
                words[at] = ""
            case 1:
                words.insert(at, dice.choice(_TYPED))
            case 2:
                words[at] = dice.choice(_TYPED)
            case 3:
                other = dice.randrange(len(words))
                words[at], words[other] = words[other], words[at]
            case _:
                words[at : at + dice.randint(1, 12)] = []
        words = words or [""]
    return "".join(words)


def mutated_body(body: Any, dice: random.Random) -> Any:
    """The structure with a mistake in about one of its texts and keys in six."""
    if isinstance(body, str):
        return mutated(body, dice) if dice.random() < 1 / 6 else body
    if isinstance(body, list):
        return [mutated_body(item, dice) for item in cast("list[Any]", body)]
    if isinstance(body, dict):
        pairs = cast("dict[str, Any]", body).items()
        return {mutated_body(key, dice): mutated_body(value, dice) for key, value in pairs}
    return body


RENDERERS: dict[str, Callable[[Any, dict[str, Any]], Any]] = {
    "text": liquid.render_text,
    "html": liquid.render_html,
    "line": liquid.render_line,
    "mailbox": liquid.render_mailbox,
    "json": liquid.render_json,
    "form": liquid.render_form,
    "url": liquid.render_url,
    "path": liquid.render_path,
    "header": liquid.render_header,
    "condition": liquid.evaluate_condition,
    "value": liquid.evaluate_value,
}


def outcome(kind: str, source: Any, data: dict[str, Any]) -> tuple[str, Any]:
    """What rendering ends in: a result or an error of ours. Any other error is passed on."""
    try:
        return "result", RENDERERS[kind](source, data)
    except Aborted as aborted:
        return "aborted", aborted.reason
    except TemplateError as error:
        return "error", error


def mutants(number: int, seed: int = 0) -> Iterator[Page]:
    dice = random.Random(seed)
    originals = list(pages())
    for _ in range(number):
        page = dice.choice(originals)
        change = mutated if isinstance(page.source, str) else mutated_body
        yield page._replace(source=change(page.source, dice))


def problem(mutant: Page) -> str | None:
    """What is wrong with what becomes of a mutant, or None."""
    data = variables()
    try:
        ended, what = outcome(mutant.kind, mutant.source, data)
    except Exception as error:
        return f"not an error of ours: {type(error).__name__}: {error}"
    if ended == "error" and what.line is None and isinstance(mutant.source, str):
        return f"no position: {what}"
    try:
        chosen = pick(data, *handed([(mutant.source, mutant.kind)]))
    except TemplateError:
        return None if ended == "error" else "renders, but its fields cannot be found"
    given = {name: data[name] for name in ("now", "today", "secrets") if name in data}
    narrow = outcome(mutant.kind, mutant.source, {**chosen, **given})
    if (narrow[0], str(narrow[1])) != (ended, str(what)):
        return f"with what a step is handed it ends otherwise: {what} / {narrow[1]}"
    return None
