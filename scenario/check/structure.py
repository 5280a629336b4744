"""Checks of a scenario's keys and values: pydantic's errors about `scenario.model`, with places in the file.

A misspelt key with an obvious meaning is reported once and then corrected, so that its value is checked, too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel

from scenario.check.suggestions import FORMS, Fault, explained, faults_of, guesses_at, is_about_key, keys_of, leading
from scenario.model import scenario
from scenario.model.mistakes import empty, worded
from scenario.model.outline import outline
from scenario.model.parts import File
from scenario.policies.caps import CappedWait
from scenario.policies.consent import Agreement
from scenario.source.findings import clip, listed
from scenario.source.report import Report
from scenario.source.source import Source
from scenario.steps.base import is_given
from scenario.steps.registry import KINDS
from scenario.type_guards import Path, is_list, is_mapping, members

KINDS_NOT_YET: Final = frozenset(("update",))
"""Step kinds that are reserved for later versions."""

_NAMES: Final[Mapping[type[BaseModel], str]] = {
    **{form: f"'{key}'" for key, form in FORMS.items()},
    scenario.Scenario: "a scenario",
    scenario.ExitRule: "an exit rule",
    Agreement: "an entry of 'subscription'",
    CappedWait: "'capped'",
    File: "a reference to a file",
}


def _named(form: type[BaseModel]) -> str:
    for kind, step in KINDS.items():
        if form is step:
            return f"{'an' if kind[0] in 'aeiou' else 'a'} '{kind}' step"
        if form in step.forms.values():
            return f"a '{kind}' with keys"
    return _NAMES[form]


def check_structure(source: Source, report: Report) -> Any:
    """Report mistakes in a scenario's keys and values. Return the scenario's data with misspelt keys corrected."""
    data = source.data
    faults = faults_of(data)
    # Each round takes at least one unknown key away, so the rounds come to an end.
    while guesses := guesses_at(faults, data):
        for path, guess in guesses.items():
            report.add(path, guess.code, guess.message, key=True, meant=guess.word)
        words = {path: guess.word for path, guess in guesses.items()}
        source.rename(words)
        data = _renamed(data, (), words)
        faults = faults_of(data)
    silent = explained(faults)
    for fault in faults:
        if fault.path not in silent:
            _tell(fault, report)
    for step in outline(data):
        given = {key for key, value in step.keys.items() if is_given(value)}
        if step.kind is None or any((*step.path, key) in silent for key in step.keys):
            continue  # its own keys may come after those of the step that lacks its '-'
        # An empty key was probably forgotten, and is reported as such.
        if step.model.complaint(step.keys.keys()) and (found := step.model.complaint(given | {step.kind})):
            report.add((*step.path, found[0]), "incomplete", found[1], key=True)
    _empty(data, (), report)
    return data


def _renamed(data: Any, path: Path, words: Mapping[Path, str]) -> Any:
    if is_mapping(data):
        return {words.get((*path, key), key): _renamed(value, (*path, key), words) for key, value in data.items()}
    if is_list(data):
        return [_renamed(item, (*path, index), words) for index, item in enumerate(data)]
    return data


def _tell(fault: Fault, report: Report) -> None:
    what = _named(fault.form)
    match fault.detail["type"]:
        case "complaint":
            return  # found again without pydantic, which keeps quiet about it while any value is wrong
        case "extra_forbidden" if fault.key in KINDS and fault.form in KINDS.values():
            message = f"{what} cannot have '{fault.key}': start a separate step, '- {fault.key}: …'"
            report.add(fault.path, "unknown-key", message, key=True)
        case "extra_forbidden" if fault.instead:
            report.add(fault.path, "unknown-key", f"unknown key '{clip(fault.key)}': {fault.instead}", key=True)
        case "extra_forbidden" if (first := _first(fault.key)) != fault.key and first in keys_of(fault.form):
            report.add(fault.path, "unknown-key", f"a key is followed by ': ': write '{first}:' and a space", key=True)
        case "extra_forbidden":
            message = f"unknown key '{clip(fault.key)}': {what} has {listed(keys_of(fault.form), 'and')}"
            report.add(fault.path, "unknown-key", message, key=True)
        case "missing":
            report.add(fault.path[:-1], "missing", f"{what} needs '{fault.key}'", key=True)
        case "union_tag_not_found" if fault.is_kindless:
            _tell_step(fault, report)
        case _:
            value = fault.detail["input"]
            is_key = value is None or is_about_key(fault.detail)
            code, message = worded(fault.detail, _subject(fault.path))
            if (form := fault.instead_of) is not None:
                message = f"{message}: it has {listed(keys_of(form), 'and')}"
            report.add(fault.path, code, message, key=is_key)


def _tell_step(fault: Fault, report: Report) -> None:
    kinds = listed(KINDS)
    step = fault.detail["input"]
    word = leading(step)
    if word is None:
        first = _first(step) if isinstance(step, str) else ""
        hint = f": write '{first}:' and a space" if first in KINDS else f": begin it with its kind, {kinds}"
        report.add(fault.path, "unknown-step", f"this is not a step{hint}")
    elif word in KINDS_NOT_YET:
        report.add((*fault.path, word), "not-yet", f"this version does not have '{word}' yet", key=True)
    else:
        guess = next((kind for kind, step in KINDS.items() if word.lower() in step.synonyms), None)
        hint = f"did you mean '{guess}'?" if guess else f"a step begins with its kind, {kinds}"
        if any(word in kind.branches for kind in KINDS.values()):
            guess, hint = None, f"'{word}' is a key of the step above: write it without '-'"
        report.add((*fault.path, word), "unknown-step", f"unknown step '{clip(word)}': {hint}", key=True, meant=guess)


def _first(text: str) -> str:
    """Return the text before the first blank or colon: the key, if the one after it is missing."""
    return re.split(r"[:\s]", text.strip(), maxsplit=1)[0]


def _subject(path: Path) -> str:
    if not path:
        return "a scenario file"
    names = [part for part in path if isinstance(part, str)]
    return f"'{clip(names[-1])}'" if isinstance(path[-1], str) else f"an entry of '{names[-1]}'"


def _empty(data: Any, path: Path, report: Report) -> None:
    if path[-1:] == ("body",) or path[-2:] == ("save", "schema"):
        return  # a body may hold null, and a schema speak of it
    for key, value in members(data):
        if value is not None or is_list(data):
            _empty(value, (*path, key), report)
        elif not report.knows((*path, key)):
            report.add((*path, key), *empty(f"'{clip(str(key))}'"), key=True)
