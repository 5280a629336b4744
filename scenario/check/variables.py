"""Variables of templates by trigger and place, derived from the models of entries.

A field added to `scenario.entry.objects` is available in templates, checks and documentation without another list.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cache
from types import UnionType
from typing import Any, Final, Union, get_args, get_origin

from pydantic import BeforeValidator
from pydantic.fields import FieldInfo

from scenario.entry import values
from scenario.entry.objects import ALIASES, DATA, TRIGGER, Contact, Shape, TriggerEvent
from scenario.liquid.shapes import Anything, ListOf, Object, Roots, Tree, Value
from scenario.model.batch import ANYWHERE, CONTACTS
from scenario.model.scenario import TRIGGERS
from scenario.words import PROVIDER_EVENTS

_TEXT: Final = Value("text")
_DATE: Final = Value("date")
_ANYWHERE: Final[Mapping[str, Tree]] = {"now": _DATE, "today": _DATE}
_JOURNEY: Final[Mapping[str, Tree]] = {
    "id": _TEXT,
    "scenario": _TEXT,
    "version": Value("number"),
    "entered_at": _DATE,
    "key": _TEXT,
    "timezone": _TEXT,
}
_GONE: Final = "while the journey runs, but a goal is also counted after it: use event.… or journey.key"
CALLBACK: Final = "callback_url"
"""The field of `journey` that lets its holder report events. It is created only for templates that use it."""
DELIVERY: Final = "delivery_id"
"""The field of `journey` for messages, by which providers report events."""
UNSUBSCRIBE: Final = "unsubscribe_url"
"""The field of `journey` for marketing that goes to an address. It is created only for templates that use it."""
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
    events: Collection[str] = (),
    responses: Mapping[str, Tree] | None = None,
    unsure: str = "",
) -> Roots:
    """Return the variables that a template may use.

    Args:
        trigger: The scenario's trigger, or None for the data of all triggers.
        event: True if `event` exists.
        secrets: Names of the available secrets, or None outside of webhooks.
        callback: True in messages, which have `journey.callback_url` and `journey.delivery_id`.
        events: Names of the events that it may be, if that is known.
        unsubscribe: True in marketing by e-mail or SMS, which has `journey.unsubscribe_url`.
        responses: Saved responses, or None if any may exist.
        unsure: Why the event may be missing; empty if it is certain.
    """
    made = frozenset(name for name, there in ((CALLBACK, callback), (UNSUBSCRIBE, unsubscribe)) if there)
    sent = (DELIVERY,) if callback else ()
    journey = Object({**_JOURNEY, **dict.fromkeys((*sent, *sorted(made)), _TEXT)}, only_by_path=made)
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
        known["event"] = _event(events)
        elsewhere.pop("event", None)
    else:
        elsewhere["event"] = "with the trigger event, and after a 'wait_for'"
    if secrets is not None:
        known["secrets"] = Object(dict.fromkeys(secrets, _TEXT), requires_field=True)
    else:
        elsewhere["secrets"] = "in a webhook's url, headers and body"
    return Roots(known, elsewhere, {"event": unsure} if unsure else {})


def roots_of_batch(single: Roots) -> Roots:
    """Return the variables of a batch call. Each item has those of a webhook for one contact."""
    item = Object({name: tree for name, tree in single.known.items() if name not in ANYWHERE})
    known: dict[str, Tree] = {name: tree for name, tree in single.known.items() if name in ANYWHERE}
    where = "under each item of 'contacts' in a batch call: write person.{name}.… for person in contacts"
    elsewhere = {name: where.format(name=name) for name in item.fields}
    return Roots({**known, CONTACTS: ListOf(item)}, {**single.availability, **elsewhere})


def roots_of_goal(events: Collection[str] = ()) -> Roots:
    """Return the variables of a goal. It may be evaluated after the journey, without the journey's data."""
    known: dict[str, Tree] = {"event": _event(events), "journey": Object(_JOURNEY)}
    gone = {
        "contact",
        "responses",
        "secrets",
        TRIGGER,
        *_ANYWHERE,
        *(name for kind in TRIGGERS for name in _data_of(kind)),
    }
    return Roots(known, dict.fromkeys(gone - known.keys(), _GONE))


def _event(names: Collection[str]) -> Object:
    """Return the shape of an event. Its properties are there under their own names, too."""
    fields = tree_of(TriggerEvent).fields
    if not names or not PROVIDER_EVENTS.keys() >= set(names):
        return Object(fields, open=True)
    properties = {name: _TEXT for event in names for name in PROVIDER_EVENTS[event]}
    return Object({**fields, **properties})


def _data_of(trigger: str) -> tuple[str, ...]:
    if trigger not in DATA:
        return ()
    return tuple(filter(None, (DATA[trigger][0], ALIASES.get(trigger))))


@cache
def tree_of(shape: type[Shape]) -> Object:
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
