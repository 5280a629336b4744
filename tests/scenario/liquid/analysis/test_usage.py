# ruff: noqa: E501 - a case is a line
"""What is read of a list's items, for templates of the kinds that people write."""

from typing import Any

import pytest

from scenario.liquid import find_compared_values
from scenario.liquid.analysis import usage
from scenario.liquid.engine.environment import text_engine
from scenario.liquid.shapes import Kind
from scenario.plan.compile import handed

LINES = "order.products"
NAMED: list[tuple[Any, dict[str, tuple[str, ...]]]] = [
    ("{% for p in order.products %}{{ p.name }}{{ p.brand.label }}{{ forloop.length }}{% endfor %}", {LINES: ("brand.label", "name")}),
    ("{{ order.products.size }}{% if order.products != empty %}{% endif %}", {LINES: ()}),
    ("{{ order.products | size }}{% if order.products == nil or order.products %}{% endif %}", {LINES: ()}),
    ("{% for p in order.products limit: o.a offset: 1 reversed %}{{ p.name | upcase }}{% else %}-{% endfor %}", {LINES: ("name",)}),
    ("{% tablerow p in order.products cols: 2 %}{{ p.name }}{% endtablerow %}", {LINES: ("name",)}),
    ("{% assign l = order.products %}{% for p in l %}{{ p.name }}{% endfor %}", {LINES: ("name",)}),
    (
        "{% assign l = order.products | where: 'kept' | sort: 'price' | reverse | slice: 0, 3 | uniq: 'id' | compact %}"
        "{% for p in l %}{{ p.name }}{% endfor %}",
        {LINES: ("id", "kept", "name", "price")},
    ),
    ("{{ order.products | map: 'name' | uniq | join: ', ' }}", {LINES: ("name",)}),
    ("{{ order.products | sum: 'quantity' }}{{ order.products | has: 'a', b }}", {LINES: ("a", "quantity")}),
    ("{% assign p = order.products | find: 'sku', 'x' %}{{ p.name }}", {LINES: ("name", "sku")}),
    ("{% assign p = order.products.first %}{{ p.name }}{{ order.products[0].id }}{{ order.products[n].sku }}", {LINES: ("id", "name", "sku")}),
    ("{% assign a = order.products | concat: cart.lines %}{{ a[0].n }}", {LINES: ("n",), "cart.lines": ("n",)}),
    ("{% assign a = order.products | default: cart.lines %}{{ a[0].n }}", {LINES: ("n",), "cart.lines": ("n",)}),
    ("{% for p in order.products %}{% for o in p.options %}{{ o.name }}{% endfor %}{{ p.options.size }}{% endfor %}", {LINES: ("options[].name",)}),
    ("{% for p in order.products %}{{ p.options | size }}{% endfor %}", {LINES: ("options[]",)}),
    ("{% for p in order.products %}{% if p.options %}{{ p.options.first.a }}{% endif %}{% endfor %}", {LINES: ("options[].a",)}),
    ("{% for p in order.products %}{% if p.brand %}{{ p.brand.name }}{% endif %}{% endfor %}", {LINES: ("brand",)}),
    ("{% for p in order.products %}{% capture c %}{{ p.name }}{% endcapture %}{{ c }}{% endfor %}", {LINES: ("name",)}),
    ("{% for p in order.products %}{% assign b = p.brand %}{{ b.name }}{% endfor %}", {LINES: ("brand.name",)}),
    ("{% for p in order.products %}{% case p.kind %}{% when 'a' %}{{ p.a }}{% endcase %}{% endfor %}", {LINES: ("a", "kind")}),
    ("{% liquid\nfor p in order.products\necho p.name\nendfor %}", {LINES: ("name",)}),
    ("{% for p in order.products %}{{ p.name }}{% endfor %}{% for p in cart.lines %}{{ p.id }}{% endfor %}", {LINES: ("name",), "cart.lines": ("id",)}),
    ({"$for": "p in order.products", "$each": {"n": "{{ p.name }}", "$$k": "{{ p.id }}"}}, {LINES: ("id", "name")}),
    ({"$let": {"l": "{{ order.products | where: 'a' }}"}, "$in": {"$for": "p in l", "$each": {"$if": "p.b", "$then": "{{ p.c }}"}}}, {LINES: ("a", "b", "c")}),
    # What cannot be told goes along whole.
    ("{% for p in order.products %}{{ p }}{% endfor %}", {}),
    ("{% for p in order.products %}{{ p | json }}{{ p.name }}{% endfor %}", {}),
    ("{% for p in order.products %}{{ p[key] }}{% endfor %}", {}),
    ("{% for p in order.products %}{{ p.size }}{% endfor %}", {}),
    ("{% for p in order.products %}{% if p %}{{ p.name }}{% endif %}{% endfor %}", {}),
    ("{% for p in order.products %}{% if p == other %}{{ p.name }}{% endif %}{% endfor %}", {}),
    ("{% for p in order.products %}{{ p['a.b'] }}{% endfor %}", {}),
    ("{% for p in order.products %}{{ p[''] }}{% endfor %}", {}),
    ("{% assign l = order.products | sort: 'brand' %}{% for p in l %}{{ p.brand.name }}{% endfor %}", {LINES: ("brand",)}),
    ("{% for p in order.products %}{{ p.name }}{% endfor %}{{ order.products | sort | size }}", {}),
    ("{% for p in order.products %}{{ p.name }}{% endfor %}{{ order.products | where: key | size }}", {}),
    ("{% for p in order.products %}{{ p.name }}{% endfor %}{{ order.products | uniq | size }}", {}),
    ("{% for p in order.products %}{{ p.name }}{% endfor %}{{ order.products | property: 'a' }}", {}),
    ("{% for p in order.products %}{{ p.name }}{% endfor %}{{ order | json }}", {}),
    ("{{ order.products | map: 'options' | map: 'label' | join }}", {LINES: ("options",)}),
]  # fmt: skip


