"""Compiles a scenario into the plan that journeys run, and gives a step its data: only what its templates use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from scenario import liquid
from scenario.entry.objects import OBJECTS, TRIGGER, handed_as
from scenario.errors import TemplateError
from scenario.model.batch import CONTACTS
from scenario.model.scenario import Scenario, outline
from scenario.plan.plan import EACH, PATH_SEPARATOR, Plan, PlannedExit, PlannedGoal
from scenario.steps.base import BaseStep, Compiler, Row
from scenario.type_guards import is_list, is_mapping
from scenario.words import MARKETING


def named_steps(scenario: Scenario) -> Iterator[tuple[str, BaseStep]]:
    """Yield all steps in the order of the file with their ids: ``id:``, else the name, else one from the position.

    Positions count from 1 and name the branch: ``wait-2``, ``webhook-5.then.1``.
    """
    for written in outline({"steps": scenario.steps}):
        yield str(written.id), written.step


def compile_plan(scenario: Scenario, *, follows: bool = False) -> Plan:
    """Compile a checked scenario; `follows` if its journeys follow newer versions. Raise TemplateError if malformed."""
    ids = {id(step): name for name, step in named_steps(scenario)}
    asked = (scenario.subscription or {}) if scenario.purpose == MARKETING else {}
    consents = {channel: needs.fields for channel, needs in asked.items()}
    table: dict[str, Row] = {}

    def begin(steps: Sequence[BaseStep], after: str | None) -> str | None:
        """Add a list of steps to the table. Return the first step's id, or `after` if the list is empty."""
        for index, step in enumerate(steps):
            following = ids[id(steps[index + 1])] if index + 1 < len(steps) else after
            name = ids[id(step)]
            table[name] = Row(kind="")  # the table keeps the order of the file, branches after their fork
            compiler = Compiler(
                following,
                next((ids[id(later)] for later in steps[index + 1 :] if later.waits), after),
                partial(begin, after=following),
                partial(begin, after=name),
                handed,
                item_fields,
                f"{scenario.scenario}/{name}",
                consents,
            )
            table[name] = step.compile(compiler)
        return ids[id(steps[0])] if steps else after

    start = begin(scenario.steps, None)
    assert start is not None  # noqa: S101 the model asks for at least one step
    goal = scenario.goal
    return Plan(
        start=start,
        steps=table,
        exit=tuple(PlannedExit(event=rule.event, condition=rule.condition) for rule in scenario.exit),
        zone=scenario.timezone,
        goal=goal and PlannedGoal(event=goal.event, within=goal.within.total_seconds()),
        purpose=scenario.purpose,
        follows=follows,
    )


if TYPE_CHECKING:
    from scenario.liquid.analysis.usage import DataUsage

CALLBACK: Final = ("journey", "callback_url")
"""The field for callbacks. The delivery creates its value."""
UNSUBSCRIBE: Final = ("journey", "unsubscribe_url")
"""The field for unsubscribing. The delivery creates its value."""
_PROVIDED: Final = frozenset({"now", "today", "secrets"})
"""Variables that the activity provides, so that histories need not hold them."""


def handed(
    sources: Iterable[tuple[Any, liquid.Kind]], always: Iterable[tuple[str, ...]] = ()
) -> tuple[tuple[str, ...], dict[str, tuple[str, ...]]]:
    """Return the fields that templates use, and those that are `always` needed, for `pick`.

    They are sorted, without those that another one contains. For lists, also return the parts needed of each item, if
    they are known. Raise TemplateError if a template is malformed.
    """
    sources, always = list(sources), frozenset(always)
    named = always.union(*(liquid.find_fields(source, kind=kind) for source, kind in sources))
    whole = {(name,) for name in OBJECTS} if (TRIGGER,) in named else set[tuple[str, ...]]()
    named = whole | {handed_as(path) for path in named}
    # A segment with a dot in it cannot be written as a path: its parent goes along whole instead.
    paths = {_without_dots(path) for path in named if path and path[0] not in _PROVIDED}
    kept = {path for path in paths if not any(path[:length] in paths for length in range(1, len(path)))}
    kept |= paths & {CALLBACK}
    needs = liquid.trace_usage(sources, same=[(TRIGGER, name) for name in OBJECTS])
    items: dict[str, tuple[str, ...]] = {}
    for path in sorted(kept - always - whole):
        each = needs.list_item_usage(path)
        if each is not None and (names := spelled(each)) is not None:
            items[PATH_SEPARATOR.join(path)] = names
    return tuple(sorted(PATH_SEPARATOR.join(path) for path in kept)), items


