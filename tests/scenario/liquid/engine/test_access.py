# ruff: noqa: E501 - a case is a line
"""Reading data: what is missing, what is open, and what a step is handed."""

import re
from typing import Any

import pytest

from scenario.errors import TemplateError
from scenario.liquid import evaluate_value, find_fields, render_json, render_text
from scenario.liquid.engine.access import Open

DATA: dict[str, Any] = {
    "contact": {"firstname": "Zoé", "custom": {"a": {"b": 1}, "list": [{"x": 1}, {}]}, "nick": None},
    "event": {"name": "x", "properties": {"items": [{"label": "a"}]}},
    "responses": {"hook": {"id": 7}},
    "open": Open({"a": {"b": 1}}),
    "key": "firstname",
    "list": [{"size": 3}, 2],
}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("contact.firstname", "Zoé"), ("contact['firstname']", "Zoé"), ("contact[key]", "Zoé"),
        ("contact.nick.name.first", None), ("contact.custom.a.b", 1), ("contact.custom.nope", None),
        ("contact.custom.a.nope.deeper", None), ("contact.custom.list[1].x", None),
        ("contact.custom.list.last.x", None), ("event.order_id", None), ("event.properties.items[0].colour", None),
        ("responses.other.id", None), ("responses.hook.id", 7), ("open.x.y", None), ("open.a.x", None),
        ("contact.firstname.size", 3), ("list.size", 2), ("list.first.size", 3), ("list[-1]", 2),
    ],
)  # fmt: skip
def test_a_path_leads_to(path: str, value: Any) -> None:
    assert render_json({"v": f"{{{{ {path} }}}}"}, DATA) == render_json({"v": value}, {})
    assert render_json(f"{{{{ {path} }}}}", DATA) == render_json("{{ v }}", {"v": value})


def test_a_loops_fields_are_those_of_the_innermost_loop_or_of_data_of_that_name() -> None:
    source = "{{ forloop.last }}{% for i in (1..2) %}{{ forloop.index }}{{ forloop.last }},{% endfor %}"
    assert render_text(source, {}) == "1false,2true,"
    assert render_text("{{ forloop.last }}{{ forloop.index }}", {"forloop": {"last": 7}}) == "7"
    with pytest.raises(TemplateError, match=re.escape("there is no 'forloop.last'")):
        render_json("{{ forloop.last }}", {})


@pytest.mark.parametrize(
    "way",
    [
        "contact.custom | property: 'a'",
        "event.properties.items | first",
        "event.properties.items | where: 'label' | last",
    ],
)
def test_what_a_filter_takes_from_below_an_open_name_is_open(way: str) -> None:
    assert render_json(f"{{% assign x = {way} %}}{{{{ x.nope.deeper }}}}", DATA) == b"null"


def test_what_is_looped_over_below_an_open_name_is_open() -> None:
    body = "[{% for i in contact.custom.list %}{{ i.x }}{{ ',' }}{% endfor %}]".replace("{{ ',' }}", ",")
    assert render_json(body, DATA) == b"[1,null ]"


@pytest.mark.parametrize(
    "path", ["nope", "contact.nope", "contact.firstname.nope", "list.nope", "list[9]", "list.last.x", "contact[list]"]
)
def test_what_is_missing_elsewhere_is_a_mistake_in_a_webhook_and_nothing_in_a_text(path: str) -> None:
    with pytest.raises(TemplateError, match="there is no '"):
        render_json(f"{{{{ {path} }}}}", DATA)
    assert render_text(f"[{{{{ {path} }}}}]", DATA) == "[]"


def test_a_message_about_a_missing_field_quotes_the_template_and_no_data() -> None:
    with pytest.raises(TemplateError) as caught:
        render_json("{{ contact[key2] }}{{ contact[secret] }}", {"contact": {}, "key2": "s3cr3t", "secret": "s3cr3t"})
    assert str(caught.value) == "there is no 'contact[key2]' (line 1, column 4)"


def test_tests_and_defaults_may_ask_for_what_is_missing() -> None:
    source = "[{% if nope %}1{% else %}2{% endif %}, {{ nope | default: 3 }}, {% if nope == blank %}4{% endif %}]"
    assert render_json(source, DATA) == b"[2, 3, 4]"


