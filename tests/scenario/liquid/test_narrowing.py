# ruff: noqa: E501 - a case is a line
"""A template that is handed only the fields of a loop's items that it reads renders as it does with all of them.

Random templates and random data, of which much is odd: lists within lists, objects in the place of lists, fields that
some items lack. What a rendering refuses, it refuses in both cases, in the same words.

``LIQUID_EXAMPLES`` sets another number of examples, as in ``test_properties``.
"""

import os
import random
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from scenario import liquid
from scenario.errors import TemplateError
from scenario.liquid.analysis.fields import Kind
from scenario.plan.inputs import handed, pick

EXAMPLES = int(os.environ.get("LIQUID_EXAMPLES", "100"))

KEYS = ["a", "b", "rows", "name", "brand"] * 4 + ["size", "first", "custom", "c.d", "e[]", ""]
VALUES: list[Any] = [None, True, False, 0, 1, 2, 7.5, "", "x", "x", "y", "rows", "2026-01-01"]
LISTS = ["rows", "o.rows", "o.rows", "x", "y"]
ROOTS = [*LISTS, "o.a", "o"]
SEGMENTS = [
    ".a", ".b", ".rows", ".name", ".first", ".last", ".size", ".custom", "[0]", "[-1]", "[k]", "['c.d']", "['e[]']",
]  # fmt: skip
FIELDS = [".a", ".b", ".name", ".name", ".brand.name", ".brand.a", ".rows.size", ".rows.first.name", ".rows[0].a"]
WHOLE = ["", ".rows", ".brand", ".size", ".brand.size", ".rows.first", ".brand.first"]
FILTERS = [
    *("where: 'a'", "where: 'name', 'x'", "where: 'a', y", "reject: 'b'", "find: 'a'", "find_index: 'name', 'x'"),
    *("has: 'b'", "sort", "sort: 'a'", "sort: 'name'", "sort_natural: 'name'", "uniq", "uniq: 'a'", "map: 'a'"),
    *("map: 'rows'", "map: 'name'", "compact", "compact: 'a'", "reverse", "first", "last", "slice: 0, 2", "slice: -2"),
    *("concat: rows", "concat: o.rows", "concat: y", "default: o.rows", "default: 'none'", "size", "sum", "sum: 'a'"),
    *("join: ','", "json", "where: k", "map: k", "property: 'a'", "split: ','", "append: x", "sort: ''", "where: 'c.d'"),
]  # fmt: skip
KEEPING = [
    *("where: 'a'", "where: 'name', 'x'", "reject: 'b'", "sort: 'a'", "sort_natural: 'name'", "uniq: 'a'", "compact"),
    *("map: 'rows'", "map: 'brand'", "reverse", "slice: 0, 2", "slice: -2, 2", "concat: o.rows", "concat: rows"),
    "default: o.rows",
]
ENDS = [
    "size", "map: 'name' | join: ','", "first", "sum: 'a'", "has: 'b'", "find_index: 'name', 'x'", "map: 'a' | json",
]  # fmt: skip
TESTS = ["{}", "{}", "{} == {}", "{} != blank", "{} == empty", "{} == nil", "{} contains 'a'", "{} == 'x'"]
FILTERED = [
    "{} | map: 'name' contains 'x'", "{} | has: 'a'", "{} | where: 'name', 'x' | size > 0", "{} | sort: 'a' == {}",
]  # fmt: skip
CONDITIONS = [
    *TESTS, *FILTERED, "not {}", "not ({} or {}) and {}", "({} | map: 'a') contains 'x'", "{} and {}", "{} or {}",
    "{} > 1", "{} <> {}",
]  # fmt: skip


