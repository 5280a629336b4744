# ruff: noqa: E501 - a case is a line
"""What the rest of the project relies on: each sink's function, its escaping, and its errors."""

import datetime as dt
import json
from decimal import Decimal
from typing import Any

import pytest

from scenario import liquid
from scenario.errors import Aborted, TemplateError

DATA: dict[str, Any] = {
    "contact": {"id": 3028687, "firstname": 'Ann "Bo"', "cellphone": None, "custom": {"vip": True}, "language": "fr"},
    "order": {
        "external_id": "CGX\\0094",
        "total_price": 66.25,
        "store": None,
        "products": [
            {"name": 'Vernis "Rouge 7"', "quantity": 2, "unit_price": Decimal("10.25")},
            {"name": "Eau de toilette\t50 ml", "quantity": 1, "unit_price": Decimal("40.85")},
        ],
    },
    "now": "2026-07-16T10:00:00+02:00",
    "today": "2026-07-16",
}

ORDER_BODY = """\
{"phone_number": "{{ contact.cellphone }}",
 "order": "{{ order.external_id }}",
 "lines": [{% for p in order.products %}
   {"name": "{{ p.name }}", "quantity": {{ p.quantity }}}{% unless forloop.last %},{% endunless %}
 {% endfor %}]}
"""


def test_a_json_text_escapes_each_value_by_where_it_stands() -> None:
    assert json.loads(liquid.render_json(ORDER_BODY, DATA)) == {
        "phone_number": "",
        "order": "CGX\\0094",
        "lines": [
            {"name": 'Vernis "Rouge 7"', "quantity": 2},
            {"name": "Eau de toilette\t50 ml", "quantity": 1},
        ],
    }


def test_a_structured_body_keeps_the_types_of_single_outputs() -> None:
    body = {
        "total": "{{ order.total_price }}",
        "greeting": "Dear {{ contact.firstname }}",
        "vip": "{{ contact.custom.vip }}",
        "store": {"$if": "order.store", "$then": "{{ order.store.name }}"},
        "lines": {"$for": "p in order.products", "$each": {"n": "{{ forloop.index }}", "name": "{{ p.name }}"}},
        "constant": [1, None, "a"],
    }
    assert liquid.render_json(body, DATA) == (
        b'{"total":66.25,"greeting":"Dear Ann \\"Bo\\"","vip":true,"lines":[{"n":1,"name":"Vernis \\"Rouge 7\\""},'
        b'{"n":2,"name":"Eau de toilette\\t50 ml"}],"constant":[1,null,"a"]}'
    )


@pytest.mark.parametrize(
    ("rendered", "expected"),
    [
        (liquid.render_text("Merci {{ contact.firstname }}{{ contact.nope }}", DATA), 'Merci Ann "Bo"'),
        (liquid.render_html("<b>{{ contact.firstname }}</b>", DATA), "<b>Ann &#34;Bo&#34;</b>"),
        (liquid.render_line("A\r\nBcc: x {{ contact.firstname }}\n", DATA), 'A Bcc: x Ann "Bo"'),
        (liquid.render_url("https://h.example.com:8443/c/{{ contact.firstname }}?o={{ order.external_id }}", DATA), "https://h.example.com:8443/c/Ann%20%22Bo%22?o=CGX%5C0094"),
        (liquid.render_path("contacts/{{ contact.id }}", DATA), "/contacts/3028687"),
        (liquid.render_header("Bearer {{ contact.id }}", DATA), "Bearer 3028687"),
        (liquid.render_form({"a": "{{ contact.firstname }}", "b": [1, True, None]}, DATA), b"a=Ann+%22Bo%22&b=1&b=true&b="),
    ],
)  # fmt: skip
def test_each_sink_writes_values_its_own_way(rendered: object, expected: object) -> None:
    assert rendered == expected


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("order.total_price > 20 and contact.cellphone != blank", False),
        ("order.total_price > 20 and contact.cellphone == blank", True),
        ("contact.nope == nil", True),
        ("order.products contains 'x'", False),
        ("order.external_id contains '0094'", True),
    ],
)
def test_conditions_hold_or_not(condition: str, holds: bool) -> None:
    assert liquid.evaluate_condition(condition, DATA) is holds


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("{{ order.total_price }}", 66.25),
        ("{{ order.store }}", None),
        ("{{ contact.nope }}", None),
        ("{{ contact.custom }}", {"vip": True}),
        ("nr {{ contact.id }}", "nr 3028687"),
        ("plain", "plain"),
    ],
)
def test_a_value_keeps_its_type_where_it_stands_alone(source: str, value: object) -> None:
    assert liquid.evaluate_value(source, DATA) == value