def item_fields(sources: Iterable[tuple[Any, liquid.Kind]]) -> tuple[tuple[str, ...], ...]:
    """Return the paths in a journey's data that a batch call's templates read of each contact.

    Raise TemplateError if a template is malformed.
    """
    each = liquid.trace_usage(sources, same=[]).list_item_usage((CONTACTS,))
    names = None if each is None else spelled(each)
    if names is None:
        return tuple((name,) for name in _ROOTS)
    paths = {handed_as(tuple(name.partition(EACH)[0].split(PATH_SEPARATOR))) for name in names}
    whole = {(name,) for name in OBJECTS} if (TRIGGER,) in paths else set[tuple[str, ...]]()
    return tuple(sorted(paths | whole))


def named_secrets(step: BaseStep) -> frozenset[str] | None:
    """Return the secrets that a step's templates may read, or None if a name is computed.

    Raise TemplateError if a template is malformed.
    """
    paths = {path for source, kind in step.messages() for path in liquid.find_fields(source, kind=kind)}
    asked = {path[1:2] for path in paths if path[0] == "secrets"}
    return None if () in asked else frozenset({name for (name,) in asked})


def names_unsubscribing(step: BaseStep) -> bool:
    """Return True if a template of a step uses `journey.unsubscribe_url`."""
    try:
        return any(UNSUBSCRIBE in liquid.find_fields(source, kind=kind) for source, kind in step.messages())
    except TemplateError:
        return False  # rendering reports the mistake


def _without_dots(path: tuple[str, ...]) -> tuple[str, ...]:
    for index, segment in enumerate(path):
        if PATH_SEPARATOR in segment:
            return path[:index]
    return path


_ROOTS: Final = ("contact", "event", "journey", "responses", TRIGGER, *OBJECTS)
MOST_NAMES: Final = 100
"""Maximum number of listed fields, so that a plan does not outgrow its benefit."""


class _Unspelled(ValueError):
    """A name that cannot be written as a part of a path."""


def spelled(each: DataUsage) -> tuple[str, ...] | None:
    """Return the sorted fields that are needed of each item, or None if the whole item is needed."""
    if not _is_object(each):
        return None
    try:
        names = tuple(islice(_below(each, ""), MOST_NAMES + 1))
    except _Unspelled:
        return None
    return names if len(names) <= MOST_NAMES else None


def _is_object(need: DataUsage) -> bool:
    """Return True if only named fields are read, so that others can be left out."""
    return not need.whole and not need.tested and need.each is None


def _below(need: DataUsage, lead: str) -> Iterator[str]:
    for name, field in sorted(need.fields.items()):
        if not name or PATH_SEPARATOR in name or name.endswith(EACH):
            raise _Unspelled
        yield from _field(field, lead + name)


def _field(need: DataUsage, name: str) -> Iterator[str]:
    if need.whole:
        yield name
    elif need.each is not None and not need.fields and _is_object(need.each):
        if not need.each.fields:
            yield name + EACH
        yield from _below(need.each, name + EACH + PATH_SEPARATOR)
    elif need.fields and _is_object(need):
        yield from _below(need, name + PATH_SEPARATOR)
    else:
        yield name


def narrowed(items: list[Any], names: Iterable[str]) -> list[Any]:
    """Return a list's items with the needed fields only, in the same order. Values that are no objects stay."""
    wanted: dict[str, Any] = {}
    for name in names:
        below = wanted
        for segment in name.split(PATH_SEPARATOR):
            below = below.setdefault(segment, {})
    return _cut(items, wanted)


def _cut(items: list[Any], wanted: Mapping[str, Any]) -> list[Any]:
    return [_part(item, wanted) if is_mapping(item) else item for item in items]


def _part(item: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for segment, below in wanted.items():
        name = segment.removesuffix(EACH)
        if name not in item:
            continue
        value = item[name]
        if segment != name:
            made[name] = _cut(value, below) if is_list(value) else value
        else:
            is_cut = bool(below) and is_mapping(value)
            made[name] = _part(value, below) if is_cut else value
    return made


def pick(
    data: Mapping[str, Any], fields: Iterable[str], items: Mapping[str, Iterable[str]] = MappingProxyType({})
) -> dict[str, Any]:
    """Return the part of the data that some fields need, in its own structure.

    Args:
        data: Data by root name.
        fields: Dotted paths, as of `handed`. A path through a list, or beyond the data, picks as much as it reached.
        items: For some of the fields, the parts needed of each item if the field is a list. The number and order of
            items stay the same.
    """
    picked: dict[str, Any] = {}
    for path in fields:
        source: Any = data
        target: dict[str, Any] = picked
        segments = path.split(PATH_SEPARATOR)
        for index, segment in enumerate(segments):
            if segment not in source:
                break
            value: Any = source[segment]
            if index == len(segments) - 1 or not is_mapping(value):
                narrow = index == len(segments) - 1 and path in items and is_list(value)
                target[segment] = narrowed(value, items[path]) if narrow else value
                break
            source = value
            target = target.setdefault(segment, {})
    return picked
