"""Variables of templates by trigger and place, and those known at each step: saved responses, an event.

They are derived from the models of entries: a field added to `scenario.entry.objects` is available in templates, checks
and documentation without another list. What is known at a step takes all ways into account that lead to it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from types import UnionType
from typing import Any, Final, Union, get_args, get_origin

from scenario import liquid
from scenario.entry import values
from scenario.entry.objects import ALIASES, DATA, TRIGGER, Contact, Shape, TriggerEvent
from scenario.errors import TemplateError
from scenario.liquid.shapes import Anything, ListOf, Object, Roots, Tree, Value
from scenario.model.batch import ANYWHERE, CONTACTS
from scenario.model.scenario import TRIGGERS, outline
from scenario.responses import merged, tree_of_schema
from scenario.steps.base import Awaited, BaseStep
from scenario.steps.registry import KINDS, kind_of
from scenario.type_guards import Path, is_mapping, list_or_empty
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
_KINDS: Final[Mapping[Callable[..., Any] | None, Tree]] = {
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
    possibly_missing: Mapping[str, str] | None = None,
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
        possibly_missing: As in `Roots`.
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
    return Roots(known, elsewhere, possibly_missing or {})


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
    triggers = (name for kind in TRIGGERS for name in _data_of(kind))
    gone = {"contact", "responses", "secrets", TRIGGER, *_ANYWHERE, *triggers}
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
    fields = shape.model_fields.items()
    return Object({name: _KINDS.get(values.reader_of(one)) or _annotated(one.annotation) for name, one in fields})


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


Known = Mapping[str, Tree]
"""Responses by name, with the shapes that their schemas give."""


@dataclass(frozen=True)
class KnownVariables:
    """Variables known at one place."""

    responses: Known = field(default_factory=dict[str, Tree])
    answered: frozenset[str] = frozenset()
    """Names of the responses that certainly exist."""
    comes: bool = False
    """True if an event may exist."""
    missed: frozenset[Path] = frozenset({()})
    """Ways without an event: each is the path of the last ``wait_for`` that timed out, or empty if the way has none. An
    empty set means that an event certainly exists."""
    entered: bool = False
    """True if the event may be the trigger's."""
    awaited: Path | None = None
    """Path of a step that awaited the event, or None."""
    asked: frozenset[tuple[str, ...]] = frozenset()
    """Properties that the conditions of such steps use."""
    passed: Path | None = None
    """Path of a step that awaited another event and timed out, or None."""
    events: frozenset[str] = frozenset()
    """Names of the events that it may be; empty if they are unknown."""


_MET: Final[frozenset[Path]] = frozenset()


@dataclass(frozen=True)
class VariableMap:
    """Variables known at the places of a scenario."""

    before: Mapping[Path, KnownVariables]
    """Variables before each step, by the step's path."""
    saves: Mapping[str, Path]
    anywhere: Known
    ends: Set[Path]
    """Paths of steps after which no contact continues."""

    def at(self, path: Path) -> KnownVariables:
        """Return the variables of a template or condition by its path. Exit rules may be evaluated at any time."""
        if path[:1] == ("exit",):
            return KnownVariables(self.anywhere)
        for length in range(len(path), 0, -1):
            if (here := self.before.get(path[:length])) is not None:
                return here
        return KnownVariables()


@dataclass
class _Walk:
    before: dict[Path, KnownVariables] = field(default_factory=dict[Path, KnownVariables])
    saves: dict[str, Path] = field(default_factory=dict[str, Path])
    shapes: dict[str, list[Tree]] = field(default_factory=dict[str, list[Tree]])
    ends: set[Path] = field(default_factory=set[Path])

    def steps(self, items: Any, path: Path, here: KnownVariables) -> tuple[KnownVariables, bool]:
        """Return the variables after a list of steps, and True if a contact can get there."""
        goes_on = True
        for index, item in enumerate(list_or_empty(items)):
            if not is_mapping(item):
                continue
            place = (*path, index)
            self.before[place] = here
            here, passes = self._step(item, place, here)
            if not passes:
                goes_on = False
                self.ends.add(place)
        return here, goes_on

    def _step(self, keys: Mapping[str, Any], place: Path, here: KnownVariables) -> tuple[KnownVariables, bool]:
        kind = kind_of(keys)
        if kind is None:
            return here, True
        step = KINDS[kind]
        if found := _saved(step.saves(keys)):
            name, shape = found
            self.saves.setdefault(name, place)
            self.shapes.setdefault(name, []).append(shape)
            # It begins without an earlier response.
            responses = {known: tree for known, tree in here.responses.items() if known != name}
            self.before[place] = here = replace(here, responses=responses, answered=here.answered - {name})
            answered = here.answered | {name} if _is_certain(keys, step.saves(keys)) else here.answered
            return replace(here, responses={**responses, name: shape}, answered=answered), True
        if step.loop is not None:
            here = self.before[place] = _coming_back(step, keys, place, here)
        ways = step.ways(keys)
        if ways is None:
            return here, True
        # All of them: unreachable branches are checked as well.
        ends = {
            way: self.steps(branch, (*place, *inner), _entered(step, keys, way, place, here))
            for way, inner, branch in step.lists(keys)
        }
        taken = [ends[branch] for branch in ways]
        passing = [after for after, passes in taken if passes]
        return joined(passing or [after for after, _ in taken]) if taken else here, bool(passing)


