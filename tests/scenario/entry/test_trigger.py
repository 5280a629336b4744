# ruff: noqa: E501 - templates are written whole
"""`trigger` is what admitted the contact, whatever was awaited since; what is below it is handed on once."""

from typing import Any

import pytest

from activities.evaluation import evaluate
from scenario import liquid
from scenario.entry.entry import clean, journey_root, parse_entry
from scenario.entry.objects import with_trigger
from scenario.entry.values import DEFAULT_PLATFORM
from scenario.liquid import Kind
from scenario.plan.compile import handed, pick
from scenario.steps.host import EvaluationRequest

DATA: dict[str, Any] = {
    "order": {"order": {"external_id": "X1"}},
    "ticket": {"ticket": {"external_id": "X1"}},
    "abandoned_cart": {"cart": {"external_id": "K1"}},
    "reward": {"reward": {"external_id": "R1"}},
    "event": {"event": {"name": "stock.watched", "time": "2026-03-01T10:00:00Z", "properties": {"sku": "a/b"}}},
}
LATER = {"name": "order.placed", "sku": "another", "properties": {"sku": "another"}}


def data_of(kind: str) -> dict[str, Any]:
    entry = {"scenario": "a", "contact": {"id": 7}, "trigger": {"type": kind, **DATA.get(kind, {})}}
    return clean(parse_entry(entry), DEFAULT_PLATFORM)


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("order", "trigger.order.external_id", "X1"),
        ("order", "trigger.ticket.external_id", "X1"),
        ("ticket", "trigger.order.external_id", "X1"),
        ("abandoned_cart", "trigger.cart.external_id", "K1"),
        ("reward", "trigger.reward.external_id", "R1"),
        ("event", "trigger.name", "stock.watched"),
        ("event", "trigger.time", "2026-03-01T10:00:00+00:00"),
        ("event", "trigger.properties.sku", "a/b"),
    ],
)
def test_it_is_the_triggers_in_messages_and_in_conditions_whatever_came_since(kind: str, path: str, value: str) -> None:
    data = {**data_of(kind), "event": LATER}
    source = f"{{{{ {path} }}}}"
    given = with_trigger(pick(data, *handed([(source, "text")])))
    assert liquid.render_text(source, given) == value
    assert evaluate(EvaluationRequest(text=f"{path} == '{value}'", data=data)).value is True
    assert evaluate(EvaluationRequest(text=source, data=data, kind="value")).value == value


@pytest.mark.parametrize(
    ("sources", "fields", "items"),
    [
        ([("{{ trigger.order.external_id }}{{ order.external_id }}", "text")], ("order.external_id",), {}),
        ([("{{ trigger.type }}{{ trigger.name }}", "text")], ("trigger.name", "trigger.type"), {}),
        ([("{{ trigger.properties.sku }}{{ event.sku }}", "text")], ("event.sku", "trigger.properties.sku"), {}),
        (
            [("{% for p in trigger.order.products %}{{ p.name }}{% endfor %}", "html"), ("{{ order.products[0].sku }}", "line")],
            ("order.products",),
            {"order.products": ("name", "sku")},
        ),
        ([("{% for p in trigger.properties.lines %}{{ p.name }}{% endfor %}", "text")], ("trigger.properties.lines",), {"trigger.properties.lines": ("name",)}),
        ([("{% assign t = trigger %}{{ t.order.products[0].name }}", "text")], ("cart", "order", "reward", "ticket", "trigger"), {}),
    ],
)  # fmt: skip
def test_only_what_is_named_is_handed_over_and_nothing_twice(
    sources: list[tuple[Any, Kind]], fields: tuple[str, ...], items: dict[str, tuple[str, ...]]
) -> None:
    assert handed(sources) == (fields, items)


@pytest.mark.parametrize(
    ("workflow", "key"), [("a/7", None), ("a/7/CGX0094", "CGX0094"), ("a/7%2F8/one/two", "one/two"), (None, None)]
)
def test_a_journeys_key_is_the_last_part_of_its_id(workflow: str | None, key: str | None) -> None:
    assert journey_root(workflow, "a", 1, None)["key"] == key
