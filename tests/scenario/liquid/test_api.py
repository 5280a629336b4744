# ruff: noqa: E501 - a case is a line
"""What the rest of the project relies on: each sink's function, its escaping, and its errors."""

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest

from scenario import liquid
from scenario.errors import TemplateError

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


def test_the_fields_that_conditions_and_bodies_may_read_are_found() -> None:
    condition = "order.total_price > 20 and event.name == 'x'"
    assert liquid.find_fields(condition, kind="condition") == {("order", "total_price"), ("event", "name")}
    body = {"a": "{{ order.id }}", "b": {"$for": "p in cart.products", "$each": "{{ p.id }}"}}
    assert liquid.find_fields(body, kind="json") == {("order", "id"), ("cart", "products")}


def test_a_plain_body_is_its_text_in_utf_8_and_strict() -> None:
    assert liquid.render_plain("{{ contact.firstname }} é\r\n", DATA) == 'Ann "Bo" é\r\n'.encode()
    with pytest.raises(TemplateError, match="there is no 'contact"):
        liquid.render_plain("{{ contact.nope }}", DATA)
    with pytest.raises(TemplateError, match="larger than 256 KB"):
        liquid.render_plain("{% for i in (1..999) %}{{ x }}{% endfor %}", {"x": "a" * 300})


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