@pytest.mark.parametrize(
    ("source", "kind", "paths"),
    [
        ("Hi {{ contact.firstname }}", "text", {("contact", "firstname")}),
        (ORDER_BODY, "json", {("contact", "cellphone"), ("order", "external_id"), ("order", "products")}),
        ("{{ contact[order.key] }}", "text", {("contact",), ("order", "key")}),
        ("{% assign c = contact.city %}{{ c.name }}", "text", {("contact", "city")}),
        ("order.total_price > 20 and event.name == 'x'", "condition", {("order", "total_price"), ("event", "name")}),
        ({"a": "{{ order.id }}", "b": {"$for": "p in cart.products", "$each": "{{ p.id }}"}}, "json", {("order", "id"), ("cart", "products")}),
    ],
)  # fmt: skip
def test_the_fields_that_a_template_may_read_are_found(source: Any, kind: Any, paths: set[tuple[str, ...]]) -> None:
    assert liquid.find_fields(source, kind=kind) == paths


def test_a_plain_body_is_its_text_in_utf_8_and_strict() -> None:
    assert liquid.render_plain("{{ contact.firstname }} é\r\n", DATA) == 'Ann "Bo" é\r\n'.encode()
    with pytest.raises(TemplateError, match="there is no 'contact"):
        liquid.render_plain("{{ contact.nope }}", DATA)
    with pytest.raises(TemplateError, match="larger than 256 KB"):
        liquid.render_plain("{% for i in (1..999) %}{{ x }}{% endfor %}", {"x": "a" * 300})


def test_an_abort_says_why() -> None:
    with pytest.raises(Aborted, match="no phone"):
        liquid.render_json("{% if contact.cellphone == blank %}{% abort 'no phone' %}{% endif %}{}", DATA)


def test_a_misspelt_field_is_a_mistake_in_a_webhook_and_nothing_in_a_text() -> None:
    with pytest.raises(TemplateError) as caught:
        liquid.render_json('{\n "a": "{{ contact.fristname }}"}', DATA)
    assert str(caught.value) == "there is no 'contact.fristname' (line 2, column 11)"
    assert caught.value.offset == 12
    assert liquid.render_text("{{ contact.fristname }}", DATA) == ""


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("a < b", True),  # 10:00+02:00 is 08:00 in UTC
        ("b > a", True), ("a <= a", True), ("a < c", False), ("d < a", True), ("a < 'x'", True), ("e < f", True),
        ("e > '2026'", True), ("a == '2026-07-16T08:00:00Z'", True), ("a != '2026-07-16T08:00:00Z'", False),
        ("a == '2026-07-16T10:00:00Z'", False), ("e == f", False), ("e == e", True), ("d == '2026-07-16'", True),
        ("now == a and now <= b and now == now", True), ("now > today and today == d", True),
        ("today < '2026-07-17' and today >= '2026-07-16'", True),
    ],
)  # fmt: skip
def test_times_are_compared_as_times(condition: str, holds: bool) -> None:
    data = {
        "a": "2026-07-16T10:00:00+02:00",
        "b": "2026-07-16T09:30:00Z",
        "c": "2026-07-16 07:59",
        "d": "2026-07-16",
        "e": "2026-13-45T99:99 no time",
        "f": "2026-13-45T99:99 not a time",
        "now": dt.datetime(2026, 7, 16, 8, tzinfo=dt.UTC),
        "today": dt.date(2026, 7, 16),
    }
    assert liquid.evaluate_condition(condition, data) is holds
