"""Which of the names in a template mean nothing there: a misspelt field, a variable of another trigger.

What a template reads comes from `scenario.liquid.fields`, which knows what is the template's own. Inside a loop the
item's fields are not looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple, cast

from scenario import liquid
from scenario.findings import Severity, clip, listed, near
from scenario.source import Path
from scenario.variables import Anything, ListOf, Object, Roots, Tree, Value

_VIRTUAL: Final = frozenset(("size", "first", "last"))
_INDEX: Final = re.compile(r"-?\d+")


class Unknown(NamedTuple):
    """A name that means nothing.

    Attributes:
        path: Where in a structured body, from the body on; empty in a text.
        offset: Index of the name in the text, or None where it could not be found.
        severity: A field that nobody declares may still be sent; anything else is an error.
        message: One sentence.
    """

    path: Path
    offset: int | None
    severity: Severity
    message: str


def unknown_names(source: Any, kind: liquid.Kind, roots: Roots) -> Iterator[Unknown]:
    """The names in a template that mean nothing.

    Args:
        source: A template that can be parsed, or a structured body.
        kind: What it is.
        roots: What it may name.
    """
    for names in sorted(liquid.fields(source, kind=kind)):
        found = _wrong(names, roots)
        if found is None:
            continue
        depth, severity, message = found
        places = list(_places(source, names[:depth], ()))
        if not places:
            yield Unknown((), None, severity, message)
        for path, offset in places:
            yield Unknown(path, offset, severity, message)


def _wrong(names: tuple[str, ...], roots: Roots) -> tuple[int, Severity, str] | None:
    """How many of a path's names lead to the one that is wrong, how bad it is, and the sentence."""
    root = names[0]
    if root not in roots.known:
        if root in roots.elsewhere:
            return 1, "error", f"there is no '{root}' here: it is there {roots.elsewhere[root]}"
        guess = near(root, roots.known)
        hint = f"did you mean '{guess}'?" if guess else f"there are {listed(sorted(roots.known), 'and')}"
        return 1, "error", f"there is no '{clip(root)}': {hint}"
    tree: Tree = roots.known[root]
    for depth, name in enumerate(names[1:], 1):
        above = ".".join(names[:depth])
        match tree:
            case Anything():
                return None
            case Object():
                if name not in tree.fields:
                    return None if tree.open or name in _VIRTUAL else (depth + 1, *_no_field(above, name, tree))
                tree = tree.fields[name]
            case ListOf():
                if name != "size" and name not in _VIRTUAL and not _INDEX.fullmatch(name):
                    return depth + 1, "error", f"'{above}' is a list: loop over it, or write {above}.first.{name}"
                tree = tree.item if name != "size" else Value("number")
            case Value():
                if name in _VIRTUAL:
                    return None
                return depth + 1, "error", f"'{above}' is a {tree.kind}: it has no '{clip(name)}'"
    return None


def _no_field(above: str, name: str, tree: Object) -> tuple[Severity, str]:
    if guess := near(name, tree.fields):
        return "error", f"'{above}' has no '{clip(name)}': did you mean '{guess}'?"
    return (
        "warning",
        f"'{above}' has '{clip(name)}' only where the engine sends it: it is no field that is always there",
    )


def _places(source: Any, names: tuple[str, ...], path: Path) -> Iterator[tuple[Path, int]]:
    """Where a path is written; in a loop's `for`, an `if`, an output alike."""
    match source:
        case str():
            dotted = r"\s*\.\s*".join(re.escape(name) for name in names)
            for found in re.finditer(rf"(?<![\w.'\"-]){dotted}(?![\w-])", source):
                if "{" not in source or _inside(source, found.start()):
                    # The last name is the one that is wrong.
                    yield path, found.end() - len(names[-1])
        case Mapping():
            for key, value in cast("Mapping[str, Any]", source).items():
                yield from ((path, offset) for path, offset in _places(value, names, (*path, key)))
        case list():
            for index, value in enumerate(cast("list[Any]", source)):
                yield from _places(value, names, (*path, index))
        case _:
            return


def _inside(source: str, index: int) -> bool:
    """Whether a place is in an output or a tag, rather than in the text around them."""
    return max(source.rfind("{{", 0, index), source.rfind("{%", 0, index)) > max(
        source.rfind("}}", 0, index), source.rfind("%}", 0, index)
    )
