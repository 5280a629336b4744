"""Which keys and values a scenario may have: pydantic's judgement on `scenario.model`, brought to places in the file.

A misspelt key that was plainly meant to be a known one is reported once and then taken for it, so that its value is
checked too and nothing is called missing that is only misspelt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, cast

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from scenario import model
from scenario.findings import listed, near
from scenario.outline import outline
from scenario.report import Report
from scenario.source import Path, Source
from scenario.wording import empty, worded

NOT_YET: Final[Mapping[str, type[BaseModel]]] = {
    "quiet_hours": model.Scenario,
    **dict.fromkeys(("to", "path", "save"), model.Webhook),
}
"""Keys of the language that this version does not have, by what will have them."""
KINDS_NOT_YET: Final = frozenset(("split", "update"))
"""Step kinds that this version does not have."""

_FORMS: Final[Mapping[str, type[BaseModel]]] = {
    **{f"<{kind}>": form for kind, form in model.KINDS.items()},
    "<until>": model.Until,
    "<file>": model.File,
    "entry": model.EntryRules,
    "retry": model.Retry,
}
_STEPS: Final = frozenset(model.KINDS.values())
_TAGS: Final = frozenset((*_FORMS, "<text>", "<mapping>", "<list>", "<duration>")) - {"entry", "retry"}
_SINGLE: Final = (model.File, model.ExitRule)
"""Forms in which a wrong key must have been meant as the one that is missing."""
_SYNONYMS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("mail", "newsletter"), "email"),
    **dict.fromkeys(("message", "text_message"), "sms"),
    **dict.fromkeys(("http", "call", "request", "post", "whatsapp", "push"), "webhook"),
    **dict.fromkeys(("delay", "sleep", "pause"), "wait"),
    **dict.fromkeys(("on", "event", "wait_until"), "wait_for"),
    **dict.fromkeys(("when", "condition", "switch"), "if"),
    **dict.fromkeys(("end", "stop", "leave", "goal"), "exit"),
}


_NAMES: Final[Mapping[type[BaseModel], str]] = {
    **{form: f"{'an' if kind[0] in 'aeiou' else 'a'} '{kind}' step" for kind, form in model.KINDS.items()},
    model.Scenario: "a scenario",
    model.EntryRules: "'entry'",
    model.ExitRule: "an exit rule",
    model.Retry: "'retry'",
    model.Until: "a 'wait' with keys",
    model.File: "a reference to a file",
}
_WORDS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("condition", "when"), "if"),
    **dict.fromkeys(("timeout", "within", "at_most"), "for"),
    **dict.fromkeys(("otherwise", "on_timeout"), "else"),
    **dict.fromkeys(("do", "on_event"), "then"),
    **dict.fromkeys(("payload", "data", "json"), "body"),
    **dict.fromkeys(("content", "message", "template", "body"), "text"),
    "title": "subject",
    "repeat": "again",
}
"""What people write for keys, beside what `difflib` finds alike."""


class _Fault(NamedTuple):
    """One of pydantic's errors.

    Attributes:
        path: Of the value; or of the key that is missing or unknown.
        form: The model that has, lacks or does not know the key.
        detail: The error.
    """

    path: Path
    form: type[BaseModel]
    detail: ErrorDetails


class _Guess(NamedTuple):
    """What an unknown key was meant to be, and how to say so."""

    word: str
    code: str
    message: str


def check_structure(source: Source, report: Report) -> Any:
    """Reports what is wrong with a scenario's keys and values.

    Args:
        source: The scenario.
        report: Takes the findings.

    Returns:
        The scenario's data with misspelt keys put right.
    """
    data = source.data
    while True:
        faults = _faults(data)
        # Each round takes at least one unknown key away, so the rounds come to an end.
        guesses = _guesses(faults, data)
        if not guesses:
            break
        for path, guess in guesses.items():
            report.add(path, guess.code, guess.message, key=True)
            source.moved(path, (*path[:-1], guess.word))
        data = _renamed(data, (), {path: guess.word for path, guess in guesses.items()})
    swallowed = _swallowed(faults)
    for fault in faults:
        if fault.path not in swallowed:
            _tell(fault, data, report)
    for step in outline(data):
        if any(path[:-1] == step.path for path in swallowed):
            continue  # its own keys may stand behind the other step's
        given = {key for key, value in step.keys.items() if model.is_given(value)}
        if step.kind and (found := model.KINDS[step.kind].complaint(given | {step.kind})):
            report.add((*step.path, found[0]), "incomplete", found[1], key=True)
    _empty(data, (), report)
    return data


def _faults(data: Any) -> list[_Fault]:
    try:
        model.Scenario.model_validate(data, by_alias=True, by_name=False)
    except ValidationError as error:
        return [_fault(detail) for detail in error.errors(include_url=False)]
    return []


def _fault(detail: ErrorDetails) -> _Fault:
    place = detail["loc"][:-1]
    if not place:
        form = model.Scenario
    elif isinstance(place[-1], int):
        form = model.ExitRule
    else:
        form = _FORMS.get(place[-1], model.Scenario)
    return _Fault(tuple(part for part in detail["loc"] if part not in _TAGS), form, detail)


def _keys(form: type[BaseModel]) -> tuple[str, ...]:
    return tuple(field.alias or name for name, field in form.model_fields.items())


def _guesses(faults: Sequence[_Fault], data: Any) -> dict[Path, _Guess]:
    """What unknown keys were meant to be, by their paths; no two of one place the same."""
    guesses: dict[Path, _Guess] = {}
    taken: set[Path] = set()
    for fault in faults:
        path, guess = fault.path, None
        if fault.detail["type"] == "extra_forbidden":
            guess = _guess_key(fault, faults, data)
        elif _is_step(fault) and (word := _leading(fault.detail["input"])):
            path = (*path, word)
            if meant := near(word, model.KINDS):
                guess = _misspelt_kind(word, meant)
        if guess and (target := (*path[:-1], guess.word)) not in taken:
            taken.add(target)
            guesses[path] = guess
    return guesses


def _misspelt_kind(word: str, kind: str) -> _Guess:
    return _Guess(kind, "unknown-step", f"unknown step '{word}': did you mean '{kind}'?")


def _swallowed(faults: Sequence[_Fault]) -> set[Path]:
    """Faults that another one explains, by their paths.

    The keys of a step whose own '-' is missing seem to be keys of the step above; its kind is the one to point at. And
    where a 'wait' has some unknown key, it is that which ought to be 'until'.
    """
    unknown = [fault for fault in faults if fault.detail["type"] == "extra_forbidden"]
    kinds = {
        fault.path[:-1]: str(fault.path[-1])
        for fault in unknown
        if fault.form in _STEPS and fault.path[-1] in model.KINDS
    }
    waits = {(*fault.path[:-1], "until") for fault in unknown if fault.form is model.Until}
    return waits | {
        fault.path
        for fault in unknown
        if (kind := kinds.get(fault.path[:-1]))
        and kind != fault.path[-1]
        and fault.path[-1] in _keys(model.KINDS[kind])
    }


def _guess_key(fault: _Fault, faults: Sequence[_Fault], data: Any) -> _Guess | None:
    key, place = str(fault.path[-1]), fault.path[:-1]
    if NOT_YET.get(key) is fault.form or key in model.KINDS or fault.path in _swallowed(faults):
        return None
    present = _value(data, place)
    if key == _leading(present) and fault.form in _STEPS and (kind := near(key, model.KINDS)) and kind not in present:
        return _misspelt_kind(key, kind)
    known = [name for name in _keys(fault.form) if name not in present]
    word = near(key, known) or (_WORDS[key] if _WORDS.get(key) in known else None)
    if word is None and fault.form in _SINGLE:
        siblings = [other for other in faults if other.path[:-1] == place]
        unknown = [other for other in siblings if other.detail["type"] == "extra_forbidden"]
        missing = [str(other.path[-1]) for other in siblings if other.detail["type"] == "missing"]
        word = missing[0] if len(unknown) == len(missing) == 1 else None
    return _Guess(word, "unknown-key", f"unknown key '{key}': did you mean '{word}'?") if word else None


def _empty(data: Any, path: Path, report: Report) -> None:
    """A key without a value is a value that was forgotten, also where the model would do without."""
    if path and path[-1] == "body":
        return  # a body may hold null
    if isinstance(data, Mapping):
        for key, value in cast("Mapping[str, Any]", data).items():
            if value is not None:
                _empty(value, (*path, key), report)
            elif not report.knows((*path, key)):
                report.add((*path, key), *empty(f"'{key}'"), key=True)
    elif isinstance(data, list):
        for index, item in enumerate(cast("list[Any]", data)):
            _empty(item, (*path, index), report)


def _is_step(fault: _Fault) -> bool:
    return fault.detail["type"] == "union_tag_not_found" and isinstance(fault.path[-1], int)


def _leading(step: Any) -> str | None:
    """The key that ought to name a step's kind: its first one."""
    if not isinstance(step, Mapping):
        return None
    return next((key for key in cast("Mapping[str, Any]", step) if key != "id"), None)


