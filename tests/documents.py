"""The parts of the documentation that are made from the code.

``python -m tests.documents``, from the project's root, writes them again; tests compare.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from gateway.map.map import ScenarioMap
from gateway.preview.draft import draft
from scenario.check.variables import roots, tree_of
from scenario.entry.objects import Shape
from scenario.liquid.shapes import ListOf, Object, Roots, Tree, Value
from scenario.model.scenario import TRIGGERS
from splio.fields import CONTACT, TABLES, list_names

DOCS: Final = Path(__file__).parents[1] / "docs"
COMMAND: Final = "python -m tests.documents"
_KINDS: Final = {"text": "", "number": " (number)", "flag": " (true or false)", "date": " (date)"}
_ONLY: Final[Mapping[str, Roots]] = {
    "after a `wait_for`, or a `repeat` that an event ends": roots("segment", event=True),
    "in a webhook": roots("segment", secrets=()),
    "in a webhook, an e-mail, an SMS": roots("segment", callback=True),
    "in an e-mail, an SMS of a marketing scenario": roots("segment", callback=True, unsubscribe=True),
}
"""Places that have more variables than others; the trigger is one without data of its own."""


def _old_names() -> Iterator[str]:
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


def _variables() -> Iterator[str]:
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
    """All objects beneath a variable; the same ones once, under all of their names."""
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


GENERATED: Final[Mapping[tuple[str, str], Callable[[], Iterable[str]]]] = {
    ("write/converting.md", "names"): _old_names,
    ("write/templates.md", "variables by trigger"): _variables,
}
"""What is generated, by its page and by the name of its marks there."""


def page(name: str) -> str:
    """A page as it should be.

    Args:
        name: The file's path within docs.
    """
    text = (DOCS / name).read_text(encoding="utf-8")
    for (file, mark), made in GENERATED.items():
        if file == name:
            begin, end = f"<!-- {mark}: generated, do not edit between these marks -->\n", f"<!-- end of {mark} -->"
            before, _, rest = text.partition(begin)
            _, _, after = rest.partition(end)
            lines = "".join(f"{line}\n" for line in made())
            text = f"{before}{begin}\n{lines}\n{end}{after}"
    return text


def _map() -> str:
    path = DOCS.parent / "examples" / "post-purchase.yaml"
    made, findings = draft(path)
    if made is None:
        raise ValueError(findings)
    return ScenarioMap(made.plan, path.stem, made.scenario.trigger).svg(standalone=True)


def _rules() -> str:
    """The alert rules as the Prometheus operator takes them: kustomize cannot put one file into another."""
    rules = (DOCS.parent / "deploy" / "prometheus" / "alerts.yaml").read_text(encoding="utf-8")
    lines = rules[rules.index("groups:\n") :].splitlines()
    return RULES_HEAD + "".join(f"  {line}".rstrip() + "\n" for line in lines)


RULES: Final = "../deploy/kubernetes/components/monitoring/rules.yaml"
RULES_HEAD: Final = f"""---
# Written by {COMMAND}, of deploy/prometheus/alerts.yaml: change that.
# yamllint disable rule:line-length
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: scenario-runner
spec:
"""
DRAWN: Final[Mapping[str, Callable[[], str]]] = {"write/map.svg": _map, RULES: _rules}
"""Files that are generated as a whole."""


if __name__ == "__main__":
    for name, drawn in DRAWN.items():
        (DOCS / name).write_text(drawn(), encoding="utf-8")
    for document in {file for file, _ in GENERATED}:
        (DOCS / document).write_text(page(document), encoding="utf-8")
