"""Checks of a scenario's keys and values: pydantic's errors about `scenario.model`, with places in the file.

An unknown key is reported with a suggestion. A misspelt key with an obvious meaning is reported once and then
corrected, so that its value is checked, too.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from typing import Any, Final, NamedTuple

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from scenario.model import parts, scenario
from scenario.model.batch import BatchCall, ItemResults
from scenario.model.mistakes import empty, worded
from scenario.model.parts import File
from scenario.model.scenario import outline
from scenario.policies import hours
from scenario.policies.caps import WAITS, CappedWait
from scenario.policies.consent import Agreement
from scenario.source.findings import clip, listed, near
from scenario.source.report import Report
from scenario.source.source import Source
from scenario.steps.base import BaseStep, is_given
from scenario.steps.registry import KINDS
from scenario.type_guards import Path, is_list, is_mapping, mapping_or_empty, members, value_at

FORMS: Final[Mapping[str, type[BaseModel]]] = {
    "<file>": File,
    "batch": BatchCall,
    "results": ItemResults,
    "entry": scenario.EntryRules,
    "quiet_hours": hours.QuietHours,
    "goal": scenario.Goal,
    "retry": parts.Retry,
    "save": parts.Save,
    "window": hours.Window,
    WAITS: CappedWait,
}
"""Models of parts, by their keys or by their tags in pydantic's reports."""
_TAG: Final = re.compile(r"<\w+>")
_WORDS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("condition", "where"), "if"),
    **dict.fromkeys(("timeout", "within", "at_most"), "for"),
    **dict.fromkeys(("otherwise", "on_timeout", "default"), "else"),
    "on_event": "then",
    **dict.fromkeys(("salt", "namespace"), "seed"),
    **dict.fromkeys(("unit", "cohort_key", "hash_by", "per"), "by"),
    **dict.fromkeys(("payload", "data", "json"), "body"),
    **dict.fromkeys(("content", "message", "template", "body"), "text"),
    **dict.fromkeys(("content_type", "type", "format"), "content"),
    **dict.fromkeys(("response", "store", "keep"), "save"),
    **dict.fromkeys(("max", "count", "limit"), "times"),
    "interval": "every",
    "destination": "to",
    **dict.fromkeys(("sender", "start", "begin"), "from"),
    **dict.fromkeys(("end", "until"), "to"),
    **dict.fromkeys(("holidays", "closed"), "days_off"),
    "jitter": "spread",
    **dict.fromkeys(("retries", "retry_policy", "attempts"), "retry"),
    "name": "as",
    "title": "subject",
    "repeat": "again",
    **dict.fromkeys(("for", "window"), "within"),
    **dict.fromkeys(("amount", "revenue", "worth"), "value"),
    **dict.fromkeys(("conversion", "success"), "goal"),
}
_HOMONYMS: Final[Mapping[str, tuple[str, ...]]] = {
    "when": ("if", "cases"),
    "do": ("then", "steps"),
    "then": ("steps", "branches"),
    **dict.fromkeys(("case", "branches", "options"), ("cases", "branches")),
    **dict.fromkeys(("cases", "paths", "variants", "arms", "groups", "steps"), ("branches",)),
}
"""Words whose meaning depends on the place."""
_CREDENTIALS: Final = (
    'credentials are a header, such as headers: {Authorization: "Bearer {{ secrets.NAME }}"}, '
    "or in the destination's own entry"
)
_NO_KEYS: Final[Mapping[str, Mapping[str, str]]] = {
    "subject": dict.fromkeys(("to", "recipient", "cc", "bcc"), "an e-mail goes to the contact only"),
    "path": dict.fromkeys(("query", "params", "parameters"), "write a query behind 'url' or 'path', such as ?lang=fr"),
    "headers": dict.fromkeys(
        (
            *("auth", "authentication", "authorization", "basic_auth", "bearer"),
            *("credentials", "token", "username", "password"),
        ),
        _CREDENTIALS,
    ),
    "else": dict.fromkeys(
        ("elsif", "elseif", "else_if", "else if", "elif"), "begin another 'if' among the steps of 'else', or a 'switch'"
    ),
    "branches": {
        **dict.fromkeys(
            ("weight", "weights", "percent", "percentage", "percentages", "shares", "distribution"),
            "shares stand in 'split', in per cent: {a: 50, b: 50}",
        ),
        **dict.fromkeys(
            ("else", "otherwise", "default", "control"),
            "the remaining contacts need a branch with its share, such as none: 5",
        ),
    },
}
"""Keys that people expect in a step with this key, and what to write instead."""