@pytest.mark.parametrize(
    "use",
    [
        "{{ x | upcase }}", "{{ x | date: '%Y' }}", "{{ 'a' | append: x }}", "{{ x | json }}",
        "{% for i in x %}{% endfor %}", "{% for i in (1..2) limit: x %}{% endfor %}",
        "{% for i in (1..2) offset: x %}{% endfor %}", "{{ x | size }}", "{% assign y = x %}{{ y }}",
    ],
)  # fmt: skip
def test_a_missing_variable_is_a_mistake_whatever_is_done_with_it(use: str) -> None:
    with pytest.raises(TemplateError, match="there is no 'x'"):
        render_json(f'"{use}"', {})


def test_a_value_comes_out_as_plain_data() -> None:
    def kind(source: str) -> str:
        return type(evaluate_value(source, DATA)).__name__

    assert kind("{{ contact.custom }}") == "dict"
    assert kind("{{ contact.custom.list }}") == "list"
    assert evaluate_value("{{ contact.custom }}", DATA) == DATA["contact"]["custom"]
    assert evaluate_value("{{ contact.nick }}", DATA) is evaluate_value("{{ contact.nope }}", DATA) is None
    assert evaluate_value("nr {{ responses.hook.id }}", DATA) == "nr 7"


@pytest.mark.parametrize(
    ("source", "paths"),
    [
        ("{{ contact.a.b }}{{ contact.a }}", {("contact", "a", "b"), ("contact", "a")}),
        ("{{ order.products.first.name }}{{ order.products[0].id }}", {("order", "products")}),
        ("{% for p in order.products %}{{ p.name }}{{ forloop.index }}{% endfor %}{{ p.x }}", {("order", "products"), ("p", "x")}),
        ("{% if a.b %}{% assign c = 1 %}{% endif %}{{ c.d }}", {("a", "b"), ("c", "d")}),
        ("{% assign c = 1 %}{% if a.b %}{{ c.d }}{% endif %}", {("a", "b")}),
        ("{% capture c %}{{ a.x }}{% endcapture %}{{ c.d }}", {("a", "x")}),
        ("{% assign a = a.b %}{{ a.c }}", {("a", "b")}),
        ("{% for i in l limit: n.m %}{% assign c = i %}{% else %}{{ e.f }}{% endfor %}{{ c }}", {("l",), ("n", "m"), ("e", "f"), ("c",)}),
        ("{% case a.b %}{% when c.d, e %}{{ f }}{% else %}{{ g }}{% endcase %}", {("a", "b"), ("c", "d"), ("e",), ("f",), ("g",)}),
        ("{{ a.b | append: c.d | default: e.f }}", {("a", "b"), ("c", "d"), ("e", "f")}),
        ("{{ a | date: '%Y' }}", {("a",), ("now",), ("today",), ("journey", "timezone")}),
        ("{% liquid\nassign c = a.b\necho c.d\nif e.f\necho g\nendif %}", {("a", "b"), ("e", "f"), ("g",)}),
        ("{% cycle a.b, 'x' %}{% increment n %}{{ n }}", {("a", "b"), ("n",)}),
        ("{% tablerow i in a.b cols: c.d %}{{ i.x }}{% endtablerow %}", {("a", "b"), ("c", "d")}),
        ("{% unless a.b == c['d e'] %}{{ f[g.h].i }}{% endunless %}", {("a", "b"), ("c", "d e"), ("f",), ("g", "h")}),
        ("{% for i in (a.b..c.d) %}{{ i }}{% endfor %}", {("a", "b"), ("c", "d")}),
        ("{% comment %}{{ a }}{% endcomment %}{% raw %}{{ b }}{% endraw %}plain", set[Any]()),
    ],
)  # fmt: skip
def test_the_data_that_a_template_may_read(source: str, paths: set[tuple[str, ...]]) -> None:
    assert find_fields(source) == paths


def test_the_data_that_conditions_and_bodies_may_read() -> None:
    condition = "order.total_price > 20 and event.name == 'x'"
    assert find_fields(condition, kind="condition") == {("order", "total_price"), ("event", "name")}
    body = {"a": "{{ order.id }}", "b": {"$for": "p in cart.products", "$each": "{{ p.id }}"}}
    assert find_fields(body, kind="json") == {("order", "id"), ("cart", "products")}
