# ruff: noqa: E501 - a case is a line
"""JSON written as text: commas, places of mistakes, and what stays out."""

import datetime as dt
import json
from decimal import Decimal
from typing import Any

import pytest

from scenario.errors import TemplateError
from scenario.liquid import render_json
from scenario.liquid.engine.environment import json_engine
from scenario.liquid.sinks.json_text import ESCAPED, INSIDE, OUTSIDE, blank_stray_commas, scan
from scenario.liquid.sinks.text import parse_template

DATA: dict[str, Any] = {
    "name": 'x", "admin": true, "y": "',
    "items": ["a", "b"],
    "nothing": None,
    "inf": float("inf"),
    "nan": float("nan"),
    "bytes": b"x",
    "big": 2**70,
    "price": Decimal("12345678901234567890.12"),
    "half": Decimal("0.50"),
    "day": dt.date(2026, 7, 16),
    "at": dt.datetime(2026, 7, 16, 10, tzinfo=dt.UTC),
    "object": {"a": {"b": [1, "x"]}},
    "surrogate": "\ud83d",
    "flag": False,
}


@pytest.mark.parametrize(
    ("source", "means"),
    [
        ("[{{ nothing }}, {{ flag }}, {{ big }}, {{ half }}, {{ day }}, {{ at }}]", [None, False, 2**70, 0.5, "2026-07-16", "2026-07-16T10:00:00+00:00"]),
        ('["{{ nothing }}", "{{ flag }}", "{{ big }}", "{{ half }}", "{{ day }}", "{{ items }}"]', ["", "false", str(2**70), "0.50", "2026-07-16", "ab"]),
        ("[{{ price }}]", ["12345678901234567890.12"]),
        ('["{{ object }}", {{ object }}]', ['{"a":{"b":[1,"x"]}}', {"a": {"b": [1, "x"]}}]),
        ('["{{ surrogate }}", {{ surrogate }}]', ["\ufffd", "\ufffd"]),
        ('["a\\"{{ name }}\\\\", {{ name }}]', [f'a"{DATA["name"]}\\', DATA["name"]]),
        ('{"{{ name }}": 1}', {DATA["name"]: 1}),
        ('{% cycle 1, "x" %}', "1"),
        ("{% increment n %}", "0"),
        ('{% assign q = \'"\' %}[{{ q }}, "{{ q }}"]', ['"', '"']),
        ('{% capture c %}"x": {{ name }}{% endcapture %}["{{ c }}", {{ c }}]', [f'"x": {DATA["name"]}', f'"x": {DATA["name"]}']),
        ("[{% for i in items %}{{ i }},{% endfor %}]", ["a", "b"]),
        ("[,{% for i in items %} , {{ i }} , {% endfor %} , ]", ["a", "b"]),
        ('{"a": 1, , "b": [1,,2,], {% if flag %}"c": 1{% endif %}}', {"a": 1, "b": [1, 2]}),
        ('["a, ]", "b,,", ",}"]', ["a, ]", "b,,", ",}"]),
        ("{{ (1..3) }}", [1, 2, 3]),
        ("{{ object.a.b.first }}", 1),
        ("  {{ nothing }}  ", None),
    ],
)  # fmt: skip
def test_a_json_text_means(source: str, means: Any) -> None:
    assert json.loads(render_json(source, DATA)) == means


TWINS = "two keys of the same object are equal: data must not write a duplicate key"


@pytest.mark.parametrize(
    ("source", "place"),
    [
        ('{"admin": false, "{{ role }}": true}', (1, 19)),
        ('{"{{ role }}": true,\n "admin": false}', (1, 3)),
        ('{"admin": false, {{ role }}: true}', (1, 18)),
        ('{"admin": false,\n "ad{{ none }}min" : true}', (2, 5)),
        ('{"admin": false, "{% cycle role %}": true}', (1, 19)),
        ('{"admin": false, "{% if flag %}{% else %}{{ role }}{% endif %}": true}', (1, 42)),
        ('{"admin": 0, "{{ role }}{% if flag %}"{% else %}"{% endif %}{% if flag %}{% else %} : {% endif %}1}', (1, 15)),
        ('{"admin": 0, "\\{% if flag %}{% else %}u0061d{% endif %}{{ none }}min": 1}', (1, 56)),
        ('{"admin": 0, {% liquid\n echo role %}: 1}', (2, 2)),
        ('[,{"b": [{"admin": 1,, "\\u0061dmi{{ none }}n": 2}]}]', (1, 34)),
        ('{ {% for i in (1..2) %}"{{ role }}": {{ i }},{% endfor %} }', (1, 25)),
        ('{"\ufffd": 1, "{{ surrogate }}": 2}', (1, 11)),
    ],
)  # fmt: skip
def test_data_cannot_take_a_keys_place(source: str, place: tuple[int, int]) -> None:
    with pytest.raises(TemplateError) as caught:
        render_json(source, {**DATA, "role": "admin", "none": ""})
    assert str(caught.value) == f"{TWINS} (line {place[0]}, column {place[1]})"


