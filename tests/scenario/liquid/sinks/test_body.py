# ruff: noqa: E501 - a case is a line
"""Structured bodies: types, forms, and where their mistakes are."""

import json
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from scenario.errors import Aborted, LimitExceeded, TemplateError
from scenario.liquid import render_form, render_json, render_plain
from scenario.liquid.sinks.body import compile_body
from scenario.plan.compile import handed, pick

DATA: dict[str, Any] = {
    "items": [{"n": "a", "keep": True}, {"n": 'b"', "keep": False}, {"n": "c", "keep": True}],
    "none": [],
    "total": 66.25,
    "text": "t",
    "nothing": None,
    "flag": True,
    "object": {"k": [1, {"x": None}]},
    "price": Decimal("10.10"),
    "day": date(2026, 7, 16),
    "custom": {"a": {"b": 1}},
    "half": "\ud83d",
}


MEANINGS: list[tuple[Any, Any]] = [
    ({"a": "{{ total }}"}, {"a": 66.25}),
    ({"a": " {{ total }}"}, {"a": " 66.25"}),
    ({"a": "{{ nothing }}", "b": "x{{ nothing }}"}, {"a": None, "b": "x"}),
    ({"a": "{{ object }}", "b": "{{ items }}"}, {"a": DATA["object"], "b": DATA["items"]}),
    ({"a": "{{ price }}", "b": "{{ day }}", "c": "{{ flag }}"}, {"a": 10.1, "b": "2026-07-16", "c": True}),
    ({"a": "{{ total | round | plus: 1 }}"}, {"a": 67}),
    ({"a": "{{ items | map: 'n' }}"}, {"a": ["a", 'b"', "c"]}),
    ({"a": "{{ object | json }}", "b": "x {{ object | json }}"}, {"a": DATA["object"], "b": 'x {"k":[1,{"x":null}]}'}),
    ({"a": "{% if flag %}{{ total }}{% endif %}"}, {"a": "66.25"}),
    ({"a": 'plain " text'}, {"a": 'plain " text'}),
    ({"a{{ text }}": 1, "b": {"{{ text }}": {}}}, {"at": 1, "b": {"t": {}}}),
    ({"$$for": 1, "$$x": "{{ text }}"}, {"$for": 1, "$x": "t"}),
    ([1, "{{ text }}", [], {}], [1, "t", [], {}]),
    ({"$for": "i in items", "$each": "{{ i.n }}"}, ["a", 'b"', "c"]),
    ({"$for": "i in items reversed limit: 2 offset: 1", "$each": "{{ forloop.index0 }}{{ i.n }}"}, ["0c", '1b"']),
    ({"$for": "i in items limit: 0", "$each": 1, "$else": "none"}, "none"),
    ({"$for": "i in none", "$each": 1}, []),
    ({"$for": "i in nothing", "$each": 1, "$else": []}, []),
    ({"a": {"$for": "i in items", "$each": {"$if": "i.keep", "$then": "{{ i.n }}"}}}, {"a": ["a", "c"]}),
    ({"a": {"$if": "total > 100", "$then": 1}, "b": 2}, {"b": 2}),
    ({"a": {"$if": "total > 100", "$then": 1, "$else": {"$if": "flag", "$then": 3}}}, {"a": 3}),
    ([1, {"$if": "nothing", "$then": 2}, 3], [1, 3]),
    ({"$if": False, "$then": 1}, None),
    ({"$let": {"n": "{{ items | size }}", "m": "{{ n | times: 2 }}"}, "$in": {"a": "{{ n }}", "b": "{{ m }}"}}, {"a": 3, "b": 6}),
    ({"$let": {"o": {"x": ["{{ text }}"]}}, "$in": "{{ o.x[0] }}"}, "t"),
    ({"$let": {"o": {"$if": "nothing", "$then": 1}}, "$in": ["{{ o }}"]}, [None]),
    ({"$for": "i in items", "$each": {"$for": "j in (1..2)", "$each": "{{ forloop.parentloop.index }}{{ i.n }}{{ j }}"}}, [["1a1", "1a2"], ['2b"1', '2b"2'], ["3c1", "3c2"]]),
    ({"a": "{{ custom.a.b }} {{ custom.x.y.z }}"}, {"a": "1 "}),
    ({1: "{{ text }}"}, {"1": "t"}),
    ({"day": date(2026, 1, 2)}, {"day": "2026-01-02"}),
]  # fmt: skip


