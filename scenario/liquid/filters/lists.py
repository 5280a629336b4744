"""Filters of lists. Duplicates are found in one pass, and results are bounded before they are built."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, cast

from liquid.exceptions import FilterItemTypeError
from liquid.filter import sequence_filter
from liquid.undefined import is_undefined
from markupsafe import Markup

from scenario.liquid.engine.instrument import FilterValueError, by_name
from scenario.liquid.engine.limits import MAX_TEXT, BoundReached
from scenario.liquid.engine.values import are_equal, describe_type, to_text
from scenario.type_guards import is_mapping, is_sequence


@sequence_filter
def join(items: Iterable[object], separator: object = " ") -> str:
    return _join(items, to_text(separator))


@sequence_filter
def join_html(items: Iterable[object], separator: object = " ") -> str:
    """Join the items' texts in HTML: the author's separator is markup, the items are escaped."""
    return _join(items, Markup(" ") if separator == " " else to_text(separator))


def _join(items: Iterable[object], between: str) -> str:
    texts = [item if isinstance(item, str) else to_text(item) for item in items]
    if sum(map(len, texts)) + len(between) * len(texts) > MAX_TEXT:
        raise BoundReached(f"'join' makes a text of more than {MAX_TEXT:,} characters")
    return between.join(texts)


@sequence_filter
def uniq(items: Sequence[Any], key: object = None) -> list[Any]:
    """Return the items without duplicates, or without those that repeat a field's value."""
    seen: set[Hashable] = set()
    kept: list[Any] = []
    for item in items:
        value = item if key is None else _get_field("uniq", item, key)
        mark = _make_key(value)
        if mark not in seen:
            seen.add(mark)
            kept.append(item)
    return kept


def _get_field(name: str, item: Any, key: object) -> Any:
    if is_mapping(item):
        return item.get(key)
    raise FilterValueError(f"'{name}' needs a list of objects to look into their fields")


def _make_key(value: object) -> Hashable:
    """Return equal marks for equal values, including values that cannot be hashed."""
    if is_mapping(value):
        return (Mapping, frozenset((key, _make_key(item)) for key, item in value.items()))
    if is_sequence(value):
        return (list, tuple(_make_key(item) for item in value))
    if is_undefined(value):
        return None
    return (bool, value) if isinstance(value, bool) else cast("Hashable", value)


@sequence_filter
def compact(items: Iterable[Any], key: object = None) -> list[Any]:
    """Return the items that are not nil, or those with a field that is not nil."""
    if key is None or is_undefined(key):
        return [item for item in items if item is not None]
    return [item for item in items if _get_field("compact", item, key) is not None]


@sequence_filter
def map_(items: Iterable[Any], key: object) -> list[Any]:
    made: list[Any] = []
    for item in items:
        if is_mapping(item):
            made.append(item.get(to_text(key)))
        elif item is None or is_undefined(item):
            made.append(None)
        else:
            raise FilterValueError("'map' needs a list of objects")
    return made


@sequence_filter
def sort(items: Iterable[Any], key: object = None) -> list[Any]:
    """Return the items in order, or in the order of one field. Nil comes last."""
    return _sort_by("sort", items, key, lambda value: value)


@sequence_filter
def sort_natural(items: Iterable[Any], key: object = None) -> list[Any]:
    return _sort_by("sort_natural", items, key, lambda value: to_text(value).lower())


def _sort_by(name: str, items: Iterable[Any], key: object, rank: Callable[[Any], Any]) -> list[Any]:
    by_field = key is not None and not is_undefined(key) and key != ""

    def place(item: Any) -> tuple[bool, Any]:
        if by_field:
            if not is_mapping(item):
                raise FilterValueError(f"'{name}' needs a list of objects to sort by a field")
            item = item.get(to_text(key))
        nothing = item is None or is_undefined(item)
        return nothing, 0 if nothing else rank(item)

    placed = [(place(item), item) for item in items]
    values = [value for (nothing, value), _ in placed if not nothing]
    numbers = sum(isinstance(value, int | float | Decimal) for value in values)
    if numbers not in (0, len(values)):
        raise FilterValueError(f"'{name}' cannot mix numbers and texts")
    return [item for _, item in sorted(placed, key=lambda pair: pair[0])]


def _matches(item: Any, field: object, wanted: object) -> bool:
    """Return True if an item's field has the value. Without a value, it must be neither nil nor false."""
    if is_mapping(item):
        found = item.get(field)
    elif isinstance(item, str):
        # As in Shopify's Liquid, a text "has" its substrings.
        found = field if to_text(field) in item else None
    elif isinstance(item, list | tuple) or is_undefined(item):
        found = None
    elif isinstance(item, int) and isinstance(field, int):
        found = item == field
    elif item is None:
        # As in Shopify's Liquid, the result is nil then.
        raise FilterItemTypeError("a list of objects contains nothing in place of an object", token=None)
    else:
        raise FilterValueError(f"a list of objects contains {describe_type(item)} in place of an object")
    if wanted is None or is_undefined(wanted):
        return found is not None and found is not False
    return are_equal(found, wanted)


@sequence_filter
def where(items: Iterable[Any], field: object, wanted: object = None) -> list[Any]:
    """Return the objects in which a field has the value or, without a value, is set."""
    return [item for item in items if _matches(item, field, wanted)]


@sequence_filter
def reject(items: Iterable[Any], field: object, wanted: object = None) -> list[Any]:
    """Return the objects that ``where`` excludes."""
    return [item for item in items if not _matches(item, field, wanted)]


@sequence_filter
def find(items: Iterable[Any], field: object, wanted: object = None) -> Any:
    return next((item for item in items if _matches(item, field, wanted)), None)


@sequence_filter
def find_index(items: Iterable[Any], field: object, wanted: object = None) -> int | None:
    return next((place for place, item in enumerate(items) if _matches(item, field, wanted)), None)


@sequence_filter
def has(items: Iterable[Any], field: object, wanted: object = None) -> bool:
    return any(_matches(item, field, wanted) for item in items)


def property_(value: object, key: object) -> object:
    return value.get(key) if is_mapping(value) else None


FILTERS: Final = by_name(compact, find, find_index, has, join, map_, property_, reject, sort, sort_natural, uniq, where)
HTML_FILTERS: Final[dict[str, Callable[..., Any]]] = {"join": join_html}
