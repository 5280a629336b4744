"""Templates in the old syntax: what they become, what is left, and what their conditions mean in Liquid."""

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from scenario import liquid
from scenario.check.variables import roots
from scenario.errors import TemplateError
from scenario.liquid.engine.environment import html_engine
from scenario.liquid.lint import lint
from scenario.liquid.sinks.text import parse_template
from splio.fields import CustomFieldNames
from splio.old_syntax import OldTag, OldVariable, split_template
from splio.writer import convert

NAMES = CustomFieldNames({"": {0: "civility", 3: "favourite store"}, "product": {2: "gift"}})

TEMPLATES = yaml.safe_load(Path(__file__).with_name("templates.yaml").read_text("utf-8"))
CONVERTED: dict[str, str] = TEMPLATES["converted"]
LEFT: dict[str, str] = TEMPLATES["left"]


@pytest.mark.parametrize(("old", "new"), CONVERTED.items(), ids=CONVERTED)
def test_what_is_known_becomes_liquid(old: str, new: str) -> None:
    made = convert(old, NAMES)
    assert (made.text, made.unconverted) == (new, ())
    liquid.parse_text(made.text)
    assert [found for found in lint(made.text, kind="text", schema=roots(None)) if found.severity == "error"] == []


@pytest.mark.parametrize(("old", "said"), LEFT.items(), ids=LEFT)
def test_what_is_not_known_is_listed_and_refused_by_the_check(old: str, said: str) -> None:
    made = convert(old)
    liquid.parse_text(made.text)
    assert [f"{left.line}:{left.column}: {left.message}" for left in made.unconverted] == [said]
    findings = lint(made.text, kind="text", schema=roots(None))
    assert "there is no variable 'not_converted'" in [found.message for found in findings]


def test_liquid_that_is_there_already_can_stay() -> None:
    made = convert("{{ contact.email }} $firstname$ {% comment %}{% endcomment %}{$c1$", keep_liquid=True)
    assert made.text == (
        "{{ contact.email }} {{ contact.firstname }} {% comment %}{% endcomment %}"
        "{% raw %}{{% endraw %}{{ contact.custom.c1 }}"
    )


def test_custom_fields_that_are_named_by_number_are_remarked_on() -> None:
    assert convert("$c12$ $c0$").notes == (
        "c0, c12: custom fields are named by number only if the platform sends no names: give a contact or an entry "
        "in the platform's format as --sample, and their names are used",
    )
    assert convert("$c0$", NAMES).notes == ()


def test_names_are_learnt_from_a_contact_or_an_entry() -> None:
    fields = [{"id": "4", "name": "vip"}, {"id": 5}, {"id": "x", "name": "a"}, {"id": 6, "name": "o'x"}, 3]
    assert CustomFieldNames.from_data({"custom_fields": fields}).by_number == {"": {4: "vip"}}
    order = {"custom_fields": fields, "products": [{"custom_fields": fields}, {}]}
    assert CustomFieldNames.from_data({"contact": {}, "trigger": {"type": "order", "order": order}}).by_number == {
        "": {},
        "order": {4: "vip"},
        "product": {4: "vip"},
    }


ORDER: dict[str, Any] = {
    "contact": {"firstname": 'Ann "Bo"\n', "language": "fr", "custom": {"c0": "12"}},
    "order": {
        "external_id": "A\\1",
        "products": [{"name": f'"{price}"', "unit_price": price, "image_url": None} for price in (9.5, 100, 20)],
    },
}


def test_a_converted_body_is_the_json_that_was_meant() -> None:
    old = (
        '{"to": "$firstname$", "id": "$order.extid$", {SPLIO IF $c0$ > 9}"many": true,{SPLIO ENDIF}\n'
        ' "lang": "{SPLIO IF $language$ = \\"fr\\"}Bonjour{SPLIO ELSE}Hello{SPLIO ENDIF} $firstname$",\n'
        ' "lines": [{SPLIO FOREACH PRODUCT IN ORDER LIMIT="2" ORDERBY="price" DIRECTION="DESC"}'
        '{"name": "$product.name$", "price": $product.price$, "img": "$product.img_url$"},{SPLIO ENDFOREACH}]}'
    )
    made = convert(old)
    assert made.unconverted == ()
    assert json.loads(liquid.render_json(made.text, ORDER)) == {
        "to": 'Ann "Bo"\n',
        "id": "A\\1",
        "many": True,
        "lang": 'Bonjour Ann "Bo"\n',
        "lines": [{"name": '"100"', "price": 100, "img": ""}, {"name": '"20"', "price": 20, "img": ""}],
    }


pieces = st.sampled_from(
    [
        *CONVERTED, *LEFT, "{", "}", "{{", "%}", "{%", "$", "{SPLIO ", "{SPLIO IF $firstname$ = 'a' AND (",
        "{SPLIO ELSE}", "{SPLIO ENDIF}", "{SPLIO ENDFOREACH}", "{% raw %}", "{% comment %}", "'", '"', "-", "\n",
    ]
)  # fmt: skip
anything = st.lists(pieces | st.text(max_size=5), max_size=12).map("".join)


@given(anything, st.booleans())
@settings(max_examples=100)
def test_whatever_comes_in_a_template_comes_out(old: str, keep: bool) -> None:
    made = convert(old, keep_liquid=keep)
    try:
        liquid.parse_text(made.text)
        parse_template(html_engine, made.text)
    except TemplateError:
        # Liquid that was there may be wrong; what was made is not.
        assert keep
        assert "the converted template cannot be read" in str(made.unconverted)


