"""The variables in scope, and the shapes at the ends of paths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from liquid.builtin.expressions import Filter, Path, PositionalArgument, StringLiteral
from liquid.expression import Expression

from scenario.liquid.analysis.conditions import DataPath, proven_paths
from scenario.liquid.analysis.usage import BY_FIELD
from scenario.liquid.engine.access import OPEN_NAMES
from scenario.liquid.lint.findings import LintedText
from scenario.liquid.shapes import Anything, ListOf, Object, Roots, Tree, Value
from scenario.source.findings import closest

TEXT: Final = Value("text")
NUMBER: Final = Value("number")
FLAG: Final = Value("flag")
DATE: Final = Value("date")
ANYTHING: Final = Anything()

FORLOOP: Final = Object(
    {
        **dict.fromkeys(("index", "index0", "rindex", "rindex0", "length"), NUMBER),
        **dict.fromkeys(("first", "last"), FLAG),
        "name": TEXT,
        "parentloop": ANYTHING,
    }
)
TABLEROWLOOP: Final = Object(
    {
        **dict.fromkeys(("col", "col0", "row", "index", "index0", "rindex", "rindex0", "length"), NUMBER),
        **dict.fromkeys(("first", "last", "col_first", "col_last"), FLAG),
    }
)

_SAME_LIST: Final = frozenset({"where", "sort", "sort_natural", "reverse", "reject", "uniq", "compact", "concat"})
_ITEM: Final = frozenset({"first", "last", "find"})
_NUMBERS: Final = frozenset(
    {"abs", "at_least", "at_most", "ceil", "days_until", "divided_by", "find_index", "floor", "minus", "modulo"}
    | {"number", "plus", "round", "size", "sum", "times"}
)
DATES: Final = frozenset({"add", "next_anniversary", "subtract"})
"""Filters that return a date."""
_OTHERS: Final = frozenset({"default", "has", "json", "property", "property_accessor", "slice", "safe"})


def shape_after(applied: Filter, shape: Tree) -> Tree:
    name = applied.name
    if name in _SAME_LIST:
        return shape if isinstance(shape, ListOf) else ANYTHING
    if name in _ITEM:
        return shape.item if isinstance(shape, ListOf) else ANYTHING
    if name in _NUMBERS:
        return NUMBER
    if name in DATES:
        return DATE
    match name:
        case "map":
            field = field_argument(applied)
            known = shape.item if isinstance(shape, ListOf) else ANYTHING
            return ListOf(known.fields.get(field.value, ANYTHING) if isinstance(known, Object) and field else ANYTHING)
        case "split":
            return ListOf(TEXT)
        case "default" | "safe":
            return shape
        case "slice":
            return shape if isinstance(shape, ListOf) else TEXT
        case "has":
            return FLAG
        case _:
            return ANYTHING if name in _OTHERS else TEXT


def field_argument(applied: Filter) -> StringLiteral | None:
    """Return the first argument of a filter that reads a field, if it is literal."""
    arguments: Sequence[object] = applied.args
    if applied.name in BY_FIELD and arguments and isinstance(arguments[0], PositionalArgument):
        value = arguments[0].value
        return value if isinstance(value, StringLiteral) else None
    return None


def describe_shape(shape: Tree) -> str:
    match shape:
        case Value(kind):
            return {"text": "a text", "number": "a number", "flag": "true or false", "date": "a date"}[kind]
        case ListOf():
            return "a list"
        case Object():
            return "an object"
        case Anything():
            return "a value"


FOREIGN_CONSTANTS: Final = {
    **dict.fromkeys(("True", "TRUE", "yes"), "true"),
    **dict.fromkeys(("False", "FALSE", "no"), "false"),
    **dict.fromkeys(("None", "NONE", "Null", "NULL", "Nil", "NIL", "none", "undefined"), "nil"),
}
"""Liquid's constants by their names in other languages."""
_FOREIGN_FIELDS: Final = {
    **dict.fromkeys(("items", "line_items", "lineitems", "lines", "articles", "positions", "contents"), "products"),
    **dict.fromkeys(("phone", "mobile", "telephone", "tel", "msisdn"), "cellphone"),
    **dict.fromkeys(("total", "amount", "sum", "value"), "total_price"),
    **dict.fromkeys(("title", "label"), "name"),
    **dict.fromkeys(("locale", "lang"), "language"),
    **dict.fromkeys(("tz", "zone"), "timezone"),
}
"""Fields by their names on other platforms."""
_VIRTUAL: Final = frozenset({"size", "first", "last"})


