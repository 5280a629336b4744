"""Templates in the old syntax: what they become, what is left, and that the result is always a template."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scenario import liquid
from scenario.check.variables import roots
from scenario.errors import TemplateError
from scenario.liquid.engine.environment import html_engine
from scenario.liquid.lint import lint
from scenario.liquid.sinks.text import parse_template
from splio.conversion import convert
from splio.fields import CustomFieldNames

NAMES = CustomFieldNames({"": {0: "civility", 3: "favourite store"}, "product": {2: "gift"}})

CONVERTED = {
    "$firstname$": "{{ contact.firstname }}",
    "$FirstName$": "{{ contact.firstname }}",
    "$date$": "{{ contact.creation_date }}",
    "$order.extid$": "{{ order.external_id }}",
    "$order.total_price$": "{{ order.total_price }}",
    "$basket.extid$ $cart.extid$": "{{ cart.external_id }} {{ cart.external_id }}",
    "$store.name$": "{{ order.store.name }}",
    "$reward.name$": "{{ reward.reward_definition.name }}",
    "$c0$ $C7$": "{{ contact.custom.civility }} {{ contact.custom.c7 }}",
    "$c3$": "{{ contact.custom['favourite store'] }}",
    "$civility$": "{{ contact.custom.civility }}",
    "$order.c1$": "{{ order.custom.c1 }}",
    # Text
    "It costs $5.00, or 100$; $ 5 $": "It costs $5.00, or 100$; $ 5 $",
    "from $a to b$": "from $a to b$",
    "$$firstname$$": "${{ contact.firstname }}$",
    "{{ firstname }}": "{% raw %}{{{% endraw %} firstname }}",
    "{%if%}": "{% raw %}{%{% endraw %}if%}",
    "{%endraw%}": "{% raw %}{%{% endraw %}endraw%}",
    '{$firstname$: {"a": 1}}': '{% raw %}{{% endraw %}{{ contact.firstname }}: {"a": 1}}',
    "a { b": "a { b",
    # Conditions
    "{SPLIO IF $firstname$}a{SPLIO ENDIF}": "{% if contact.firstname != blank %}a{% endif %}",
    '{SPLIO IF $email$ = ""}a{SPLIO ELSE}b{SPLIO ENDIF}': "{% if contact.email == blank %}a{% else %}b{% endif %}",
    "{splio if $language$ = fr}a{splio elseif $language$='es'}b{splio endif}": (
        "{% if contact.language == 'fr' %}a{% elsif contact.language == 'es' %}b{% endif %}"
    ),
    "{SPLIO IF $language$ = FR}a{SPLIO ELSE IF $language$ = ES}b{SPLIO ENDIF}": (
        "{% if contact.language == 'FR' %}a{% elsif contact.language == 'ES' %}b{% endif %}"
    ),
    '{SPLIO IF $lastname$ <> "O\'Brien"}a{SPLIO ENDIF}': '{% if contact.lastname != "O\'Brien" %}a{% endif %}',
    "{SPLIO IF $order.total_price$ &gt;= &quot;100,50&quot;}a{SPLIO ENDIF}": (
        "{% if order.total_price >= 100.50 %}a{% endif %}"
    ),
    "{SPLIO IF 10 < $order.total_price$}a{SPLIO ENDIF}": "{% if order.total_price > 10 %}a{% endif %}",
    "{SPLIO IF $store.online$ = 1}a{SPLIO ENDIF}": "{% if order.store.online == true %}a{% endif %}",
    "{SPLIO IF $c0$ = 1}a{SPLIO ENDIF}": (
        "{% if contact.custom.civility == '1' or contact.custom.civility == 1 or contact.custom.civility == true %}a"
        "{% endif %}"
    ),
    "{SPLIO IF $c0$ != 007}a{SPLIO ENDIF}": "{% if contact.custom.civility != '007' %}a{% endif %}",
    "{SPLIO IF $c0$ > 3}a{SPLIO ENDIF}": ("{% if contact.custom.civility | plus: 0 > 3 %}a{% endif %}"),
    '{SPLIO IF $email$ LIKE "%@b.c"}a{SPLIO ENDIF}': ("{% if contact.email | slice: -4, 4 == '@b.c' %}a{% endif %}"),
    '{SPLIO IF $email$ NOT LIKE "%b%"}a{SPLIO ENDIF}': ("{% if not (contact.email contains 'b') %}a{% endif %}"),
    '{SPLIO IF $email$ = "a" AND $firstname$ = "b" OR $lastname$ = "c"}a{SPLIO ENDIF}': (
        "{% if (contact.email == 'a' and contact.firstname == 'b') or contact.lastname == 'c' %}a{% endif %}"
    ),
    "{SPLIO IF $firstname$ = \"a'b\" OR $lastname$ = '\"'}a{SPLIO ENDIF}": (
        "{% if contact.firstname == \"a'b\" or contact.lastname == '\"' %}a{% endif %}"
    ),
    '{SPLIO IF $email$ = "a"}a{SPLIO ELSEIF $c0$ > 3}b{SPLIO ENDIF}': (
        "{% if contact.email == 'a' %}a{% elsif contact.custom.civility | plus: 0 > 3 %}b{% endif %}"
    ),
    # Loops
    "{SPLIO FOREACH PRODUCT IN ORDER}$product.sku$ $product.c2$ {SPLIO ENDFOREACH}": (
        "{% for product in order.products %}{{ product.sku }} {{ product.custom.gift }} {% endfor %}"
    ),
    "{SPLIO FOREACH PRODUCT IN BASKET LIMIT=2}$product.img_url${SPLIO ENDFOREACH}": (
        "{% for product in cart.products limit: 2 %}{{ product.image_url }}{% endfor %}"
    ),
    '{SPLIO FOREACH PRODUCT IN ORDER LIMIT="4" ORDERBY="price" DIRECTION="DESC"}$product.price${SPLIO ENDFOREACH}': (
        "{% assign products_1 = order.products | sort: 'unit_price' | reverse %}"
        "{% for product in products_1 limit: 4 %}{{ product.unit_price }}{% endfor %}"
    ),
    "{Splio foreach product in order direction = 'asc', OrderBy=name}x{SPLIO ENDFOREACH}": (
        "{% assign products_1 = order.products | sort_natural: 'name' %}{% for product in products_1 %}x{% endfor %}"
    ),
}


@pytest.mark.parametrize(("old", "new"), CONVERTED.items(), ids=CONVERTED)
def test_what_is_known_becomes_liquid(old: str, new: str) -> None:
    made = convert(old, NAMES)
    assert (made.text, made.unconverted) == (new, ())
    liquid.parse_text(made.text)
    assert [found for found in lint(made.text, kind="text", schema=roots(None)) if found.severity == "error"] == []


LEFT = {
    "$fistname$": "1:1: $fistname$ is not known: was $firstname$ meant?",
    "a\n $shoe_size$": (
        "2:2: $shoe_size$ is not known: if it is a custom field, write {{ contact.custom.shoe_size }}, or give --sample"
    ),
    "$mirrorurl$": "1:1: $mirrorurl$ has no counterpart: write a link of your own",
    "$shop.name$": (
        "1:1: $shop.name$ is not known: there are basket, cart, order, product, reward, store and the contact's own "
        "fields"
    ),
    "$product.name$": "1:1: $product.name$ is there only inside of a loop: FOREACH PRODUCT IN ORDER",
    "{SPLIO IF $firstname$ = }a{SPLIO ENDIF}": ("1:1: a variable, a text or a number is missing before the end"),
    "{SPLIO IF}a{SPLIO ENDIF}": "1:1: the condition is missing",
    '{SPLIO IF FILTER "vip"}a{SPLIO ENDIF}': "1:1: 'FILTER' has no value to compare with",
    "{SPLIO IF $firstname$ ~ 3}a{SPLIO ENDIF}": "1:1: '~' cannot follow the condition",
    "{SPLIO IF $order.tax$ > x}a{SPLIO ENDIF}": "1:1: 'order.tax_amount' is a number, which 'x' is not",
    '{SPLIO IF $email$ LIKE "a%b"}a{SPLIO ENDIF}': ("1:1: LIKE supports '%' only at the start and the end, and no '_'"),
    "{SPLIO IF $firstname$}a": "1:1: IF is not closed: ENDIF is missing",
    "a{SPLIO ENDIF}": "1:2: ENDIF closes nothing: there is no open IF",
    "{SPLIO ELSE}": "1:1: ELSE is misplaced: there is no open IF",
    "{SPLIO IF $firstname$}a{SPLIO ELSE}b{SPLIO ELSE}c{SPLIO ENDIF}": (
        "1:37: ELSE is misplaced: an ELSE was there before"
    ),
    "{SPLIO FOREACH STORE IN ORDER}a{SPLIO ENDFOREACH}": "1:1: there are loops over PRODUCT only, not over STORE",
    "{SPLIO FOREACH PRODUCT IN SHOP}a{SPLIO ENDFOREACH}": (
        "1:1: there are products in ORDER and in BASKET only, not in SHOP"
    ),
    "{SPLIO FOREACH PRODUCT IN ORDER LIMIT=x}a{SPLIO ENDFOREACH}": "1:1: LIMIT is a whole number",
    "{SPLIO FOREACH PRODUCT IN ORDER SKIP=1}a{SPLIO ENDFOREACH}": (
        "1:1: the attribute SKIP is not known: a loop has LIMIT, ORDERBY, DIRECTION"
    ),
    "{SPLIO FOREACH PRODUCT IN ORDER ORDERBY=colour}a{SPLIO ENDFOREACH}": (
        "1:1: products cannot be sorted by 'colour'"
    ),
    "{SPLIO INCLUDE x}": "1:1: there is no tag 'INCLUDE' that is known",
    "{SPLIO IF $firstname$\nb": "1:1: the tag is not closed: its closing brace is missing",
    "{SPLIO FOREACH PRODUCT IN ORDER}{SPLIO IF $email$}a{SPLIO ENDFOREACH}": (
        "1:33: IF is not closed: ENDIF is missing"
    ),
}


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
        *CONVERTED,
        *LEFT,
        "{",
        "}",
        "{{",
        "%}",
        "{%",
        "$",
        "{SPLIO ",
        "{SPLIO IF $firstname$ = 'a' AND (",
        "{SPLIO ELSE}",
        "{SPLIO ENDIF}",
        "{SPLIO ENDFOREACH}",
        "{% raw %}",
        "{% comment %}",
        "'",
        '"',
        "-",
        "\n",
    ]
)
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


def test_a_template_that_is_too_long_is_said_to_be() -> None:
    made = convert("x" * 70_000 + "$firstname$")
    assert [left.message for left in made.unconverted] == [
        "the converted template cannot be read: a template may have 64 KB of text"
    ]


UNCLOSED = "the tag is not closed: its closing brace is missing"
HOSTILE = [
    ("{SPLIO " * 9_000, 9_000, UNCLOSED),
    ("{SPLIO IF " + '"' * 60_000, 1, UNCLOSED),
    ("$a" * 30_000, 15_000, "$a$ is not known: "),
    ("{" * 60_000, 0, ""),
    ("$a.b" * 15_000, 7_500, "$a.b$ is not known: "),
]
TOO_LONG = "the converted template cannot be read: a template may have 64 KB of text"


@pytest.mark.parametrize(("old", "many", "said"), HOSTILE, ids=[old[:10] for old, _, _ in HOSTILE])
@pytest.mark.parametrize("keep", [False, True])
def test_hostile_text_is_converted_to_its_end(old: str, many: int, said: str, keep: bool) -> None:
    left = [rest.message for rest in convert(old, keep_liquid=keep).unconverted if rest.message != TOO_LONG]
    assert len(left) == many
    assert all(message.startswith(said) for message in left)