class Fault(NamedTuple):
    """One of pydantic's errors about a scenario."""

    path: Path
    """Path of the value, or of the missing or unknown key."""
    form: type[BaseModel]
    detail: ErrorDetails

    @property
    def key(self) -> str:
        return str(self.path[-1]) if self.path else ""

    @property
    def is_unknown(self) -> bool:
        return self.detail["type"] == "extra_forbidden"

    @property
    def instead_of(self) -> type[BaseModel] | None:
        """The model in whose place a text or a number stands."""
        if self.detail["type"] != "model_type" or not isinstance(self.detail["input"], str | int | float):
            return None
        form = scenario.ExitRule if self.path and isinstance(self.path[-1], int) else _form(self.key)
        return None if form is scenario.Scenario else form

    @property
    def is_kindless(self) -> bool:
        return self.detail["type"] == "union_tag_not_found" and isinstance(self.path[-1], int)

    @property
    def instead(self) -> str | None:
        """What to write instead of an unknown key that is not a misspelling."""
        words = (words for key, words in _NO_KEYS.items() if key in keys_of(self.form))
        return next((words[self.key.lower()] for words in words if self.key.lower() in words), None)


class Guess(NamedTuple):
    """A suggestion for an unknown key, and the finding about it."""

    word: str
    code: str
    message: str


def faults_of(data: Any) -> list[Fault]:
    try:
        scenario.Scenario.model_validate(data, by_alias=True, by_name=False)
    except ValidationError as error:
        return [_fault(detail, data) for detail in error.errors(include_url=False)]
    return []


def _fault(detail: ErrorDetails, data: Any) -> Fault:
    loc = detail["loc"][:-1] if is_about_key(detail) else detail["loc"]
    place = loc[:-1]
    if not place:
        form = scenario.Scenario
    elif isinstance(place[-1], int):
        form = scenario.ExitRule
    elif place[:-1] and place[-2] == "subscription":  # below a key that the author chooses
        form = Agreement
    else:
        # Of a key that an author chooses, it is the tag before it that tells the form.
        before = str(place[-2:][0])
        form = next((step.forms[before] for step in KINDS.values() if before in step.forms), _form(str(place[-1])))
    return Fault(_path(loc, data), form, detail)


def is_about_key(detail: ErrorDetails) -> bool:
    """Return True if an error is about a key that the author chose, not about its value."""
    return detail["loc"][-1:] == ("[key]",)


def _path(place: Path, data: Any) -> Path:
    """Return the path of a place in pydantic's report, without its tags.

    A key may look like a tag. It is a key if the place ends there and the mapping has it. The same holds for a case.
    """
    path = tuple(
        part
        for before, part in zip((None, *place), place[:-1], strict=False)
        if not _TAG.fullmatch(str(part)) or before in ("cases", "branches")
    )
    if place and _TAG.fullmatch(str(place[-1])):
        beside = value_at(data, path)
        if not (is_mapping(beside) and place[-1] in beside):
            return path
    return (*path, *place[-1:])


def _form(part: str) -> type[BaseModel]:
    """Return the model for a tag or a part's key in pydantic's report."""
    for kind, step in KINDS.items():
        if part == f"<{kind}>":
            return step
        if part in step.forms:
            return step.forms[part]
    return FORMS.get(part, scenario.Scenario)


def keys_of(form: type[BaseModel]) -> tuple[str, ...]:
    return tuple(field.alias or name for name, field in form.model_fields.items())


def leading(step: Any) -> str | None:
    return next((key for key in mapping_or_empty(step) if key != "id"), None)


