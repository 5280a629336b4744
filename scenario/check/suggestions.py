"""Unknown keys of a scenario, and suggestions for them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from typing import Any, Final, NamedTuple

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from scenario.model import parts, scenario
from scenario.model.batch import BatchCall, ItemResults
from scenario.policies import hours
from scenario.policies.caps import WAITS, CappedWait
from scenario.policies.consent import Agreement
from scenario.source.findings import clip, near
from scenario.steps.base import BaseStep
from scenario.steps.registry import KINDS
from scenario.type_guards import Path, is_mapping, value_at

FORMS: Final[Mapping[str, type[BaseModel]]] = {
    "<file>": parts.File,
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
_KEYED: Final[Mapping[str, type[BaseModel]]] = {"subscription": Agreement}
"""Forms below keys that the author chooses, by the parent key."""
_TAG: Final = re.compile(r"<\w+>")
_SINGLE: Final = frozenset((parts.File, scenario.ExitRule))
"""Forms in which a wrong key must be the missing one."""
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
    elif place[:-1] and place[-2] in _KEYED:
        form = _KEYED[str(place[-2])]
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
        if not _is_tag(part) or before in ("cases", "branches")
    )
    if place and _is_tag(place[-1]):
        beside = value_at(data, path)
        if not (is_mapping(beside) and place[-1] in beside):
            return path
    return (*path, *place[-1:])


def _is_tag(part: str | int) -> bool:
    return isinstance(part, str) and _TAG.fullmatch(part) is not None


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
    if not is_mapping(step):
        return None
    return next((key for key in step if key != "id"), None)


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
    kinds = {fault.path[:-1]: fault.key for fault in unknown if _is_step(fault.form) and fault.key in KINDS}
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
        begins_step = fault.key in KINDS and _is_step(fault.form)  # a step of its own without its '-'
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
    if kind is None or kind in present:
        return None
    return Guess(kind, "unknown-step", f"unknown step '{word}': did you mean '{kind}'?")


def _misspelt_key(fault: Fault, around: Any, beside: Sequence[Fault]) -> Guess | None:
    present = around.keys() if is_mapping(around) else frozenset[str]()
    if _is_step(fault.form) and fault.key == leading(around) and (guess := _misspelt_kind(fault.key, present)):
        return guess
    known = [name for name in keys_of(fault.form) if name not in present]
    meant = _HOMONYMS.get(fault.key) or (_WORDS.get(fault.key),)
    word = near(fault.key, known) or next((key for key in meant if key in known), None)
    if word is None and fault.form in _SINGLE:
        missing = [other.key for other in beside if other.detail["type"] == "missing"]
        word = missing[0] if missing and sum(other.is_unknown for other in beside) == 1 else None
    return Guess(word, "unknown-key", f"unknown key '{clip(fault.key)}': did you mean '{word}'?") if word else None


def _is_step(form: type[BaseModel]) -> bool:
    return issubclass(form, BaseStep)
