"""The pages of the reference on names: the variables of templates, and the names of the old syntax."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from scenario.check.variables import roots, tree_of
from scenario.entry.objects import Shape
from scenario.liquid.shapes import ListOf, Object, Roots, Tree, Value
from scenario.model.scenario import TRIGGERS
from splio.fields import CONTACT, TABLES, list_names

_KINDS: Final = {"text": "", "number": " (number)", "flag": " (true or false)", "date": " (date)"}
_ONLY: Final[Mapping[str, Roots]] = {
    "after a `wait_for`, or a `repeat` that an event ends": roots("segment", event=True),
    "in a webhook": roots("segment", secrets=()),
    "in a webhook, an e-mail, an SMS": roots("segment", callback=True),
    "in an e-mail, an SMS of a marketing scenario": roots("segment", callback=True, unsubscribe=True),
}
"""Places that have more variables than others; the trigger is one without data of its own."""


def old_names() -> Iterator[str]:
    """Yield the page of the names of the platform's old syntax."""
    yield "# Names of the old syntax\n\nEach new name is also accepted as an old name.\n"
    yield "| in the old syntax | here |"
    yield "|---|---|"
    for table, known in TABLES.items():
        if table == "cart":
            continue  # another word for BASKET
        olds: dict[str, list[str]] = {}
        for old, ours in list_names(table):
            olds.setdefault(ours, []).append(f"`${table}.{old}$`" if table != CONTACT else f"`${old}$`")
        for ours, shown in olds.items():
            yield f"| {' '.join(shown)} | `{known.path}.{ours}` |"


def variables() -> Iterator[str]:
    """Yield the page of the variables of templates."""
    yield "# Template variables\n\nA field without a type is a text. [Templates](../write/templates.md) use them.\n"
    everywhere = set(roots("segment").known)
    yield "| trigger | variables |"
    yield "|---|---|"
    yield f"| any | {_listed(roots('segment').known)} |"
    rows: dict[tuple[str, ...], list[str]] = {}
    for trigger in TRIGGERS:
        more = sorted(name for name in roots(trigger).known if name not in everywhere)
        rows.setdefault(tuple(more), []).append(trigger)
    for names, triggers in rows.items():
        yield f"| {_listed(triggers)} | {f'also {_listed(names)}' if names else 'no others'} |"
    plain = set(_paths(roots("segment").known))
    for place, there in _ONLY.items():
        more = [path for path in _paths(there.known) if path not in plain]
        yield f"| any, {place} | also {_listed(path for path in more if path.rpartition('.')[0] not in more)} |"
    yield ""
    yield "| variable | fields |"
    yield "|---|---|"
    known: list[tuple[list[str], Tree]] = []
    for name, tree in roots(None, event=True, callback=True, unsubscribe=True).known.items():
        _collect(name, tree, known)
    for names, tree in known:
        yield f"| {', '.join(sorted(names, key=lambda name: name.startswith('each')))} | {_fields(tree)} |"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _paths(known: Mapping[str, Tree], before: str = "") -> Iterator[str]:
    for name, tree in known.items():
        yield f"{before}{name}"
        if isinstance(tree, Object):
            yield from _paths(tree.fields, f"{before}{name}.")


def _collect(path: str, tree: Tree, known: list[tuple[list[str], Tree]], *, item: bool = False) -> None:
    """Collect all objects below a variable: equal ones once, with all their names."""
    if isinstance(tree, ListOf):
        _collect(path, tree.item, known, item=True)
    elif isinstance(tree, Object) and tree.fields:
        shown = f"each of `{path}`" if item else f"`{path}`"
        same = next((names for names, other in known if other == tree), None)
        if same is not None:
            same.append(shown)
            return
        known.append(([shown], tree))
        for name, field in tree.fields.items():
            _collect(f"{path}.{name}", field, known)


def _fields(tree: Tree) -> str:
    if not isinstance(tree, Object):
        return ""
    nothing: Mapping[str, str] = {}
    second = next((shape.second for shape in _shapes(Shape) if tree_of(shape) == tree), nothing)
    shown = [f"`{name}`{_kind(field)}" for name, field in tree.fields.items() if name not in second]
    if tree.open:
        shown.append("and any other that was sent")
    also = ", ".join(f"`{other}` is `{name}`" for other, name in second.items())
    return ", ".join(shown) + (f"; {also}" if also else "")


def _kind(tree: Tree) -> str:
    match tree:
        case Value():
            return _KINDS[tree.kind]
        case ListOf():
            return " (list)"
        case Object():
            return " (object)" if tree.fields else " (by name)"
        case _:
            return ""


def _shapes(shape: type[Shape]) -> Iterator[type[Shape]]:
    for kind in shape.__subclasses__():
        yield kind
        yield from _shapes(kind)
