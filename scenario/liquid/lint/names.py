"""The variables of a template and what is below them: whether a path leads somewhere, and to what shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from liquid.builtin.expressions import Path
from liquid.expression import Expression

from scenario.liquid.analysis.compared import told
from scenario.liquid.engine.access import OPEN_NAMES
from scenario.liquid.lint.findings import Page, nearest
from scenario.liquid.lint.shaping import ANYTHING, NUMBER, called
from scenario.liquid.shapes import ListOf, Object, Roots, Tree, Value

WRITTEN_OTHERWISE: Final = {
    **dict.fromkeys(("True", "TRUE", "yes"), "true"),
    **dict.fromkeys(("False", "FALSE", "no"), "false"),
    **dict.fromkeys(("None", "NONE", "Null", "NULL", "Nil", "NIL", "none", "undefined"), "nil"),
}
"""What other languages call a constant, and what it is called here."""
_CALLED_OTHERWISE: Final = {
    **dict.fromkeys(("items", "line_items", "lineitems", "lines", "articles", "positions", "contents"), "products"),
    **dict.fromkeys(("phone", "mobile", "telephone", "tel", "msisdn"), "cellphone"),
    **dict.fromkeys(("total", "amount", "sum", "value"), "total_price"),
    **dict.fromkeys(("title", "label"), "name"),
    **dict.fromkeys(("locale", "lang"), "language"),
    **dict.fromkeys(("tz", "zone"), "timezone"),
}
"""What other platforms call a field, and what it is called here."""
_VIRTUAL: Final = frozenset({"size", "first", "last"})


class Names:
    """The names that are in scope at one place.

    Args:
        schema: The variables of the template.
        inner: What loops and ``$let`` add around the place, innermost last.
        own: What the template itself assigned.
        tested: Variables that an ``if`` around the place asks for, so that they may be of another trigger.
        present: Those of them that are certain to be there, by what came of it.
    """

    def __init__(
        self,
        schema: Roots,
        inner: tuple[Mapping[str, Tree], ...] = (),
        own: dict[str, Tree] | None = None,
        tested: frozenset[str] = frozenset(),
        present: frozenset[str] = frozenset(),
    ) -> None:
        self.schema, self.inner, self.tested, self.present = schema, inner, tested, present
        self.own: dict[str, Tree] = {} if own is None else own

    def within(self, names: Mapping[str, Tree]) -> Names:
        """The same with more names: those of a loop."""
        return Names(self.schema, (*self.inner, names), self.own, self.tested, self.present)

    def asking(self, tested: frozenset[str]) -> Names:
        """The same inside of a test for some variables."""
        return Names(self.schema, self.inner, self.own, self.tested | tested, self.present)

    def knowing(self, condition: Expression, *, is_true: bool) -> Names:
        """The same where it is known what came of a condition."""
        present = frozenset(root for root in self.schema.unsure if is_true in told(condition, root))
        return Names(self.schema, self.inner, self.own, self.tested, self.present | present)

    def apart(self) -> Names:
        """The same for a template of its own: what it assigns ends with it."""
        return Names(self.schema, self.inner, dict(self.own), self.tested, self.present)

    def find(self, name: str) -> Tree | None:
        """The shape of a variable, or None where there is none."""
        for names in (*reversed(self.inner), self.own, self.schema.known):
            if name in names:
                return names[name]
        return None

    def known(self) -> list[str]:
        """All names in scope."""
        return [name for names in (*self.inner, self.own, self.schema.known) for name in names]

    def follow(self, path: Path, page: Page, *, test: bool = False, quiet: bool = False) -> Tree:
        """The shape at a path's end.

        Args:
            path: The path.
            page: Takes what is wrong with it.
            test: Whether the path only asks if something is there.
            quiet: Whether it was looked at before.
        """
        root, *keys = path.path
        for key in path.path:
            if isinstance(key, Path):
                self.follow(key, page, quiet=quiet)
        at = path.token.start_index
        if isinstance(root, Path) and not quiet:
            page.add("dynamic-variable", "the name of a variable cannot be in a variable", at)
        if not isinstance(root, str):
            return ANYTHING
        at = max(page.source.find(root, at), at)
        shape = self.find(root)
        if shape is None:
            if not quiet:
                self._unknown(root, at, page, test=test)
            return ANYTHING
        if not quiet and not test and root not in self.present and shape is self.schema.known.get(root):
            self._unsure(root, at, page)
        if isinstance(shape, Object) and shape.apart and not _spelt(keys):
            if not quiet:
                page.add("not-apart", f"name which part of '{root}' is meant: {root}.NAME", at)
            return ANYTHING
        # The schema says itself whether there may be more: of responses it knows which a step before has kept.
        if root in OPEN_NAMES and root not in self.schema.known and isinstance(shape, Object):
            shape = Object(shape.fields, open=True)
        done, at = root, at + len(root)
        for key in keys:
            if isinstance(key, Path):
                return shape.item if isinstance(shape, ListOf) else ANYTHING
            if isinstance(key, int):
                shape, done = (shape.item if isinstance(shape, ListOf) else ANYTHING), f"{done}[{key}]"
                continue
            found = page.source.find(key, at)
            at = found if found >= 0 else at
            shape = _below(shape, key, done, at, page if not quiet else None)
            if shape is None:
                return ANYTHING
            done, at = f"{done}.{key}", at + len(key)
        return shape.whole if isinstance(shape, Object) else shape

    def _unknown(self, root: str, at: int, page: Page, *, test: bool) -> None:
        if root in self.schema.elsewhere:
            # A test for it is how one template serves several triggers.
            if not test and root not in self.tested:
                page.add("out-of-scope", f"'{root}' is there only {self.schema.elsewhere[root]}", at)
            return
        if (word := WRITTEN_OTHERWISE.get(root)) is not None:
            page.add("unknown-variable", f"'{root}' is written '{word}' here", at)
            return
        page.add("unknown-variable", f"there is no variable '{root}'", at, suggestion=self._meant(root))

    def _unsure(self, root: str, at: int, page: Page) -> None:
        if (why := self.schema.unsure.get(root)) is not None:
            page.add("may-be-missing", f"'{root}' may be missing here: {why}", at, severity="warning")

    def _meant(self, root: str) -> str | None:
        """What an unknown variable probably is: one that is spelt alike, or a field without its object."""
        if (found := nearest(root, self.known())) is not None:
            return found
        objects = {name: shape for name, shape in self.schema.known.items() if isinstance(shape, Object)}
        for name, shape in objects.items():
            if root in shape.fields:
                return f"{name}.{root}"
        for name, shape in objects.items():
            if (found := nearest(root, shape.fields)) is not None:
                return f"{name}.{found}"
        return None


def _spelt(keys: Sequence[object]) -> bool:
    """Whether a path goes on with a name that is written out."""
    return bool(keys) and isinstance(keys[0], str) and keys[0] not in _VIRTUAL


def _below(shape: Tree, key: str, done: str, at: int, page: Page | None) -> Tree | None:
    """The shape of one key of a value; None where there is no such key, which is noted on the page."""
    match shape:
        case ListOf():
            if key in _VIRTUAL:
                return NUMBER if key == "size" else shape.item
            if page is not None:
                known = isinstance(shape.item, Object) and key in shape.item.fields
                hint = f": loop over it, take {done}.first.{key}, or ask {done} | has: '{key}', 'x'" if known else ""
                page.add("list-field", f"'{done}' is a list, it has no field '{key}'{hint}", at)
            return None
        case Object():
            if key in shape.fields:
                found = shape.fields[key]
                return Object(found.fields, open=True) if key in OPEN_NAMES and isinstance(found, Object) else found
            if shape.open or key in ("size", "first"):
                return NUMBER if key == "size" and not shape.open else ANYTHING
            if page is not None:
                meant = nearest(key, shape.fields)
                other = _CALLED_OTHERWISE.get(key) if meant is None else None
                known = f", which is called '{other}' here" if other in shape.fields else ""
                message = f"'{done}' has no field '{key}'{known}"
                page.add("unknown-field", message, at, suggestion=meant, missing=(done, key))
            return None
        case Value():
            if key == "size" and shape.kind in ("text", "date"):
                return NUMBER
            if page is not None:
                page.add("no-object", f"'{done}' is {called(shape)}, it has no field '{key}'", at)
            return None
        case _:
            return ANYTHING


def below(shape: Tree, field: str, what: str, at: int, page: Page) -> None:
    """Note a field that the objects of a list do not have, as a filter's argument names it.

    Args:
        shape: Of the list.
        field: The field.
        what: The list, as the message calls it.
        at: Where the argument is.
        page: Takes the mistake.
    """
    if isinstance(shape, ListOf) and isinstance(shape.item, Object) and not shape.item.open:
        fields = shape.item.fields
        if field not in fields:
            message = f"the objects in {what} have no field '{field}'"
            page.add("unknown-field", message, at, suggestion=nearest(field, fields))