@dataclass(frozen=True)
class TemplateScope:
    """The names in scope at one place of a template."""

    schema: Roots
    inner: tuple[Mapping[str, Tree], ...] = ()
    """The names of enclosing loops and ``$let``, innermost last."""
    own: dict[str, Tree] = field(default_factory=dict[str, Tree])
    tested: frozenset[str] = frozenset()
    """Variables that an enclosing ``if`` tests, so that they may belong to another trigger."""
    present: frozenset[DataPath] = frozenset()
    """Paths of one or two names that the outcome of an enclosing condition proves to have a value."""

    def with_names(self, names: Mapping[str, Tree]) -> TemplateScope:
        return replace(self, inner=(*self.inner, names))

    def with_tested(self, tested: frozenset[str]) -> TemplateScope:
        return replace(self, tested=self.tested | tested)

    def with_outcome(self, condition: Expression, *, is_true: bool) -> TemplateScope:
        """Return the scope after a condition with a known outcome."""
        return replace(self, present=self.present | proven_paths(condition, outcome=is_true))

    def copy(self) -> TemplateScope:
        """Return a scope that is independent in its assignments."""
        return replace(self, own=dict(self.own))

    def find(self, name: str) -> Tree | None:
        for names in (*reversed(self.inner), self.own, self.schema.known):
            if name in names:
                return names[name]
        return None

    def all_names(self) -> list[str]:
        return [name for names in (*self.inner, self.own, self.schema.known) for name in names]

    def resolve(self, path: Path, linted: LintedText, *, test: bool = False) -> Tree:
        """Return the shape at the end of a path. A test reads a value only to see if it exists."""
        root, *keys = path.path
        for key in path.path:
            if isinstance(key, Path):
                self.resolve(key, linted)
        at = path.token.start_index
        if isinstance(root, Path):
            linted.add("dynamic-variable", "the name of a variable cannot be in a variable", at)
        if not isinstance(root, str):
            return ANYTHING
        at = max(linted.source.find(root, at), at)
        shape = self.find(root)
        if shape is None:
            self._report_unknown(root, at, linted, test=test)
            return ANYTHING
        if not test and shape is self.schema.known.get(root):
            self._report_missing((root, *keys[:1]), at, linted)
        is_named = bool(keys) and isinstance(keys[0], str) and keys[0] not in _VIRTUAL
        if isinstance(shape, Object) and shape.requires_field and not is_named:
            linted.add("not-apart", f"name which part of '{root}' is meant: {root}.NAME", at)
            return ANYTHING
        # A variable in the schema states itself if it is open: for responses, the saved ones are known.
        if root in OPEN_NAMES and root not in self.schema.known and isinstance(shape, Object):
            shape = Object(shape.fields, open=True)
        done, at = root, at + len(root)
        for key in keys:
            if isinstance(key, Path):
                return shape.item if isinstance(shape, ListOf) else ANYTHING
            if isinstance(key, int):
                shape, done = (shape.item if isinstance(shape, ListOf) else ANYTHING), f"{done}[{key}]"
                continue
            found = linted.source.find(key, at)
            at = found if found >= 0 else at
            shape = _key_shape(shape, key, done, at, linted)
            if shape is None:
                return ANYTHING
            done, at = f"{done}.{key}", at + len(key)
        return shape.whole if isinstance(shape, Object) else shape

    def _report_missing(self, path: Sequence[object], at: int, linted: LintedText) -> None:
        """Report a variable, or a field of one, that may be missing and that no condition has proven to exist."""
        for length in range(1, len(path) + 1):
            name = tuple(str(key) for key in path[:length])
            why = self.schema.possibly_missing.get(".".join(name))
            if why is not None and name not in self.present:
                message = f"'{'.'.join(name)}' may be missing here: {why}"
                linted.add("may-be-missing", message, at, severity="warning")

    def _report_unknown(self, root: str, at: int, linted: LintedText, *, test: bool) -> None:
        if root in self.schema.availability:
            # One template may serve several triggers by testing for their variables.
            if not test and root not in self.tested:
                linted.add("out-of-scope", f"'{root}' is there only {self.schema.availability[root]}", at)
            return
        if (word := FOREIGN_CONSTANTS.get(root)) is not None:
            linted.add("unknown-variable", f"'{root}' is written '{word}' here", at)
            return
        linted.add("unknown-variable", f"there is no variable '{root}'", at, suggestion=self._guess(root))

    def _guess(self, root: str) -> str | None:
        """Return the variable that an unknown name probably means: a similar one, or a field without its object."""
        if (found := closest(root, self.all_names())) is not None:
            return found
        objects = {name: shape for name, shape in self.schema.known.items() if isinstance(shape, Object)}
        for name, shape in objects.items():
            if root in shape.fields:
                return f"{name}.{root}"
        for name, shape in objects.items():
            if (found := closest(root, shape.fields)) is not None:
                return f"{name}.{found}"
        return None


def _key_shape(shape: Tree, key: str, done: str, at: int, linted: LintedText) -> Tree | None:
    """Return the shape of one key of a value, or None after reporting that it is unknown."""
    match shape:
        case ListOf():
            if key in _VIRTUAL:
                return NUMBER if key == "size" else shape.item
            known = isinstance(shape.item, Object) and key in shape.item.fields
            hint = f": loop over it, take {done}.first.{key}, or ask {done} | has: '{key}', 'x'" if known else ""
            linted.add("list-field", f"'{done}' is a list, it has no field '{key}'{hint}", at)
            return None
        case Object():
            if key in shape.fields:
                found = shape.fields[key]
                return Object(found.fields, open=True) if key in OPEN_NAMES and isinstance(found, Object) else found
            if shape.open or key in ("size", "first"):
                return NUMBER if key == "size" and not shape.open else ANYTHING
            meant = closest(key, shape.fields)
            other = _FOREIGN_FIELDS.get(key) if meant is None else None
            known = f", which is called '{other}' here" if other in shape.fields else ""
            message = f"'{done}' has no field '{key}'{known}"
            linted.add("unknown-field", message, at, suggestion=meant, missing=(done, key))
            return None
        case Value():
            if key == "size" and shape.kind in ("text", "date"):
                return NUMBER
            linted.add("no-object", f"'{done}' is {describe_shape(shape)}, it has no field '{key}'", at)
            return None
        case _:
            return ANYTHING


def check_item_field(shape: Tree, field: str, what: str, at: int, linted: LintedText) -> None:
    """Report a field, named by a filter's argument, that the objects of a list do not have."""
    if isinstance(shape, ListOf) and isinstance(shape.item, Object) and not shape.item.open:
        fields = shape.item.fields
        if field not in fields:
            message = f"the objects in {what} have no field '{field}'"
            linted.add("unknown-field", message, at, suggestion=closest(field, fields))
