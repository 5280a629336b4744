"""What a template may name, by trigger and place: derived from the very models that entries are read with.

There is no second list of fields: a field added to `scenario.entry.objects` is known to templates, to the check before
publishing and to the documentation at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from types import UnionType
from typing import Any, Final, Union, get_args, get_origin

from pydantic import BeforeValidator
from pydantic.fields import FieldInfo

from scenario.entry import values
from scenario.entry.objects import ALIASES, DATA, Contact, Happening, Shape
from scenario.entry.trigger import TRIGGER
from scenario.liquid.shapes import Anything, ListOf, Object, Roots, Tree, Value
from scenario.model.scenario import TRIGGERS

_TEXT: Final = Value("text")
_DATE: Final = Value("date")
_ANYWHERE: Final[Mapping[str, Tree]] = {
    "now": _DATE,
    "today": _DATE,
}
_JOURNEY: Final[Mapping[str, Tree]] = {
    "id": _TEXT,
    "scenario": _TEXT,
    "version": Value("number"),
    "entered_at": _DATE,
    "key": _TEXT,
    "timezone": _TEXT,
}
_GONE: Final = (
    "while the journey runs, and a goal counts after it too: name what the event brings, event.…, or journey.key"
)
CALLBACK: Final = "callback_url"
"""The field of `journey` that gives its holder a power: it is made only for templates that name it."""
UNSUBSCRIBE: Final = "unsubscribe_url"
"""The same of marketing that goes to an address."""
_KINDS: Final[Mapping[Callable[..., Any], Tree]] = {
    values.as_id: _TEXT,
    values.as_text: _TEXT,
    values.as_number: Value("number"),
    values.as_flag: Value("flag"),
    values.as_moment: _DATE,
    values.as_custom: Object(open=True),
}


def roots(
    trigger: str | None,
    *,
    event: bool = False,
    secrets: Iterable[str] | None = None,
    callback: bool = False,
    unsubscribe: bool = False,
    responses: Mapping[str, Tree] | None = None,
    unsure: str = "",
) -> Roots:
    """What a template may name.

    Args:
        trigger: The scenario's, or None where it is not known: then the data of all triggers are.
        event: Whether an event has come by then, or is being looked at.
        secrets: The names of those that it may read; None where it does not belong to a webhook.
        callback: Whether it belongs to a message, where `journey.callback_url` is made.
        unsubscribe: Whether it belongs to marketing by e-mail or SMS, where `journey.unsubscribe_url` is made.
        responses: The responses that may be kept by then, or None where that is not known: then any may be.
        unsure: Why there may be no event all the same; empty where one is certain, or none is there anyway.
    """
    made = frozenset(name for name, there in ((CALLBACK, callback), (UNSUBSCRIBE, unsubscribe)) if there)
    journey = Object({**_JOURNEY, **dict.fromkeys(sorted(made), _TEXT)}, only_by_path=made)
    kept = Object(open=True) if responses is None else Object(responses)
    known: dict[str, Tree] = {"contact": tree_of(Contact), "journey": journey, **_ANYWHERE, "responses": kept}
    entered: dict[str, Tree] = {"type": _TEXT}
    elsewhere: dict[str, str] = {}
    for kind in TRIGGERS:
        for name in _data_of(kind):
            if trigger in (kind, None):
                known[name] = tree = tree_of(DATA[kind][1])
                entered.update(tree.fields if name == "event" else {name: tree})
    known[TRIGGER] = Object(entered, requires_field=True)
    for name in {name for kind in TRIGGERS for name in _data_of(kind)} - set(known):
        kinds = [kind for kind in TRIGGERS if name in _data_of(kind)]
        elsewhere[name] = f"with the trigger {' or '.join(kinds)}"
    if event or "event" in known:
        # An event's properties are there under their own names too.
        known["event"] = Object(tree_of(Happening).fields, open=True)
        elsewhere.pop("event", None)
    else:
        elsewhere["event"] = "with the trigger event, and after a 'wait_for'"
    if secrets is not None:
        known["secrets"] = Object(dict.fromkeys(secrets, _TEXT), requires_field=True)
    else:
        elsewhere["secrets"] = "in a webhook's url, headers and body"
    return Roots(known, elsewhere, {"event": unsure} if unsure else {})


def roots_of_goal() -> Roots:
    """What a goal's condition and value may name: they are asked after the journey too, when its data are gone."""
    known: dict[str, Tree] = {"event": Object(tree_of(Happening).fields, open=True), "journey": Object(_JOURNEY)}
    gone = {
        "contact",
        *_ANYWHERE,
        "responses",
        TRIGGER,
        "secrets",
        *(name for kind in TRIGGERS for name in _data_of(kind)),
    }
    return Roots(known, dict.fromkeys(gone - known.keys(), _GONE))


def _data_of(trigger: str) -> tuple[str, ...]:
    if trigger not in DATA:
        return ()
    return tuple(filter(None, (DATA[trigger][0], ALIASES.get(trigger))))


@cache
def tree_of(shape: type[Shape]) -> Object:
    """The tree of one of the platform's objects."""
    return Object({name: _field(info) for name, info in shape.model_fields.items()})


def _field(info: FieldInfo) -> Tree:
    for mark in info.metadata:
        if isinstance(mark, BeforeValidator) and (tree := _KINDS.get(mark.func)) is not None:
            return tree
    return _annotated(info.annotation)


def _annotated(annotation: Any) -> Tree:
    arguments = [part for part in get_args(annotation) if part is not type(None)]
    if isinstance(annotation, type) and issubclass(annotation, Shape):
        return tree_of(annotation)
    if get_origin(annotation) is list:
        return ListOf(_annotated(arguments[0]))
    if get_origin(annotation) is dict:
        return Object(open=True)
    if get_origin(annotation) in (Union, UnionType) and len(arguments) == 1:
        return _annotated(arguments[0])
    return Anything()