@pytest.mark.parametrize(
    "source",
    [
        '{"a": 1, "a": 2}',
        '{"a": 1, "a": 2, "{{ role }}": 3}',
        '{"admin": 1, "o": {"{{ role }}": 2, "a": ["admin", "{{ role }}: admin"]}, "b": {"admin": {"{{ role }}": 1}}}',
        '{"admin": 1, "{{ role }} ": 2, " {{ role }}": 3}',
    ],
)
def test_other_keys_are_left_alone(source: str) -> None:
    assert render_json(source, {"role": "admin"}).decode() == source.replace("{{ role }}", "admin")


@pytest.mark.parametrize(
    ("source", "looked_at"),
    [
        ('{"a": "{{ a }}", "b": {{ b }}, "c": "{{ a }} {{ b }}"}', False),
        ('[{% for i in a %}{"k": "{{ i }}"}{% unless forloop.last %}, {% endunless %}{% endfor %}]', False),
        ('{"a": "\\"{{ a }}\\"", {% if a %}"b": 1{% else %}"c": "x: y"{% endif %}}', False),
        ('{"{{ a }}": 1}', True),
        ('{"{{ a }}"{{ b }}\n : 1}', True),
        ('{"a": "\\{% if a %}"{% endif %}": 1}', True),
    ],
)
def test_only_templates_with_outputs_in_keys_are_looked_at(source: str, looked_at: bool) -> None:
    assert parse_template(json_engine, source).has_rendered_keys is looked_at


def test_a_text_is_sent_as_it_is_laid_out() -> None:
    assert render_json('{\n  "a": {{ flag }},\n}\n', DATA) == b'{\n  "a": false \n}\n'


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("", "the body is not JSON: a value is missing (line 1, column 1)"),
        ('{"a": {{ flag }} "b": 1}', "the body is not JSON: a comma is missing (line 1, column 18)"),
        ("{\n a: 1}", "the body is not JSON: a key in double quotes is missing (line 2, column 2)"),
        ('{"a": "{{ flag }}}', "the body is not JSON: a text is not closed: a quote is missing (line 1, column 7)"),
        ('["{{ flag }}\n"]', "the body is not JSON: a line break or control character is inside a text: write \\n (line 1, column 13)"),
        ('["\\x{{ flag }}"]', "the body is not JSON: a backslash is followed by something that it cannot escape (line 1, column 3)"),
        ("[{% for i in items %}{{ i }}{% endfor %}]", "the body is not JSON: a comma is missing (line 1, column 22)"),
        ("[{% for i in items %}\n{{ i }} x{% endfor %}]", "the body is not JSON: a comma is missing (line 2, column 9)"),
        ('{"a": [1, 2]', "the body is not JSON: it ends before its last bracket is closed (line 1, column 13)"),
        ("[{{ flag }},\n", "the body is not JSON: it ends before its last bracket is closed (line 2, column 1)"),
        ("[NaN]", "the body is not JSON: NaN and Infinity do not exist there (line 1, column 2)"),
        ("\n{% for i in (1..3000) %}[{% endfor %}", "the body is nested too deeply to be read (line 2, column 25)"),
        ("\ufeff[]", "the body is not JSON: a byte order mark comes before it: remove it (line 1, column 1)"),
        ("[{{ nan }}]", "JSON has no infinite numbers and no NaN (line 1, column 2)"),
        ("[{{ inf }}]", "JSON has no infinite numbers and no NaN (line 1, column 2)"),
        ("[{{ bytes }}]", "JSON cannot hold a value of type bytes (line 1, column 2)"),
        ('["\\{{ flag }}"]', "an output directly follows a backslash (line 1, column 4)"),
        ("[{{ missing }}]", "there is no 'missing' (line 1, column 5)"),
        ("[{{ object.a.c.d }}]", "there is no 'object.a.c.d' (line 1, column 5)"),
        ("{% tablerow i in items %}{% endtablerow %}", "there is no tag 'tablerow' (line 1, column 4)"),
        ("{% include 'x' %}", "there is no tag 'include' (line 1, column 4)"),
    ],
)  # fmt: skip
def test_a_mistake_leads_back_to_the_template(source: str, message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        render_json(source, DATA)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "before", "after"),
    [
        ("", OUTSIDE, OUTSIDE), ('"', OUTSIDE, INSIDE), ('"a"', OUTSIDE, OUTSIDE), ('a"', INSIDE, OUTSIDE),
        ('\\"', INSIDE, INSIDE), ("\\\\", INSIDE, INSIDE), ("\\", INSIDE, ESCAPED), ("\\", OUTSIDE, OUTSIDE),
        ('"', ESCAPED, INSIDE), ('""', ESCAPED, OUTSIDE), ("\\\\\\", INSIDE, ESCAPED),
    ],
)  # fmt: skip
def test_strings_are_followed(text: str, before: int, after: int) -> None:
    assert scan(text, before) == after


def test_mending_keeps_every_other_character_in_its_place() -> None:
    text = '[ ,1, ,2 , ] , { ,"a,,":"\\",]", }'
    mended = blank_stray_commas(text)
    assert mended == '[  1,  2   ] , {  "a,,":"\\",]"  }'
    assert len(mended) == len(text)
