# ruff: noqa: E501 - a case is a line
"""Conditions: what they mean, and that those of before mean what they meant."""

import datetime as dt
import json
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from scenario import liquid
from scenario.errors import Aborted, LimitExceeded, TemplateError
from scenario.liquid import evaluate_condition, render_json, render_text

MEANINGS: dict[str, Any] = json.loads((Path(__file__).parent / "meanings.json").read_text())
"""What conditions meant before they had `not`, parentheses and filters, worked out by the program of then: of three
sets of data, and of all values of up to four operands; T is true, F false, ! a mistake."""

DATA: dict[str, Any] = {
    "contact": {
        "language": "FR",
        "lists": [{"id": 1, "name": "Newsletter"}, {"id": 2, "name": "VIPs, old"}],
        "tags": ["a", "b"],
        "none": [],
        "custom": {"points": "120", "nothing": "", "word": "many"},
    },
    "order": {
        "price": 12,
        "limit": 5,
        "products": [{"category": "shoes", "price": 5}, {"category": "bags", "price": 15}],
    },
    "event": {"score": "10", "sku": "x..y", "tags": None},
    "limit": 5,
    "yes": True,
    "no": False,
}


def held(condition: str, data: dict[str, Any]) -> str:
    try:
        return "T" if evaluate_condition(condition, data) else "F"
    except TemplateError:
        return "!"


def test_what_is_published_keeps_its_meaning() -> None:
    written: dict[str, str] = MEANINGS["written"]
    assert {one: "".join(held(one, data) for data in MEANINGS["data"].values()) for one in written} == written
    logic: dict[str, str] = MEANINGS["logic"]
    for condition, results in logic.items():
        names = "abcd"[: len(condition.split()) // 2 + 1]
        values = product((False, True), repeat=len(names))
        assert "".join(held(condition, dict(zip(names, value, strict=True))) for value in values) == results, condition
    templates: dict[str, str] = MEANINGS["templates"]
    for template, results in templates.items():
        values = product((False, True), repeat=3)
        rendered = [render_text(template, dict(zip("abc", value, strict=True))) for value in values]
        assert " ".join(rendered) == results, template


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("not no", True),
        ("not missing", True),
        ("not not yes", True),
        ("not no and no", False),  # (not no) and no
        ("not yes or yes", True),  # (not yes) or yes
        ("not contact.language == 'FR'", False),  # not (… == …)
        ("not (yes and no)", True),
        ("not contact.tags contains 'z'", True),
        ("(yes or yes) and no", False),
        ("(no and yes) or yes", True),
        ("no and yes or yes", False),  # no and (yes or yes), as everywhere in Liquid
        ("(yes and no) == no", True),
        ("(contact.language) == 'FR'", True),
        ("(event.sku == 'x..y')", True),
        ("((1..3) contains 2) and (event.sku == 'x..y' or no)", True),
        ("contact.language | downcase == 'fr'", True),
        ("'fr' == contact.language | downcase", True),
        ("event.score | number >= 9", True),
        ("event.nothing | number >= 9", False),
        ("contact.custom.nothing | number >= 9", False),
        ("contact.custom.points | number > 100 and not no", True),
        ("order.price | minus: 3 > order.limit | times: 2", False),
        ("order.price > limit and limit < order.price", True),
        ("(order.price | minus: 3) | times: 2 == 18", True),
        ("(order.price | minus: 3 | times: 2) == 18", True),
        ("contact.lists | map: 'name' contains 'Newsletter'", True),
        ("contact.lists | has: 'name', 'VIPs, old'", True),
        ("contact.lists | has: 'name', 'VIPs'", False),
        ("order.products | has: 'category', 'bags' and no", False),
        ("order.products | where: 'category', 'bags' | map: 'price' contains 15", True),
        ("order.products | where: 'category', 'hats' | size > 0", False),
        ("order.products | find: 'category', 'hats'", False),
        ("order.products | map: 'price' | sum >= 20", True),
        ("order.products | sum: 'price' == 20", True),
        ("order.products | sort: 'price' | last == nil", False),
        ("contact.language | slice: 0, 1 == 'F' and contact.language | size == 2", True),
        ("event.tags | default: contact.tags | join: ', ' == 'a, b'", True),
    ],
)
def test_a_condition_is_what_an_author_expects(condition: str, holds: bool) -> None:
    assert evaluate_condition(condition, DATA) is holds
    assert render_text(f"{{% if {condition} %}}T{{% else %}}F{{% endif %}}", DATA) == "FT"[holds]
    assert render_text(f"{{% unless {condition} %}}T{{% endunless %}}", DATA) == ("" if holds else "T")
    assert render_json({"$if": condition, "$then": 1, "$else": 0}, DATA) == str(int(holds)).encode()


def test_what_is_missing_is_nothing_to_a_filter() -> None:
    assert not evaluate_condition("contact.missing | map: 'name' contains 'Newsletter'", DATA)
    assert not evaluate_condition("contact.missing | number >= 1 or not (contact.missing | number != 1)", DATA)
    with pytest.raises(TemplateError, match="there is no"):  # a webhook's template must spell it right
        render_json({"$if": "contact.missing | number >= 1", "$then": 1}, DATA)