class Maker:
    """Makes one example: a tame one, such as people write, or a wild one.

    Attributes:
        dice: What comes of it depends on these alone.
        odd: How often something is not what it should be.
    """

    def __init__(self, seed: int, markup: bool = True) -> None:
        self.dice = random.Random(seed)
        self.odd = self.dice.choice([0.02, 0.02, 0.1, 0.5])
        self._markup = markup

    def is_odd(self) -> bool:
        return self.dice.random() < self.odd

    # ---- data

    def value(self, depth: int = 0) -> Any:
        roll = self.dice.random()
        if depth > 3 or roll < 0.55:
            return self.dice.choice(VALUES)
        return self.item(depth + 1) if roll < 0.75 else self.list(depth + 1)

    def item(self, depth: int = 0) -> dict[str, Any]:
        if self.is_odd() or depth > 3:
            return {self.dice.choice(KEYS): self.value(depth) for _ in range(self.dice.randint(0, 6))}
        dice = self.dice
        brand = {"name": dice.choice("xyz"), "a": dice.choice([1, 2]), "b": "unread"}
        made = {"a": dice.choice([1, 2, 3]), "b": dice.choice([True, False, None]), "name": dice.choice("xyz")}
        return {**made, "brand": brand, "rows": self.list(depth + 1), dice.choice(KEYS): self.value(depth + 1)}

    def list(self, depth: int = 0) -> list[Any]:
        number = self.dice.choice([0, 1, 2, 2, 3] if depth < 2 else [0, 1, 2])
        return [self.value(depth) if self.is_odd() else self.item(depth) for _ in range(number)]

    def data(self) -> dict[str, Any]:
        rows = self.value() if self.is_odd() else self.list()
        below = {"rows": self.list(), "a": self.value(), "b": self.value()}
        return {"rows": rows, "o": below, "k": self.dice.choice([*KEYS, 0, 1, -1]), "x": self.list()}

    # ---- templates

    def path(self, loops: tuple[str, ...]) -> str:
        """A single value, mostly."""
        dice = self.dice
        if self.is_odd():
            return dice.choice([*ROOTS, *loops]) + "".join(dice.choice(SEGMENTS) for _ in range(dice.randint(0, 2)))
        root = dice.choice(loops) if loops and dice.random() < 0.9 else f"{dice.choice(LISTS)}.first"
        return root + dice.choice(FIELDS if dice.random() < 0.93 else WHOLE)

    def list_path(self, loops: tuple[str, ...]) -> str:
        """A list, mostly."""
        dice = self.dice
        if self.is_odd():
            return self.path(loops)
        return f"{dice.choice(loops)}.rows" if loops and dice.random() < 0.6 else dice.choice(LISTS)

    def filtered(self, loops: tuple[str, ...], *, kept: bool = False) -> str:
        """An expression with filters: one that keeps items, or one that makes something to print of them."""
        dice = self.dice
        if self.is_odd():
            return " | ".join([self.path(loops), *(dice.choice(FILTERS) for _ in range(dice.randint(0, 3)))])
        keeping = [dice.choice(KEEPING) for _ in range(dice.choice([0, 1, 1, 2, 3]))]
        if kept:
            return " | ".join([self.list_path(loops), *keeping, *dice.choice([[], [], [], ["first"], ["find: 'a'"]])])
        if dice.random() < 0.7:
            return self.path(loops)
        return " | ".join([self.list_path(loops), *keeping, dice.choice(ENDS)])

    def condition(self, loops: tuple[str, ...]) -> str:
        form = self.dice.choice(CONDITIONS)
        some = self.path if self.dice.random() < 0.7 else self.list_path
        return form.format(*(some(loops) for _ in range(form.count("{}"))))

    def nodes(self, depth: int = 0, loops: tuple[str, ...] = ()) -> str:
        return "".join(self.node(depth, loops) for _ in range(self.dice.choice([1, 1, 2, 3])))

    def node(self, depth: int, loops: tuple[str, ...]) -> str:
        kinds = ["output"]
        if depth < 3:
            kinds += ["for", "for", "for", "assign", "assign", "if", "unless", "case", "capture", "cycle", "liquid"]
            kinds += ["tablerow", "ifchanged"] if self._markup else []
        match self.dice.choice(kinds):
            case "output":
                return f"{{{{ {self.filtered(loops)} }}}},"
            case "assign":
                name = self.dice.choice(["x", "x", "y", "y", *loops])
                return f"{{% assign {name} = {self.filtered(loops, kept=True)} %}}"
            case ("for" | "tablerow") as kind:
                name = self.dice.choice([f"i{depth}", f"i{depth}", f"i{depth}", "x", "rows"])
                option = self.dice.choice(["", "", "", " limit: 2", " offset: 1", " reversed", " limit: o.rows.size"])
                rest = f"{{% else %}}{self.nodes(depth + 1, loops)}" if kind == "for" else ""
                body = self.nodes(depth + 1, (*loops, name))
                return f"{{% {kind} {name} in {self.list_path(loops)}{option} %}}{body};{rest}{{% end{kind} %}}"
            case ("if" | "unless") as kind:
                ways = self.nodes(depth + 1, loops), self.nodes(depth + 1, loops)
                return f"{{% {kind} {self.condition(loops)} %}}{ways[0]}{{% else %}}{ways[1]}{{% end{kind} %}}"
            case "case":
                inner = self.nodes(depth + 1, loops)
                case, when = self.path(loops), self.path(loops)
                return f"{{% case {case} %}}{{% when {when}, 'x' %}}{inner}{{% else %}}-{{% endcase %}}"
            case ("capture" | "ifchanged") as kind:
                name = " z" if kind == "capture" else ""
                shown = "{{ z }}" if kind == "capture" else ""
                return f"{{% {kind}{name} %}}{self.nodes(depth + 1, loops)}{{% end{kind} %}}{shown}"
            case "cycle":
                return f"{{% cycle {self.path(loops)}, 'b' %}}"
            case _:
                kept, shown = self.filtered(loops, kept=True), self.filtered(loops)
                return f"{{% liquid\nassign y = {kept}\necho {shown}\n%}}"

    def body(self, depth: int = 0, loops: tuple[str, ...] = ()) -> Any:
        """A structured body."""
        kinds = ["leaf", "text", "for", "for", "for", "object", "if", "let"]
        match self.dice.choice(kinds if depth < 4 else ["leaf"]):
            case "leaf":
                return f"{{{{ {self.filtered(loops)} }}}}"
            case "text":
                return self.nodes(2, loops)
            case "object":
                return {"a": self.body(depth + 1, loops), "b": [self.body(depth + 1, loops)]}
            case "for":
                name = self.dice.choice([f"i{depth}", f"i{depth}", "x"])
                each = self.body(depth + 1, (*loops, name))
                otherwise = self.body(depth + 2, loops)
                return {"$for": f"{name} in {self.list_path(loops)}", "$each": each, "$else": otherwise}
            case "if":
                ways = self.body(depth + 1, loops), self.body(depth + 1, loops)
                return {"$if": self.condition(loops), "$then": ways[0], "$else": ways[1]}
            case _:
                named = {"x": f"{{{{ {self.filtered(loops, kept=True)} }}}}", "m": self.body(depth + 2, loops)}
                return {"$let": named, "$in": self.body(depth + 1, (*loops, *self.dice.choice([(), ("m",)])))}