@pytest.mark.parametrize(("source", "items"), NAMED, ids=[str(source) for source, _ in NAMED])
def test_the_fields_of_items_that_a_template_reads(source: Any, items: dict[str, tuple[str, ...]]) -> None:
    kind: Kind = "html" if isinstance(source, str) else "json"
    assert handed([(source, kind)])[1] == items


def test_templates_of_one_step_add_up() -> None:
    one = ("{% for p in order.products %}{{ p.name }}{% endfor %}", "text")
    assert handed([one, ("{{ order.products[0].id }}", "line")])[1] == {LINES: ("id", "name")}
    assert handed([one, ("{{ order.products | json }}", "html")])[1] == {}
    assert handed([one, ("order.products[0].id == 3", "condition")])[1] == {LINES: ("id", "name")}
    assert handed([one], [("order", "products")])[1] == {}


def test_a_list_with_very_many_fields_goes_along_whole() -> None:
    names = "".join(f"{{{{ p.f{number:03} }}}}" for number in range(101))
    assert handed([(f"{{% for p in order.products %}}{names}{{% endfor %}}", "text")])[1] == {}


def test_a_variable_that_takes_ever_more_from_itself_comes_to_an_end() -> None:
    loop = (
        "{% assign x = l.first %}{% for i in (1..9) %}{% assign x = x.a %}{% assign x = x.b %}{% endfor %}{{ x.name }}"
    )
    # There, all of what it may be is handed over.
    assert handed([(loop, "text")])[1] == {"l": ("a", "b", "name")}
    many = "".join(f"{{% assign x = l[{number}] | default: l.a{number} %}}{{{{ x.name }}}}" for number in range(99))
    assert handed([(many, "text")])[1] == {}


def test_a_template_whose_names_take_too_long_to_settle_is_handed_all() -> None:
    chain = "".join(f"{{% assign v{number} = v{number + 1} %}}" for number in range(usage.MOST_PASSES + 1))
    source = f"{{% for p in l %}}{{{{ p.name }}}}{{% endfor %}}{chain}{{% assign v{usage.MOST_PASSES} = l %}}"
    assert handed([(source, "text")])[1] == {}


def test_the_filters_that_are_looked_through_are_there() -> None:
    known = usage.BY_FIELD | {"size", "first", "last", "slice", "reverse", "concat", "default"}
    assert known <= set(text_engine().filters)


# ---- which values a condition compares its data with


PLACES = ("order", "products")
FEW = {(*PLACES, "size"): [1, 2]}


@pytest.mark.parametrize(
    ("condition", "values"),
    [
        ("contact.language == 'fr'", {("contact", "language"): ["fr"]}),
        ("'fr' == contact.language or not contact.vip", {("contact", "language"): ["fr"], ("contact", "vip"): []}),
        ("order.total > 2", {("order", "total"): [1, 2, 3]}),
        ("contact.vip == true and contact.n == 1", {("contact", "vip"): [True], ("contact", "n"): [0, 1, 2]}),
        ("contact.email != blank", {("contact", "email"): [None]}),
        ("event.id == order.id", {("event", "id"): [], ("order", "id"): []}),
        ("order.products.first.category == 'a'", {**FEW, (*PLACES, "category"): ["a"]}),
        ("order.products[0].category == 'a'", {**FEW, (*PLACES, "category"): ["a"]}),
        ("order.products.size > 1", {(*PLACES, "size"): [0, 1, 2]}),
        ("order.products | size > 2", {(*PLACES, "size"): [1, 2, 3]}),
        ("order.products | map: 'sku' contains 'a'", {**FEW, (*PLACES, "sku"): ["a"]}),
        ("order.products | has: 'sku', 'a'", {**FEW, (*PLACES, "sku"): ["a"], PLACES: []}),
        ("a | where: 'b', 'c' | sum: 'n' == 5", {("a", "size"): [1, 2], ("a", "b"): ["c"], ("a", "n"): [4, 5, 6]}),
        ("(order.total | minus: 3) == 2", {("order", "total"): [4, "4", 5, "5", 6, "6"]}),
        ("event.score | number == 9", {("event", "score"): [8, "8", 9, "9", 10, "10"]}),
        ("event.sku | downcase | slice: 0, 2 == 'ab'", {("event", "sku"): ["abx", "ABX"]}),
        ("a | append: 'b' == 'ab' or c | prepend: 'b' == 'ba' or d | strip == 'x'", {
            ("a",): ["a"], ("c",): ["a"], ("d",): ["x", " x "],
        }),
        ("a | plus: 2 == 5 or b | divided_by: 2 == 5", {
            ("a",): [2, "2", 3, "3", 4, "4"], ("b",): [8, "8", 10, "10", 12, "12"],
        }),
        ("event[event.key].x == 'a'", {("event",): ["a"]}),
    ],
)  # fmt: skip
def test_the_values_of_a_condition_are_told_by_place(condition: str, values: dict[Any, Any]) -> None:
    assert {
        place: found for place, found in find_compared_values(condition).items() if found or place in values
    } == values


def test_so_are_those_of_a_value() -> None:
    assert find_compared_values("{{ event.lines.first.sku | upcase }}", ["A", 1]) == {
        ("event", "lines", "size"): [1, 2],
        ("event", "lines", "sku"): ["A", "a", 1],
    }
