"""The table of names: ours exist in the models, the documentation has all, and the platform's work in templates too."""

from typing import Any

import pytest

from docs.variables import old_names, variables
from scenario import liquid
from scenario.check.variables import roots, tree_of
from scenario.entry.entry import clean, parse_entry
from scenario.entry.objects import Cart, Order, Product, Recommendation, Reward, RewardDefinition, Shape, Store
from scenario.entry.values import PlatformDates
from scenario.liquid.lint import lint
from scenario.liquid.shapes import Object
from splio.fields import LISTS, TABLES, CustomFieldNames, find_field, list_names


@pytest.mark.parametrize("table", TABLES)
def test_each_name_of_ours_is_a_field_of_a_model(table: str) -> None:
    root, _, inner = TABLES[table].path.partition(".")
    tree = roots(None).known[root] if root != "product" else tree_of(TABLES[table].model)
    for part in filter(None, inner.split(".")):
        assert isinstance(tree, Object)
        tree = tree.fields[part]
    assert tree == tree_of(TABLES[table].model)
    assert isinstance(tree, Object)
    known = TABLES[table]
    assert {*known.names} & {*known.model.second, *tree.fields} <= {*known.model.second}, "none hides a field of ours"
    for old, ours in list_names(table):
        found = find_field(table, old, CustomFieldNames())
        assert found is not None, old
        assert found.path == f"{TABLES[table].path}.{ours}"
        at = tree
        for part in ours.split("."):
            assert isinstance(at, Object)
            at = at.fields[part]


def test_loops_go_through_lists_of_products() -> None:
    for root in set(LISTS.values()):
        tree = roots(None).known[root]
        assert isinstance(tree, Object)
        assert "products" in tree.fields


def test_the_documentation_has_each_second_name() -> None:
    pages = "\n".join((*old_names(), *variables()))
    others = {other for table in TABLES.values() for other in table.model.second} - {"product_id"}
    assert [other for other in others if f"`{other}`" not in pages and f".{other}`" not in pages] == []


MODELS: list[type[Shape]] = [Cart, Order, Product, Recommendation, Reward, RewardDefinition, Store]


def test_a_second_name_is_a_field_like_the_first() -> None:
    for model in MODELS:
        tree = tree_of(model)
        assert model.second
        assert all(tree.fields[other] == tree.fields[name] for other, name in model.second.items())


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        ({"external_id": 10}, ("10", "10", "10")), ({"extid": "10"}, ("10", "10", "10")),
        ({"product_id": "10", "external_id": ""}, ("10", "10", "10")),
        ({"product_id": "1", "external_id": "2"}, ("2", "1", "2")), ({}, (None, None, None)),
    ],
)  # fmt: skip
def test_whichever_name_is_sent_either_can_be_used(sent: dict[str, Any], seen: tuple[str | None, ...]) -> None:
    product = Product.model_validate({**sent, "unit_price": 0, "price": "12", "img_url": "i"})
    assert (product.unit_price, product.price, product.image_url) == (0, 12, "i"), "nothing is a price"
    assert (product.external_id, product.product_id, product.extid) == seen


def test_templates_can_use_old_names() -> None:
    template = "{{ order.extid }}{% for p in order.products %} {{ p.extid }} {{ p.price }} {{ p.img_url }}{% endfor %}"
    assert lint(template, kind="html", schema=roots("order")) == []
    product = {"external_id": 7, "unit_price": "9.50", "image_url": "https://i.example/7"}
    trigger = {"type": "order", "order": {"external_id": "A1", "products": [product]}}
    entry = parse_entry({"scenario": "a", "contact": {"id": 1}, "trigger": trigger})
    assert liquid.render_text(template, clean(entry, PlatformDates())) == "A1 7 9.5 https://i.example/7"