def outcome(render: Callable[[], object]) -> object:
    """What is rendered, or why it is not."""
    try:
        return render()
    except TemplateError as error:
        return f"refused: {error}"


RENDERERS: list[tuple[Kind, Callable[[Any, dict[str, Any]], object]]] = [
    ("text", liquid.render_text),
    ("html", liquid.render_html),
    ("plain", liquid.render_plain),
]


def needs_only(kind: Kind, render: Callable[[Any, dict[str, Any]], object], source: Any, data: dict[str, Any]) -> bool:
    """Asserts that a template renders the same from what it is handed; tells whether that was less."""
    expected = outcome(partial(render, source, data))
    try:
        fields, items = handed([(source, kind)])
    except TemplateError:
        assert str(expected).startswith("refused")
        return False
    chosen = pick(data, fields, items)
    assert outcome(partial(render, source, chosen)) == expected, (source, data, items)
    return chosen != pick(data, fields)


@pytest.mark.parametrize(("kind", "render"), RENDERERS, ids=[kind for kind, _ in RENDERERS])
def test_any_template_needs_only_the_fields_of_items_that_it_names(
    kind: Kind, render: Callable[[Any, dict[str, Any]], object]
) -> None:
    less = 0
    for number in range(EXAMPLES):
        maker = Maker(number, markup=kind != "plain")
        less += needs_only(kind, render, maker.nodes(), maker.data())
    assert less > EXAMPLES // 10


def test_any_json_text_and_structure_need_only_the_fields_of_items_that_they_name() -> None:
    less = 0
    for number in range(EXAMPLES):
        maker = Maker(number, markup=False)
        source: Any = {"x": maker.body()} if number % 2 else f'{{"x": "{maker.nodes()}"}}'
        less += needs_only("json", liquid.render_json, source, maker.data())
    assert less > EXAMPLES // 10


def test_two_templates_are_handed_what_either_needs() -> None:
    for number in range(EXAMPLES // 2):
        maker = Maker(number)
        one, other, data = maker.nodes(), maker.nodes(), maker.data()
        chosen = pick(data, *handed([(one, "text"), (other, "html")]))
        assert outcome(partial(liquid.render_text, one, chosen)) == outcome(partial(liquid.render_text, one, data))
        assert outcome(partial(liquid.render_html, other, chosen)) == outcome(partial(liquid.render_html, other, data))