def _value(data: Any, path: Path) -> Any:
    for part in path:
        data = data[part]
    return data


def _renamed(data: Any, path: Path, words: Mapping[Path, str]) -> Any:
    """The data with keys renamed, in the same order."""
    match data:
        case dict():
            members = cast("dict[str, Any]", data).items()
            return {words.get((*path, key), key): _renamed(value, (*path, key), words) for key, value in members}
        case list():
            items = cast("list[Any]", data)
            return [_renamed(item, (*path, index), words) for index, item in enumerate(items)]
        case _:
            return data


def _tell(fault: _Fault, data: Any, report: Report) -> None:
    """Reports what no guess put right."""
    key = str(fault.path[-1]) if fault.path else ""
    what = _NAMES[fault.form]
    match fault.detail["type"]:
        case "complaint":
            return  # found again without pydantic, which keeps quiet about it while any value is wrong
        case "extra_forbidden" if NOT_YET.get(key) is fault.form:
            report.add(fault.path, "not-yet", f"this version does not have '{key}' yet", key=True)
        case "extra_forbidden" if key in model.KINDS:
            message = f"{what} cannot have '{key}': begin a step of its own, '- {key}: …'"
            report.add(fault.path, "unknown-key", message, key=True)
        case "extra_forbidden":
            message = f"unknown key '{key}': {what} has {listed(_keys(fault.form), 'and')}"
            report.add(fault.path, "unknown-key", message, key=True)
        case "missing":
            if key == "url" and "to" in _value(data, fault.path[:-1]):
                return  # it stands in the place of a URL
            report.add(fault.path[:-1], "missing", f"{what} needs '{key}'", key=True)
        case "union_tag_not_found" if _is_step(fault):
            _tell_step(fault, report)
        case _:
            value = fault.detail["input"]
            report.add(fault.path, *worded(fault.detail, _subject(fault.path)), key=value is None)


def _tell_step(fault: _Fault, report: Report) -> None:
    kinds = listed(model.KINDS)
    step = fault.detail["input"]
    word = _leading(step)
    if word is None:
        first = step.split()[0].rstrip(":") if isinstance(step, str) and step.split() else ""
        hint = f": write '{first}:' and a blank" if first in model.KINDS else f": begin it with its kind, {kinds}"
        report.add(fault.path, "unknown-step", f"this is no step{hint}")
    elif word in KINDS_NOT_YET:
        report.add((*fault.path, word), "not-yet", f"this version does not have '{word}' yet", key=True)
    else:
        guess = _SYNONYMS.get(word.lower())
        hint = f"did you mean '{guess}'?" if guess else f"a step begins with its kind, {kinds}"
        report.add((*fault.path, word), "unknown-step", f"unknown step '{word}': {hint}", key=True)


def _subject(path: Path) -> str:
    if not path:
        return "a scenario file"
    names = [part for part in path if isinstance(part, str)]
    return f"'{names[-1]}'" if isinstance(path[-1], str) else f"an entry of '{names[-1]}'"