def test_a_case_looks_at_what_filters_make() -> None:
    template = "{% case contact.language | downcase %}x{% when 'de', 'en' %}1{% when 'fr' %}2{% else %}3{% endcase %}"
    assert render_text(template, DATA) == "2"


def test_an_elsif_is_a_condition_too() -> None:
    template = "{% if no %}1{% elsif not (no or no) and event.score | number == 10 %}2{% else %}3{% endif %}"
    assert render_text(template, DATA) == "2"


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("contact.language = 'FR'", "'=' is written '==' here (line 1, column 18)"),
        ("contact.language == not blank", "write not (a == b), or a != b (line 1, column 21)"),
        ("(yes or no", "this parenthesis is not closed: add ')' (line 1, column 1)"),
        ("yes or no)", "this parenthesis has no opening one (line 1, column 10)"),
        ("(yes, no)", "expected ')', not ',' (line 1, column 5)"),
        ("()", "expected a value, not ')' (line 1, column 2)"),
        ("not", "a value is missing here (line 1, column 4)"),
        ("contact.tags | nope == 1", "there is no filter 'nope' (line 1, column 16)"),
        ("contact.tags | map == 1", "'map' takes 1 argument, not 0 (line 1, column 16)"),
        ("contact.lists | map 'name' contains 'x'", "a ':' is missing after the filter 'map' (line 1, column 21)"),
        ("contact.custom.word | number > 1", "'number' needs a text that is a number, such as '12.50' (line 1, column 23)"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_condition_has_a_sentence_and_a_place(condition: str, message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        evaluate_condition(condition, DATA)
    assert str(caught.value).endswith(message)


@pytest.mark.parametrize(
    "condition", ["not " * 101 + "a", "(" * 51 + "a" + ")" * 51, "a" + " == a" * 12_000, "a" + " and a" * 101]
)
def test_a_condition_is_bounded(condition: str) -> None:
    with pytest.raises(LimitExceeded):
        evaluate_condition(condition, DATA)


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
    assert evaluate_condition(condition, data) is holds


# ---- ``{% abort %}``: nothing is to be sent, whatever the template is for and wherever the tag stands


ABORTING: dict[str, Any] = {"items": [1, 2], "none": []}


RENDERERS: list[Callable[[str, dict[str, Any]], object]] = [
    liquid.render_text,
    liquid.render_html,
    liquid.render_line,
    liquid.render_json,
    liquid.render_plain,
    liquid.render_path,
    liquid.render_header,
    liquid.evaluate_value,
    lambda source, data: liquid.render_url(f"https://h.example.com/{source}", data),
    lambda source, data: liquid.render_json({"a": [{"$for": "i in items", "$each": source}]}, data),
    lambda source, data: liquid.render_json({source: 1}, data),
    lambda source, data: liquid.render_json({"$let": {"a": source}, "$in": 1}, data),
    lambda source, data: liquid.render_form({"a": source}, data),
]


@pytest.mark.parametrize("render", RENDERERS)
def test_it_ends_every_kind_of_template(render: Callable[[str, dict[str, Any]], object]) -> None:
    with pytest.raises(Aborted, match=r"^too little$"):
        render("a{% abort 'too little' %}", ABORTING)


@pytest.mark.parametrize(
    "source",
    [
        "{% if items %} {% abort 'r' %} {% endif %}", "{% for i in none %}{% else %}{% abort 'r' %}{% endfor %}",
        "{% case 1 %}{% when 1 %}{% abort 'r' %}{% endcase %}", "{% capture c %}{% abort 'r' %}{% endcapture %}",
        "{% liquid\nif items\nabort 'r'\nendif %}", '{%- abort "r" -%}', "{% abort ' r\n' %}",
    ],
)  # fmt: skip
def test_it_may_stand_anywhere(source: str) -> None:
    with pytest.raises(Aborted, match=r"^r$"):
        liquid.render_json(source, ABORTING)


def test_it_does_nothing_where_it_is_not_reached() -> None:
    assert liquid.render_text("a{% if none.size > 0 %}{% abort 'r' %}{% endif %}", ABORTING) == "a"


@pytest.mark.parametrize("source", ["{% abort %}", "{% abort '' %}", "{% abort ' ' %}"])
def test_there_is_always_a_reason(source: str) -> None:
    with pytest.raises(Aborted, match="the template says so"):
        liquid.render_text(source, ABORTING)


def test_a_reason_is_one_short_line() -> None:
    with pytest.raises(Aborted, match=r"^no phone number$"):
        liquid.render_text("{% abort 'no\n  phone number' %}", ABORTING)
    with pytest.raises(TemplateError, match=r"a reason has at most 200 characters \(line 1, column 10\)"):
        liquid.parse_text(f"{{% abort '{'x' * 201}' %}}")
