"""The platform's old names of fields work in templates, too."""

from typing import Any
from zoneinfo import ZoneInfo

import pytest

from scenario import liquid
from scenario.check.variables import roots, tree_of
from scenario.entry.entry import clean, parse_entry
from scenario.entry.objects import Cart, Order, Product, Recommendation, Reward, RewardDefinition, Shape, Store
from scenario.liquid.lint import lint

MODELS: list[type[Shape]] = [Cart, Order, Product, Recommendation, Reward, RewardDefinition, Store]


@pytest.mark.parametrize("model", MODELS)
def test_a_second_name_is_a_field_like_the_first(model: type[Shape]) -> None:
    tree = tree_of(model)
    assert model.second
    for other, name in model.second.items():
        assert tree.fields[other] == tree.fields[name]


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        ({"external_id": 10}, ("10", "10", "10")), ({"extid": "10"}, ("10", "10", "10")),
        ({"product_id": "10", "external_id": ""}, ("10", "10", "10")),
        ({"product_id": "1", "external_id": "2"}, ("2", "1", "2")), ({}, (None, None, None)),
    ],
)  # fmt: skip
def test_whichever_name_is_sent_either_can_be_used(sent: dict[str, Any], seen: tuple[str | None, ...]) -> None:
    product = Product.model_validate(sent)
    assert (product.external_id, product.product_id, product.extid) == seen


def test_a_price_of_nothing_is_a_price() -> None:
    product = Product.model_validate({"unit_price": 0, "price": "12", "img_url": "i"})
    assert (product.unit_price, product.price, product.image_url) == (0, 12, "i")


def test_templates_can_use_old_names() -> None:
    template = "{{ order.extid }}{% for p in order.products %} {{ p.extid }} {{ p.price }} {{ p.img_url }}{% endfor %}"
    assert lint(template, kind="html", schema=roots("order")) == []
    product = {"external_id": 7, "unit_price": "9.50", "image_url": "https://i.example/7"}
    order = {"external_id": "A1", "products": [product]}
    trigger = {"type": "order", "order": order}
    entry = parse_entry({"scenario": "a", "contact": {"id": 1}, "trigger": trigger})
    data = clean(entry, ZoneInfo("UTC"))
    assert liquid.render_text(template, data) == "A1 7 9.5 https://i.example/7"