def _entered(
    step: type[BaseStep], keys: Mapping[str, Any], way: str, place: Path, here: KnownVariables
) -> KnownVariables:
    """Return the variables at the start of a branch."""
    opened = {awaited.way: awaited for awaited in step.awaits(keys)}
    if way in opened:
        return replace(_after(opened[way], place, here), missed=_MET)
    if opened and way != step.loop:
        return replace(here, missed=frozenset({place}) if here.missed else _MET, passed=place)
    condition, outcome = step.implied(keys).get(way, (None, False))
    if not isinstance(condition, str):
        return here
    try:
        proven = liquid.find_proven_paths(condition, outcome=outcome)
    except TemplateError:  # a mistake already, of which nothing should follow
        return replace(here, missed=_MET, answered=frozenset(here.responses))
    answered = {name for name in here.responses if ("responses", name) in proven}
    return replace(
        here, missed=_MET if here.comes and ("event",) in proven else here.missed, answered=here.answered | answered
    )


def _coming_back(step: type[BaseStep], keys: Mapping[str, Any], place: Path, here: KnownVariables) -> KnownVariables:
    """Return the variables at a step to which its last inner step returns."""
    ends = [here]
    for way, path, branch in step.lists(keys):
        for inner in outline({"steps": branch}) if way == step.loop else ():
            if found := _saved(inner.model.saves(inner.keys)):
                ends.append(replace(here, responses=dict([found]), answered=here.answered - {found[0]}))
            for awaited in inner.model.awaits(inner.keys):
                spot = (*place, *path, *inner.path[1:])
                ends.append(_after(awaited, spot, replace(here, responses={})))
    return joined(ends)


def _after(awaited: Awaited, place: Path, here: KnownVariables) -> KnownVariables:
    """Return the variables after an event that a step awaited."""
    events = frozenset({awaited.event}) if isinstance(awaited.event, str) else frozenset[str]()
    asked = frozenset[tuple[str, ...]]()
    if isinstance(awaited.condition, str):
        with suppress(TemplateError):  # a mistake already
            named = liquid.find_fields(awaited.condition, kind="condition")
            asked = frozenset(path for path in named if path[0] == "event")
    return replace(here, comes=True, entered=False, awaited=place, asked=asked, events=events)


def ways(data: Mapping[str, Any]) -> VariableMap:
    """Return the variables known at all places of a scenario."""
    walk = _Walk()
    # With the trigger event there is one from the beginning.
    is_event = data.get("trigger") == "event"
    start = KnownVariables(comes=True, missed=_MET, entered=True) if is_event else KnownVariables()
    walk.steps(data.get("steps"), ("steps",), start)
    anywhere = {name: merged(shapes) for name, shapes in walk.shapes.items()}
    return VariableMap(walk.before, walk.saves, anywhere, walk.ends)


def joined(ends: Sequence[KnownVariables]) -> KnownVariables:
    """Return the variables known where several ways meet."""
    names = dict.fromkeys(name for end in ends for name in end.responses)
    events = [end.events for end in ends if end.comes]
    return KnownVariables(
        {name: merged([end.responses[name] for end in ends if name in end.responses]) for name in names},
        answered=ends[0].answered.intersection(*(end.answered for end in ends)),
        comes=any(end.comes for end in ends),
        missed=_MET.union(*(end.missed for end in ends)),
        entered=any(end.entered for end in ends),
        awaited=next((end.awaited for end in ends if end.awaited), None),
        asked=frozenset[tuple[str, ...]]().union(*(end.asked for end in ends)),
        passed=next((end.passed for end in ends if end.passed), None),
        events=frozenset[str]().union(*events) if all(events) else frozenset(),
    )


def _is_certain(keys: Mapping[str, Any], save: Any) -> bool:
    """Return True if no contact passes a step without its response, unless an operator or a cap skips the step."""
    goes_on = "continue" in (keys.get("on_failure"), keys.get("on_unknown")) or keys.get("expires") is not None
    return save.get("required") is True and not goes_on


def _saved(save: Any) -> tuple[str, Tree] | None:
    if not is_mapping(save):
        return None
    name, schema = save.get("as"), save.get("schema")
    if not isinstance(name, str):
        return None
    return name, tree_of_schema(schema if is_mapping(schema) else None)