@pytest.mark.parametrize(("body", "means"), MEANINGS)
def test_a_structure_means(body: Any, means: Any) -> None:
    assert json.loads(render_json(body, DATA)) == means
    assert render_json(body, pick(DATA, *handed([(body, "json")]))) == render_json(body, DATA)


def test_the_result_is_compact_and_in_utf_8() -> None:
    assert render_json({"é": ["{{ text }}é", None]}, DATA) == '{"é":["té",null]}'.encode()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"a": {"b": ["x {{ missing }}"]}}, "a.b[0]: there is no 'missing' (line 1, column 6)"),
        ({"a": "x\n{{ text | nope }}"}, "a: there is no filter 'nope' (line 2, column 11)"),
        ({"a": {"$for": "i in", "$each": 1}}, "a.$for: a value is missing here (line 1, column 5)"),
        ({"a": {"$for": "i in missing", "$each": 1}}, "a.$for: there is no 'missing' (line 1, column 6)"),
        ({"a": {"$if": "total > 'x'", "$then": 1}}, "a.$if: a text and a number cannot be compared: write 'x' | number (line 1, column 7)"),
        ({"a": {"$for": "i in items"}}, "a: '$for' is a mapping of $each and $for alone, with $else if needed"),
        ({"a": {"$let": {}, "$in": 1, "$else": 1}}, "a: '$let' is a mapping of $in and $let alone"),
        ({"a": {"$let": [], "$in": 1}}, "a: '$let' is a mapping of names"),
        ({"$fro": 1}, "$fro: there is no such form: use $for, $if or $let, or write the key with '$$'"),
        ({True: 1}, "a key that is not text must be written in quotes"),
        ({"a": float("nan")}, "a: JSON has no infinite numbers and no NaN"),
        ({"a": "{{ flag | divided_by: 0 }}"}, "a: 'divided_by' cannot divide by zero (line 1, column 11)"),
        ({"at": 1, "a{{ text }}": 2}, "a{{ text }}: two keys of the same mapping are equal (line 1, column 1)"),
        ({"a{{ text }}": 1, "at": 2}, "a{{ text }}: two keys of the same mapping are equal (line 1, column 1)"),
        ({"\ufffd": 1, "{{ half }}": 2}, "{{ half }}: two keys of the same mapping are equal (line 1, column 1)"),
        ({"a": {1: 1, "1": 2}}, "a: two keys of the same mapping are equal"),
        ({"a": 10**301}, "a: a number has more than 300 digits"),
        ({"a": {"b": ["x" * 600_000, "y" * 600_000]}}, "a.b: the template writes more than 1,000,000 characters"),
        ({"$if": "missing contains 1 or total contains 1", "$then": 1}, "$if: 'contains' searches a text or a list, not a number (line 1, column 29)"),
        ({"a": {"$if": "{{ flag }}", "$then": 1}}, "a.$if: '$if' is written without braces (line 1, column 1)"),
        ({"a": {"$for": " {{ items }}", "$each": 1}}, "a.$for: '$for' is written without braces (line 1, column 1)"),
        ({"a": "{{ '1e300' | times: '1e300' }}"}, "a: JSON has no infinite numbers and no NaN (line 1, column 1)"),
        ({"a": "{% break %}"}, "a: 'break' is outside of a loop (line 1, column 4)"),
        ({"a": {1, 2}}, "a: JSON cannot hold a value of type set"),
        ({"a": object()}, "a body consists of mappings, lists, texts and numbers, not of object"),
        ({"a": "{{ forloop }}"}, "a: there is no 'forloop' (line 1, column 4)"),
        ({"$for": "i in items", "$each": "{{ forloop }}"}, "$each: JSON cannot hold a loop's state: use one of its fields, such as forloop.index (line 1, column 1)"),
    ],
)  # fmt: skip
def test_a_mistake_says_where_in_the_body_it_is(body: Any, message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        render_json(body, DATA)
    assert str(caught.value) == message


def test_a_body_that_cannot_be_compiled_is_refused_without_data() -> None:
    with pytest.raises(TemplateError):
        compile_body({"a": ["{{ x | }}"]})
    compile_body({"a": ["{{ x }}"]})


def test_a_body_may_not_be_nested_without_end() -> None:
    body: Any = 1
    for _ in range(70):
        body = [body]
    with pytest.raises(LimitExceeded, match="nested 64 levels deep"):
        render_json(body, DATA)
    loop: Any = 1
    for level in range(40):
        loop = {"$for": f"i{level} in (1..1)", "$each": loop}
    with pytest.raises(LimitExceeded, match="blocks are nested more than 30 levels deep"):
        render_json(loop, DATA)


def test_a_leaf_may_call_everything_off() -> None:
    with pytest.raises(Aborted, match="too little"):
        render_json({"a": "{% if total < 100 %}{% abort 'too little' %}{% endif %}"}, DATA)


def test_a_template_is_compiled_by_content_not_by_object() -> None:
    body = {"a": "{{ text }}"}
    assert render_json(body, DATA) == b'{"a":"t"}'
    body["a"] = "{{ total }}"
    assert render_json(body, DATA) == b'{"a":66.25}'


@pytest.mark.parametrize(
    ("body", "form"),
    [
        ({"a": "{{ text }}&=", "b": ["{{ total }}", True, None], "c": {"$if": "nothing", "$then": 1}}, b"a=t%26%3D&b=66.25&b=true&b="),
        ({"{{ text }} x": "é"}, b"t+x=%C3%A9"),
        ({"payload": "{{ object.k | json | string }}"}, b"payload=%5B1%2C%7B%22x%22%3Anull%7D%5D"),
        ({"a": "{{ items | map: 'n' }}", "none": "{{ none }}"}, b"a=a&a=b%22&a=c"),
        ({"a": "x\r\n\x00&={{ half }}"}, b"a=x%0D%0A%00%26%3D%EF%BF%BD"),
        ({}, b""),
    ],
)  # fmt: skip
def test_a_form_is_written_as_browsers_do(body: dict[str, Any], form: bytes) -> None:
    assert render_form(body, DATA) == form


@pytest.mark.parametrize("body", [{"a": {"b": 1}}, {"a": [[1]]}, {"a": "{{ object }}"}])
def test_a_form_has_no_levels(body: dict[str, Any]) -> None:
    with pytest.raises(TemplateError, match="a form's value is a text"):
        render_form(body, DATA)


def test_a_form_is_a_mapping_and_bounded() -> None:
    with pytest.raises(TemplateError, match="a form is a mapping"):
        render_form({"$for": "i in items", "$each": 1}, DATA)
    with pytest.raises(LimitExceeded):
        render_form({"a": ["{{ long }}"] * 3}, {"long": "é" * 20_000})


def test_a_plain_body_is_its_text_in_utf_8_and_strict() -> None:
    assert render_plain("{{ text }} é\r\n", DATA) == "t é\r\n".encode()
    with pytest.raises(TemplateError, match=r"there is no 'object\.nope"):
        render_plain("{{ object.nope }}", DATA)
    with pytest.raises(TemplateError, match="larger than 256 KB"):
        render_plain("{% for i in (1..999) %}{{ x }}{% endfor %}", {"x": "a" * 300})
