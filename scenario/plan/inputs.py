"""The data that a step gets: what its templates use, and no more."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from scenario import liquid
from scenario.entry.trigger import OBJECTS, TRIGGER, handed_as
from scenario.errors import TemplateError
from scenario.plan.plan import PATH_SEPARATOR
from scenario.plan.projection import spelled
from scenario.steps.base import BaseStep

CALLBACK: Final = ("journey", "callback_url")
"""The field for callbacks. The delivery creates its value."""
UNSUBSCRIBE: Final = ("journey", "unsubscribe_url")
"""The field for unsubscribing. The delivery creates its value."""
_PROVIDED: Final = frozenset({"now", "today", "secrets"})
"""Variables that the activity provides, so that histories need not hold them."""


def handed(
    sources: Iterable[tuple[Any, liquid.Kind]], always: Iterable[tuple[str, ...]] = ()
) -> tuple[tuple[str, ...], dict[str, tuple[str, ...]]]:
    """Return the fields that templates use, for `scenario.plan.projection.pick`.

    Args:
        sources: Templates and their kinds.
        always: Fields that are needed in any case.

    Returns:
        Sorted fields without those that another one contains, and for lists the parts needed of each item, if known.

    Raises:
        TemplateError: A template is malformed.
    """
    sources, always = list(sources), frozenset(always)
    named = always.union(*(liquid.find_fields(source, kind=kind) for source, kind in sources))
    whole = {(name,) for name in OBJECTS} if (TRIGGER,) in named else set[tuple[str, ...]]()
    named = whole.union(handed_as(path) for path in named)
    # A segment with a dot in it cannot be written as a path: its parent goes along whole instead.
    paths = {_cut(path) for path in named if path and path[0] not in _PROVIDED}
    kept = {path for path in paths if not any(path[:length] in paths for length in range(1, len(path)))}
    kept |= paths & {CALLBACK}
    needs = liquid.trace_usage(sources, same=[(TRIGGER, name) for name in OBJECTS])
    items: dict[str, tuple[str, ...]] = {}
    for path in sorted(kept - always - whole):
        each = needs.list_item_usage(path)
        if each is not None and (names := spelled(each)) is not None:
            items[PATH_SEPARATOR.join(path)] = names
    return tuple(sorted(PATH_SEPARATOR.join(path) for path in kept)), items


def named_secrets(step: BaseStep) -> frozenset[str] | None:
    """Return the secrets that a step's templates may read, or None if a name is computed.

    Raises:
        TemplateError: A template is malformed.
    """
    paths = {path for source, kind in step.messages() for path in liquid.find_fields(source, kind=kind)}
    asked = [path[1:2] for path in paths if path[0] == "secrets"]
    return None if () in asked else frozenset(name for (name,) in asked)


def names_unsubscribing(step: BaseStep) -> bool:
    """Return True if a template of a step uses `journey.unsubscribe_url`."""
    try:
        return any(UNSUBSCRIBE in liquid.find_fields(source, kind=kind) for source, kind in step.messages())
    except TemplateError:
        return False  # rendering reports the mistake


def _cut(path: tuple[str, ...]) -> tuple[str, ...]:
    for index, segment in enumerate(path):
        if PATH_SEPARATOR in segment:
            return path[:index]
    return path