def explained(faults: Sequence[Fault]) -> set[Path]:
    """Return the paths of faults that another fault explains.

    If a step's '-' is missing, its keys seem to belong to the step above: only its kind is reported. If a 'wait' has an
    unknown key, only that is reported.
    """
    unknown = [fault for fault in faults if fault.is_unknown]
    parts_of_steps = [(form, word.strip("<>")) for step in KINDS.values() for word, form in step.forms.items()]
    waits: set[Path] = {(*one.path[:-1], word) for one in unknown for form, word in parts_of_steps if form is one.form}
    # Keys beside a part that should contain them, such as 'times' beside 'repeat: 7d'.
    around = {(fault.path[:-1], key) for fault in faults if (form := fault.instead_of) for key in keys_of(form)}
    kinds = {one.path[:-1]: one.key for one in unknown if issubclass(one.form, BaseStep) and one.key in KINDS}
    waits |= {fault.path for fault in unknown if (fault.path[:-1], fault.key) in around}
    return waits | {
        fault.path
        for fault in unknown
        if (kind := kinds.get(fault.path[:-1])) and kind != fault.key and fault.key in keys_of(KINDS[kind])
    }


def guesses_at(faults: Sequence[Fault], data: Any) -> dict[Path, Guess]:
    """Return suggestions for unknown keys, by path. No two suggestions of one place are equal."""
    guesses: dict[Path, Guess] = {}
    taken: set[Path] = set()
    silent = explained(faults)
    beside: dict[Path, list[Fault]] = defaultdict(list)
    for fault in faults:
        beside[fault.path[:-1]].append(fault)
    for fault in faults:
        path, guess = fault.path, None
        begins_step = fault.key in KINDS and issubclass(fault.form, BaseStep)  # a step of its own without its '-'
        if fault.is_kindless and (word := leading(fault.detail["input"])):
            path = (*path, word)
            guess = _misspelt_kind(word, {word})
        elif fault.is_unknown and not fault.instead and not begins_step and path not in silent:
            guess = _misspelt_key(fault, value_at(data, path[:-1]), beside[path[:-1]])
        if guess and (target := (*path[:-1], guess.word)) not in taken:
            taken.add(target)
            guesses[path] = guess
    return guesses


def _misspelt_kind(word: str, present: Set[str]) -> Guess | None:
    kind = near(word, KINDS)
    message = f"unknown step '{word}': did you mean '{kind}'?"
    return Guess(kind, "unknown-step", message) if kind and kind not in present else None


def _misspelt_key(fault: Fault, around: Any, beside: Sequence[Fault]) -> Guess | None:
    present = around.keys() if is_mapping(around) else frozenset[str]()
    is_kind = issubclass(fault.form, BaseStep) and fault.key == leading(around)
    if is_kind and (guess := _misspelt_kind(fault.key, present)):
        return guess
    known = [name for name in keys_of(fault.form) if name not in present]
    meant = _HOMONYMS.get(fault.key) or (_WORDS.get(fault.key),)
    word = near(fault.key, known) or next((key for key in meant if key in known), None)
    if word is None and fault.form in (File, scenario.ExitRule):  # a wrong key must be the missing one
        missing = [other.key for other in beside if other.detail["type"] == "missing"]
        word = missing[0] if missing and sum(other.is_unknown for other in beside) == 1 else None
    return Guess(word, "unknown-key", f"unknown key '{clip(fault.key)}': did you mean '{word}'?") if word else None


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
            names = [part for part in fault.path if isinstance(part, str)]
            subject = f"'{clip(names[-1])}'" if names else "a scenario file"
            if names and not isinstance(fault.path[-1], str):
                subject = f"an entry of '{names[-1]}'"
            code, message = worded(fault.detail, subject)
            if (form := fault.instead_of) is not None:
                message = f"{message}: it has {listed(keys_of(form), 'and')}"
            report.add(fault.path, code, message, key=is_key)


def _tell_step(fault: Fault, report: Report) -> None:
    kinds, step = listed(KINDS), fault.detail["input"]
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


def _empty(data: Any, path: Path, report: Report) -> None:
    if path[-1:] == ("body",) or path[-2:] == ("save", "schema"):
        return  # a body may hold null, and a schema speak of it
    for key, value in members(data):
        if value is not None or is_list(data):
            _empty(value, (*path, key), report)
        elif not report.knows((*path, key)):
            report.add((*path, key), *empty(f"'{clip(str(key))}'"), key=True)