@given(anything)
@settings(max_examples=100)
def test_what_parses_and_is_left_is_refused_by_the_check(old: str) -> None:
    made = convert(old)
    refused = any("not_converted" in found.message for found in lint(made.text, kind="text", schema=roots(None)))
    assert refused == bool(made.unconverted)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="$") | st.sampled_from("{}%-#\"'")))
@settings(max_examples=100)
def test_text_stays_text(old: str) -> None:
    assert liquid.render_text(convert(old).text, {}) == old


UNCLOSED = "the tag is not closed: its closing brace is missing"
HOSTILE = [
    ("{SPLIO " * 9_000, 9_000, UNCLOSED), ("{SPLIO IF " + '"' * 60_000, 1, UNCLOSED),
    ("$a" * 30_000, 15_000, "$a$ is not known: "), ("{" * 60_000, 0, ""),
    ("$a.b" * 15_000, 7_500, "$a.b$ is not known: "), ("x" * 70_000 + "$firstname$", 0, ""),
]  # fmt: skip
TOO_LONG = "the converted template cannot be read: a template may have 64 KB of text"


@pytest.mark.parametrize(("old", "many", "said"), HOSTILE, ids=[old[:10] for old, _, _ in HOSTILE])
@pytest.mark.parametrize("keep", [False, True])
def test_hostile_text_is_converted_to_its_end(old: str, many: int, said: str, keep: bool) -> None:
    messages = [rest.message for rest in convert(old, keep_liquid=keep).unconverted]
    left = [message for message in messages if message != TOO_LONG]
    assert (len(left), messages == [TOO_LONG]) == (many, old[0] == "x")
    assert all(message.startswith(said) for message in left)


ROOT = Path(__file__).parents[2]
REAL = [
    *(ROOT / "tests" / "scenario" / "liquid" / "pages").iterdir(),
    *(path for path in (ROOT / "examples").rglob("*") if path.suffix in (".yaml", ".html", ".txt")),
]


def test_liquid_amounts_and_json_schema_are_no_old_syntax() -> None:
    assert len(REAL) > 30
    found = [
        part
        for path in REAL
        for part in split_template(path.read_text("utf-8"), liquid=True)
        if isinstance(part, OldVariable | OldTag)
    ]
    assert found == []


ATOMS = {"$firstname$": "a", '$lastname$ = "x"': "b", '$email$ LIKE "%x%"': "c", '$language$ NOT LIKE "%x%"': "d"}
"""Conditions, by the letter that stands for each in Python."""
CONDITIONS = st.recursive(
    st.sampled_from(sorted(ATOMS.items())),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["AND", "OR"]), inner).map(
            lambda made: (f"{made[0][0]} {made[1]} {made[2][0]}", f"{made[0][1]} {made[1].lower()} {made[2][1]}")
        ),
        inner.map(lambda made: (f"({made[0]})", f"({made[1]})")),
        inner.map(lambda made: (f"NOT ({made[0]})", f"(not ({made[1]}))")),
    ),
    max_leaves=8,
)
EVERY = list(product([True, False], repeat=4))


def contact(a: bool, b: bool, c: bool, d: bool) -> dict[str, Any]:
    return {"firstname": "x" * a, "lastname": "x" * b, "email": "axb" * c, "language": "fr" if d else "x"}


@given(CONDITIONS)
@settings(max_examples=60)
def test_a_condition_means_what_it_meant(made: tuple[str, str]) -> None:
    old, python = made
    converted = convert(f"{{SPLIO IF {old}}}yes{{SPLIO ELSE}}no{{SPLIO ENDIF}}")
    assert converted.unconverted == ()
    meant: Callable[..., bool] = eval(f"lambda a, b, c, d: bool({python})")
    for values in EVERY:
        text = liquid.render_text(converted.text, {"contact": contact(*values)})
        assert text == ("yes" if meant(*values) else "no"), (converted.text, values)


@pytest.mark.parametrize(
    ("old", "value", "holds"),
    [
        ("$c1$ > 9", "12", True), ("$c1$ > 9", 12, True), ("$c1$ > 9", "2", False), ("$c1$ > 9", None, False),
        ("$c1$ > 9", "n/a", False), ("$c1$ < 9.5", "9", True), ("$c1$ = 1", True, True), ("$c1$ = 1", "1", True),
        ("$c1$ = 1", 1, True), ("$c1$ = 1", 2, False), ("$c1$ != 0", False, False), ("$c1$ != 0", True, True),
        ("$c1$ = ''", None, True), ("$c1$ = ''", "", True), ("$c1$ != ''", "x", True), ("$c1$ = 0042", 42, False),
        ("$c1$ = 0042", "0042", True), ('$c1$ > "2024-05-01"', "2024-06-01", True),
        ('$c1$ LIKE "Par%"', "Paris", True), ('$c1$ LIKE "Par%"', None, False), ('$c1$ LIKE "%is"', "Paris", True),
        ('$c1$ LIKE "%Paris"', "is", False), ('$c1$ LIKE "%2%"', 123, True), ('$c1$ LIKE "12"', 12, True),
        ("$c1$ > $c2$", "3", True), ("NOT $c1$ > 9", "2", True), ("$c1$", False, False), ("$c1$", 0, True),
    ],
)  # fmt: skip
def test_custom_fields_compare_whatever_their_type(old: str, value: Any, holds: bool) -> None:
    made = convert(f"{{SPLIO IF {old}}}yes{{SPLIO ENDIF}}")
    assert made.unconverted == ()
    data = {"contact": {"custom": {"c1": value, "c2": 2}}}
    assert (liquid.render_text(made.text, data) == "yes") is holds
