# ruff: noqa: E501 - a case is a line
"""Filters: the examples of the documentation, corner cases of retail data, and normalised members of audiences."""

import hashlib
import json
import re
import subprocess
import sys
from contextlib import suppress
from datetime import date
from decimal import Decimal
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from scenario.errors import TemplateError
from scenario.liquid import evaluate_value, render_html, render_json, render_line, render_text
from scenario.liquid.engine.environment import text_engine
from scenario.liquid.engine.instrument import list_parameters

DOCUMENT = (Path(__file__).parents[3] / "docs" / "write/templates.md").read_text()
ROW = re.compile(r"^\| `(\w+)` \| .*? \| `(\{\{.*\}\}\.?)` \| `(.*)` \|$", re.MULTILINE)
EXAMPLES = [(name, source.replace(r"\|", "|"), result) for name, source, result in ROW.findall(DOCUMENT)]

DATA: dict[str, Any] = {
    "now": "2026-07-16T10:00:00+02:00",
    "today": "2026-07-16",
    "day": date(2026, 7, 16),
    "tags": ["b", "a", "b"],
    "lines": "a\r\nb",
    "field": "name",
    "products": [{"name": "A", "price": 20.9, "colour": None}, {"name": "B", "price": 10.0, "colour": "red"}],
    "price": Decimal("19.90"),
    "third": Decimal(1) / 3,
    "nothing": None,
    "prices": [Decimal("0.10"), Decimal("0.20"), None],
    "mixed": [1, "a"],
}


@pytest.mark.parametrize(("name", "source", "result"), EXAMPLES)
def test_the_documentation_says_what_happens(name: str, source: str, result: str) -> None:
    data = {**DATA, "journey": {"timezone": "Europe/Paris"}}
    assert render_text(source, data).replace("\xa0", " ") == result


def test_every_filter_is_documented() -> None:
    named = set(re.findall(r"`(\w+)`", DOCUMENT.partition("## Filters")[2].partition("## Checks")[0]))
    assert set(text_engine().filters) <= named


@pytest.mark.parametrize(
    ("source", "result"),
    [
        # Decimals, which python-liquid takes for 0
        ("{{ price | times: 2 }}", "39.80"),
        ("{{ price | plus: 1 }}", "20.90"),
        ("{{ price | minus: 0.9 }}", "19.00"),
        ("{{ price | divided_by: 2 }}", "9.95"),
        ("{{ price | modulo: 7 }}", "5.90"),
        ("{{ price | round }} {{ price | floor }} {{ price | ceil }} {{ price | abs }}", "20 19 20 19.90"),
        ("{{ price | at_least: 20 }} {{ price | at_most: 20 }}", "20 19.90"),
        ("{{ prices | sum }}", "0.30"),
        ("{{ '-123456789012345678901234567890123.45' | number | abs }}", "123456789012345678901234567890123.45"),
        ("{{ third | round: 4 }}", "0.3333"),
        ("{% if price == 19.9 %}same{% endif %}{% if price < 19.91 %} less{% endif %}", "same less"),
        # Halves
        ("{{ 0.5 | round }} {{ 1.5 | round }} {{ 2.5 | round }} {{ -2.5 | round }}", "1 2 3 -3"),
        ("{{ 1.005 | round: 2 }} {{ 10.125 | round: 2 }} {{ 7 | round: 2 }}", "1.01 10.13 7"),
        ("{{ '2.5' | round }} {{ nothing | round }} {{ 'abc' | round }} {{ 3.7 | round: 'x' }}", "3 0 0 4"),
        # Exact doubles
        ("{{ 0.1 | plus: 0.2 }} {{ 1.1 | times: 3 }} {{ 5.5 | modulo: 2 }}", "0.3 3.3 1.5"),
        ("{{ -7 | modulo: 3 }} {{ -7.5 | modulo: 3 }} {{ -7 | divided_by: 2 }}", "2 1.5 -4"),
        ("{{ '10' | plus: '2' }} {{ '1_0' | plus: 1 }} {{ true | plus: 1 }}", "12 1 1"),
        ("{{ price | divided_by: 3 }} {{ 1 | divided_by: price | round: 4 }} {{ price | divided_by: 8 }}", "6.63333333333333 0.0503 2.4875"),
        # Numbers that people write
        ("{{ '' | number }}{{ nothing | number }}{{ ' ' | number }}", ""),
        ("{{ '-3' | number }} {{ '1e3' | number }} {{ '12,5' | number }} {{ '1\u202f234' | number }}", "-3 1000 12.5 1234"),
        ("{{ '1.234,50' | number }} {{ '-1,234,567.8' | number }}", "1234.50 -1234567.8"),
        ("{{ '1.234' | number: 'de' }} {{ '1.234' | number: 'en' | times: 1 }} {{ '1,234' | number: 'fr' }}", "1234 1.234 1.234"),
        ("{{ '12,50' | times: 2 }} {{ '1 234' | plus: 1 }} {{ 'abc' | plus: 1 }}", "25.0 1235 1"),
        ("{{ -1234 | number_with_delimiter }} {{ '1234.50' | number_with_delimiter }}", "-1,234 1,234.50"),
        ("{{ nothing | number_with_delimiter }}{{ 12 | number_with_delimiter }}", "12"),
        # Money
        ("{{ 12.5 | money: 'EUR', 'fr_FR' }} {{ '12.5' | money: 'usd' }}", "12,50 € $12.50"),
        ("{{ nothing | money: 'EUR' }}{{ '' | money: 'EUR' }}", ""),
        ("{{ 5 | money: 'JPY', 'ja' }} {{ 5 | money: 'EUR', 'xx-nowhere' }} {{ 5 | money: 'EUR', nothing }}", "￥5 €5.00 €5.00"),
        ("{{ 2.665 | money: 'EUR' }} {{ 0.005 | money: 'EUR' }} {{ -12.345 | money: 'EUR' }}", "€2.67 €0.01 -€12.35"),
        ("{{ 2.5 | money: 'JPY' }} {{ -0.001 | money: 'EUR' }} {{ '1e-99' | money: 'EUR' }}", "¥3 €0.00 €0.00"),
        ("{{ 1234.5675 | money: 'KWD', 'ar' }}", "\u200f1,234.568 د.ك.\u200f"),
        ("{{ 1.0005 | money: 'TND', 'fr_FR' }} {{ 1234.5 | money: 'CHF', 'de_CH' }}", "1,001 TND CHF 1’234.50"),
        # Dates
        ("{{ nothing | date: '%Y' }}{{ '' | date: '%Y' }}{{ missing | date: '%Y' }}", ""),
        ("{{ 'no date' | date: '%Y' }} {{ '2026-02-30' | date: '%Y' }}", "no date 2026-02-30"),
        ("{{ 1152098955 | date: '%F %T' }} {{ '1152098955' | date: '%s' }}", "2006-07-05 11:29:15 1152098955"),
        ("{{ 'March 2024' | date: '%F' }} {{ '10:00' | date: '%F' }} {{ 'March 4' | date: '%F' }}", "2024-03-01 10:00 March 4"),
        ("{{ '4.3.2030' | date: '%F' }} {{ '1898848800000' | date: '%F' }} {{ 1898848800000 | date: '%F' }}", "2030-03-04 2030-03-04 2030-03-04"),
        ("{{ '13/04/2030 18:30' | date: '%F %R' }} {{ '4.3.1990' | next_anniversary }}", "2030-04-13 18:30 2027-03-04"),
        ("{{ '2026-07-05' | date: '%-d %e %j %u %w %U %V %G' }}", "5  5 186 7 0 27 27 2026"),
        ("{{ '2026-07-05T03:04:05.678+02:00' | date: '%I %l %k %p %P %L %3N %z %:z' }}", "03  3  3 AM am 678 678 +0200 +02:00"),
        ("{{ '2026-07-05' | date: '%d%q %^B %^a %C %y %h %D %R %n%t%%' }}", "05th JULY SUN 20 26 Jul 07/05/26 00:00 \n\t%"),
        ("{{ '2026-12-01T23:30:00' | date: '%F %H %Z', 'Asia/Tokyo' }}", "2026-12-01 23 JST"),
        ("{{ '2026-12-01T23:30:00Z' | date: 'short time', 'Europe/Paris', 'fr' }}", "02/12/2026 00:30"),
        ("{{ '2026-12-01' | date: missing }} {{ '2026-12-01' | date: '' }}", "2026-12-01 2026-12-01"),
        # A day is the same in every zone, a time is not
        ("{{ '2026-07-16' | date: '%F %H:%M %Z', 'America/New_York' }}", "2026-07-16 00:00 EDT"),
        ("{{ day | date: '%F', 'America/New_York' }} {{ today | date: '%F', 'Asia/Tokyo' }}", "2026-07-16 2026-07-16"),
        ("{{ '16 July 2026' | date: 'long', 'America/New_York', 'fr' }}", "16 juillet 2026"),
        ("{{ '2026-07-16 00:00' | date: '%F %R', 'America/New_York' }}", "2026-07-16 00:00"),
        ("{{ '2026-07-16T00:00:00Z' | date: '%F %R', 'America/New_York' }}", "2026-07-15 20:00"),
        # Clocks that skip an hour, or run through it twice
        ("{{ '2026-03-29T02:30:00+01:00' | date: '%R %Z', 'Europe/Paris' }}", "03:30 CEST"),
        ("{{ '2026-10-25T00:30:00Z' | date: '%R %Z', 'Europe/Paris' }}", "02:30 CEST"),
        ("{{ '2026-10-25T01:30:00Z' | date: '%R %Z', 'Europe/Paris' }}", "02:30 CET"),
        # The ends of time
        ("{{ '9999-12-31T23:59:59Z' | date: '%F %R', 'Asia/Tokyo' }}", "9999-12-31 23:59"),
        ("{{ '0001-01-01T00:00:00Z' | date: '%F', 'America/New_York' }}", "0001-01-01"),
        (
            "{{ '2026-07-05T03:04:05.678Z' | date: '%6L %12N %L %#B %#a %#p %#Z' }}",
            "678000 678000000000 678 JULY SUN am utc",
        ),
        ("{{ 'today' | date: '%F' }}", "2026-07-16"),
        ("{{ '2020-01-01 10:00 EST' | date: '%H:%M %z' }}", "10:00 +0000"),
        ("{{ '20260715' | date: '%F' }} {{ '2026-07-15 18:45:00' | date: '%F %T' }}", "2026-07-15 2026-07-15 18:45:00"),
        # Texts
        ("{{ true | append: false }} {{ price | append: '€' }} {{ tags | upcase }}", "truefalse 19.90€ BAB"),
        ("{{ nothing | phone_e164: 'FR' }}{{ 'abc' | phone_e164 }}{{ '123' | phone_e164: 'FR' }}", ""),
        ("{{ '+44 20 7946 0958' | phone_e164 }} {{ '0033612345678' | phone_e164: 'fr' }}", "+442079460958 +33612345678"),
        ("{{ nothing }}{{ prices }}", "0.100.20"),
        (
            "{{ 'a' | append: nothing }}{{ 'b' | prepend: nothing }}{{ 'c' | replace_first: 'c', nothing }}"
            "{{ 'abcd' | truncate: 1, nothing }}",
            "aba",
        ),
        (
            "{{ 'Rouge' | truncate: 5 }} {{ 'Rouge' | truncate: 4 }} {{ 'Rouge' | truncate: 2 }}"
            " {{ 'a  b' | truncatewords: 2 }} {{ 'a  b' | truncatewords: 0 }}",
            "Rouge R... ... a  b a...",
        ),
        ("{{ 'a-b' | remove_last: 'a' }} {{ 'a-b' | replace_last: 'a', 'x' }} {{ 'ab' | replace_last: '', '.' }}", "-b x-b ab."),
        ("{{ 'a,b,,' | split: ',' | size }} {{ ',a' | split: ',' | size }} {{ ',' | split: ',' | size }}", "2 2 0"),
        ("{{ 'abc' | slice: 0, -1 }}|{{ 'abc' | slice: -5, 9 }}|{{ 'abc' | slice: 1, nothing }}", "||b"),
        ("{{ tags | slice: -2, 9 }}|{{ tags | slice: 5 }}", "ab|"),
        ("{{ true | url_encode }} {{ true | replace: 'x' }} {{ true | url_escape }} {{ true | safe }}", "true " * 3 + "true"),
        ("{{ 'ßa été 1er 2E e\u0301te\u0301' | titlecase }}", "Ssa Été 1er 2e E\u0301te\u0301"),
        ('{{ "it\'s <" | escape }} {{ "it\'s &lt; <" | escape_once }}', "it&#39;s &lt; it&#39;s &lt; &lt;"),
        ("{{ 'w6k' | base64_url_safe_decode }} {{ 'w6k=' | base64_url_safe_decode }}", "é é"),
        ("{{ '06 12 34 56 7' | phone_e164: 'FR' }}{{ '06 698 12345' | phone_e164: 'IT' }}", "+390669812345"),
        # The way that Shopify's users write a line break
        ("{% capture lf %}\n{% endcapture %}{{ 'a\nb' | replace: lf, '/' }}", "a/b"),
        ("{% if true %} {% capture c %} {% if true %}  {% endif %}{% endcapture %} {% endif %}[{{ c }}]", "[ ]"),
        # Calculating with dates: on the calendar, so that the time of day stays
        ("{{ '2026-03-28T10:00:00+01:00' | add: '1d' }} {{ nothing | add: '1d' }}|", "2026-03-29T10:00:00+01:00 |"),
        ("{{ day | add: '36h' }} {{ day | subtract: '1w' }} {{ '' | subtract: '1w' }}|", "2026-07-17T12:00:00 2026-07-09 |"),
        ("{{ now | subtract: '1d2h' }} {{ 'today' | add: '1d' }}", "2026-07-15T08:00:00+02:00 2026-07-17"),
        ("{{ 0 | add: '1d' }} {{ '9999-12-31T00:00:00Z' | add: '1w' | date: '%Y' }}", "1970-01-02T00:00:00+00:00 9999"),
        ("{{ now | days_until }} {{ '2026-07-15' | days_until }} {{ nothing | days_until }}|", "0 -1 |"),
        ("{{ day | next_anniversary }} {{ '2020-07-15' | next_anniversary }}", "2026-07-16 2027-07-15"),
        ("{{ nothing | next_anniversary }}{{ '2030-01-01' | next_anniversary }}", "2027-01-01"),
        # Lists
        ("{{ products | compact: 'colour' | map: 'name' }} {{ products | compact: 'size' | size }}", "B 0"),
        ("{% for i in tags limit: 0 %}{{ i }}{% else %}none{% endfor %}", "none"),
        ("{% for i in tags limit: nothing %}{{ i }}{% endfor %}", "bab"),
        ("{% for i in tags offset: missing %}{{ i }}{% endfor %}", "bab"),
        ("{{ prices | sort | first }} {{ prices | sort | last }}|", "0.10 |"),
        ("{{ products | where: 'price', 20.9 | map: 'name' }} {{ products | reject: 'colour' | map: 'name' }}", "A A"),
        ("{{ products | uniq: 'colour' | size }} {{ products | concat: products | uniq | size }}", "2 2"),
        ("{{ products | join: '|' }}", '{"name":"A","price":20.9,"colour":null}|{"name":"B","price":10.0,"colour":"red"}'),
        ("{{ prices | join: '-' }}", "0.10-0.20-"),
    ],
)  # fmt: skip
def test_a_filter_gives(source: str, result: str) -> None:
    assert render_text(source, DATA).replace("\xa0", " ").replace("\u202f", " ") == result


MOMENTS = " ".join(
    f"{{{{ '{moment}' | date: '%d.%m. %H:%M %Z' }}}};"
    for moment in (
        "2026-07-02T12:30:00Z",
        "2026-07-02 12:30",
        "2026-07-02",
        "2026-03-29T01:30:00Z",
        "2026-10-25T00:30:00Z",
    )
)
YEARS = "{{ '1988-02-29' | next_anniversary }} {{ '2028-03-01T00:30:00Z' | days_until }} {{ now | add: '1d' }}"


@pytest.mark.parametrize(
    ("source", "zone", "now", "result"),
    [
        (MOMENTS, "Europe/Paris", "", "02.07. 14:30 CEST; 02.07. 12:30 CEST; 02.07. 00:00 CEST; 29.03. 03:30 CEST; 25.10. 02:30 CEST;"),
        (MOMENTS, "America/New_York", "", "02.07. 08:30 EDT; 02.07. 12:30 EDT; 02.07. 00:00 EDT; 28.03. 21:30 EDT; 24.10. 20:30 EDT;"),
        (MOMENTS, "UTC+02:00", "", "02.07. 14:30 UTC+02:00; 02.07. 12:30 UTC+02:00; 02.07. 00:00 UTC+02:00; 29.03. 03:30 UTC+02:00; 25.10. 02:30 UTC+02:00;"),
        (YEARS, "Europe/Paris", "2027-02-28T10:00:00+01:00", "2027-02-28 367 2027-03-01T10:00:00+01:00"),
        (YEARS, "Europe/Paris", "2028-02-29T23:59:00+01:00", "2028-02-29 1 2028-03-01T23:59:00+01:00"),
        (YEARS, "Europe/Paris", "2028-03-01T00:00:00+01:00", "2029-02-28 0 2028-03-02T00:00:00+01:00"),
        (YEARS, "America/New_York", "2028-02-29T23:59:00-05:00", "2028-02-29 0 2028-03-01T23:59:00-05:00"),
        (YEARS, "Europe/Paris", "2026-03-28T02:30:00+01:00", "2027-02-28 704 2026-03-29T03:30:00+02:00"),
    ],
)  # fmt: skip
def test_dates_go_by_the_journeys_zone_and_its_calendar(source: str, zone: str, now: str, result: str) -> None:
    assert render_text(source, {"now": now, "today": now[:10], "journey": {"timezone": zone}}) == result


def arguments(name: str) -> list[str]:
    """The ways to call a filter with nothing."""
    least, most, _ = list_parameters(text_engine().filters[name])
    return [f"{name}: {', '.join(['nothing'] * number)}" if number else name for number in range(least, most + 1)]


@pytest.mark.parametrize("name", text_engine().filters)
def test_no_filter_writes_a_value_as_python_does(name: str) -> None:
    values = [None, {"a": None}, [None, 1], Decimal("1.50"), date(2026, 7, 16)]
    for call, value in product(arguments(name), values):
        with suppress(TemplateError):
            written = render_text(f"{{{{ x | {call} }}}}", {"x": value, **DATA})
            assert not re.search(r"None|\{'|Decimal|datetime", written), (call, value)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{{ 'abc' | number }}", "'number' needs a text that is a number, such as '12.50' (line 1, column 12)"),
        ("{{ '1.23,50' | number }}", "'number' needs a text that is a number, such as '12.50' (line 1, column 16)"),
        ("{{ '12.50' | number: 'de' }}", "'number' needs a text that is a number, such as '12.50' (line 1, column 14)"),
        ("{{ '12.50' | number: 'xx' }}", "'number' takes the language in which a number is written, such as 'de' (line 1, column 14)"),
        ("{{ tags | number }}", "'number' cannot make a number of a list (line 1, column 11)"),
        ("{{ 1 | divided_by: 0 }}", "'divided_by' cannot divide by zero (line 1, column 8)"),
        ("{{ 1 | modulo: nothing }}", "'modulo' cannot divide by zero (line 1, column 8)"),
        ("{{ 'abc' | money: 'EUR' }}", "'money' needs a text that is a number, such as '12.50' (line 1, column 12)"),
        ("{{ tags | number_with_delimiter }}", "'number_with_delimiter' cannot make a number of a list (line 1, column 11)"),
        ("{{ 5 | money: 'Euro' }}", "'money' needs a currency of three letters, such as 'EUR' (line 1, column 8)"),
        ("{{ 5 | money }}", "'money' takes at least 1 argument, not 0 (line 1, column 8)"),
        ("{{ now | date: '%Y', 'Paris' }}", "'date' takes a time zone such as 'Europe/Paris' (line 1, column 10)"),
        ("{{ now | date: '%Y', 'localtime' }}", "'date' takes a time zone such as 'Europe/Paris' (line 1, column 10)"),
        ("{{ now | date: '%Q' }}", "'date' has no directive '%Q' (line 1, column 10)"),
        ("{{ now | date }}", "'date' takes at least 1 argument, not 0 (line 1, column 10)"),
        ("{{ tags | date: '%Y' }}", "'date' cannot make a date of a list (line 1, column 11)"),
        ("{{ '6' | phone_e164: 'France' }}", "'phone_e164' takes a country of two letters, such as 'FR' (line 1, column 10)"),
        ("{{ 'abc' | base64_decode }}", "'base64_decode' needs base64 of a UTF-8 text (line 1, column 12)"),
        ("{{ 'YQ' | base64_decode }}", "'base64_decode' needs base64 of a UTF-8 text (line 1, column 11)"),
        ("{{ 'YQ==?' | base64_decode }}", "'base64_decode' needs base64 of a UTF-8 text (line 1, column 14)"),
        ("{{ 'YQ/_' | base64_url_safe_decode }}", "'base64_url_safe_decode' needs base64 of a UTF-8 text (line 1, column 13)"),
        ("{{ 'a' | slice: 1.5 }}", "'slice' needs a whole number, not a number (line 1, column 10)"),
        ("{{ 'a' | truncate: nothing }}", "'truncate' needs a whole number, not nothing (line 1, column 10)"),
        ("{{ tags | compact: 'a' }}", "'compact' needs a list of objects to look into their fields (line 1, column 11)"),
        ("{{ 'a' | hmac_sha256: nothing }}", "'hmac_sha256' needs a key that is not empty (line 1, column 10)"),
        ("{{ mixed | sort }}", "'sort' cannot mix numbers and texts (line 1, column 12)"),
        ("{{ tags | map: 'a' }}", "'map' needs a list of objects (line 1, column 11)"),
        ("{{ tags | concat: 5 }}", "'concat' cannot work with a list and a number (line 1, column 11)"),
        ("{{ 'a' | upcase: 1 }}", "'upcase' takes no arguments, not 1 (line 1, column 10)"),
        ("{{ 'a' | round: 1, 2 }}", "'round' takes at most 1 argument, not 2 (line 1, column 10)"),
        ("{{ 'a' | default: 1, allow_flase: true }}", "'default' has no argument 'allow_flase' (line 1, column 10)"),
        ("{{ 'a' | upcsae }}", "there is no filter 'upcsae' (line 1, column 10)"),
    ],
)  # fmt: skip
def test_a_filter_refuses_with_a_sentence_and_a_place(source: str, message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        render_text(source, DATA)
    assert str(caught.value) == message


def test_the_clock_is_the_datas() -> None:
    with pytest.raises(TemplateError, match="'now' has no value here"):
        render_text("{{ 'now' | date: '%Y' }}", {})
    assert render_text("{{ now }}{{ today }}", {}) == ""


@pytest.mark.parametrize(
    ("source", "result"),
    [
        ('[{{ "12.50" | number }}, {{ 42 | string }}, {{ products | map: "colour" }}]', b'[12.5, "42", [null,"red"]]'),
        ("{{ price | divided_by: 3 }}", b"6.63333333333333"),
        ('[{{ tags | json }}, "{{ lines | json_escape }}"]', rb'[["b","a","b"], "a\r\nb"]'),
        ('["{{ tags | json }}"]', rb'["[\"b\",\"a\",\"b\"]"]'),
        ("[{{ tags | json | string }}]", rb'["[\"b\",\"a\",\"b\"]"]'),
        ({"a": "{{ tags | json | string }}"}, rb'{"a":"[\"b\",\"a\",\"b\"]"}'),
    ],
)
def test_values_come_out_of_filters_with_their_types_and_are_not_encoded_twice(source: Any, result: bytes) -> None:
    assert evaluate_value("{{ '12.50' | number }}", DATA) == Decimal("12.50")
    assert render_json(source, DATA) == result


def test_line_breaks_in_data_are_kept_in_texts() -> None:
    assert render_text("{{ lines }}", DATA) == "a\r\nb"
    assert render_line("{{ lines }}", DATA) == "a b"


@pytest.mark.parametrize(
    ("source", "result"),
    [
        ("{{ x }}", "&lt;b&gt;"),
        ("{{ x | safe }}", "<b>"),
        ("{{ x | escape }}", "&lt;b&gt;"),
        ("{{ x | append: '<br>' }}", "&lt;b&gt;<br>"),
        ("{{ x | upcase | titlecase | truncate: 9 }}", "&lt;B&gt;"),
        ("{{ list | join: '<br>' }}", "&lt;b&gt;<br>c"),
        ("{{ list | join }} {{ list }}", "&lt;b&gt; c &lt;b&gt;c"),
        ("{% capture c %}<i>{{ x }}</i>{% endcapture %}{{ c }}", "<i>&lt;b&gt;</i>"),
        ("{% assign c = x %}{{ c }}{% echo c %}{% cycle x, 'b' %}", "&lt;b&gt;&lt;b&gt;&lt;b&gt;"),
        ("{{ object }} {{ object | json }}", "{&#34;k&#34;:&#34;&lt;b&gt;&#34;} " * 2),
        ("{{ x | newline_to_br }}", "&lt;b&gt;"),
        ("{{ x | url_encode }}", "%3Cb%3E"),
        ("{{ x | replace: 'b', '<i>' }}", "&lt;&lt;i&gt;&gt;"),
        ("{{ x | default: '-' }}{{ nothing }}", "&lt;b&gt;"),
    ],
)
def test_html_escapes_data_and_not_what_authors_write(source: str, result: str) -> None:
    data = {"x": "<b>", "list": ["<b>", "c"], "object": {"k": "<b>"}, "nothing": None}
    assert render_html(source, data) == result.rstrip()


ADDRESSES = {
    "A.B+c@Googlemail.com": ("ab@googlemail.com", "a.b+c@googlemail.com"),
    " zoe.roux@gmail.com\t": ("zoeroux@gmail.com", "zoe.roux@gmail.com"),
    "Zoé.Roux+shop@exämple.fr": ("zoé.roux+shop@exämple.fr", "zoé.roux+shop@exämple.fr"),
}
"""Addresses as Google and as Meta normalise them."""
NUMBERS = {
    "+33 6 12 34 56 78": ("+33612345678", "33612345678"),
    "+44 (0)20 7946-0958": ("+442079460958", "442079460958"),
}
PACKAGES = ("google-ads-datamanager-util==0.4.0", "facebook-business==26.0.3")
OFFICIAL = """
import hashlib, json, sys
from facebook_business.adobjects.serverside.normalize import Normalize
from google.ads.datamanager_util import Formatter
from google.ads.datamanager_util.format import Encoding
google, (addresses, numbers) = Formatter(), json.load(sys.stdin)
print(json.dumps([
    [[google.process_email_address(one, Encoding.HEX), Normalize.normalize("em", one, True)] for one in addresses],
    [[google.process_phone_number(one, Encoding.HEX), Normalize.normalize("ph", one, True)] for one in numbers],
]))
"""


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def members(kind: str, values: list[str]) -> list[list[str]]:
    """The hashes of values for Google and for Meta."""
    template = (
        "{% for one in values %}{{ one | audience_KIND: 'google' }} {{ one | audience_KIND: 'meta' }};{% endfor %}"
    )
    text = render_text(template.replace("KIND", kind), {"values": values})
    return [one.split(" ") for one in text.split(";")[:-1]]


@pytest.mark.parametrize(("kind", "values"), [("email", ADDRESSES), ("phone", NUMBERS)])
def test_each_platform_gets_the_hash_of_what_it_normalises_to(kind: str, values: dict[str, tuple[str, str]]):
    assert members(kind, [*values]) == [[digest(google), digest(meta)] for google, meta in values.values()]


@pytest.mark.parametrize("number", ["06 12 34 56 78", "0033612345678"])
def test_a_national_number_needs_its_country(number: str):
    assert render_text("{{ number | audience_phone: 'meta' }}", {"number": number}) == ""
    hashed = render_text("{{ number | audience_phone: 'meta', 'FR' }}", {"number": number})
    assert hashed == digest("33612345678")


@pytest.mark.parametrize(
    "value", ["", "zoe", "zoe@", "@gmail.com", "a b@gmail.com", "a@b@c.fr", "zoe@localhost", "+.+@gmail.com"]
)
def test_what_is_no_address_has_no_hash(value: str):
    assert render_text("{{ value | audience_email: 'google' }}", {"value": value}) == ""


def test_another_platform_is_a_mistake():
    with pytest.raises(TemplateError, match="'audience_email' takes a platform: 'google' or 'meta'"):
        render_text("{{ 'a@b.fr' | audience_email: 'tiktok' }}", {})


@pytest.mark.nightly
def test_the_platforms_own_libraries_hash_the_same(tmp_path: Path):
    # In an environment of their own: nothing else needs them.
    subprocess.run(["uv", "venv", "--quiet", "--python", sys.executable, tmp_path], check=True)
    python = tmp_path / "bin" / "python"
    subprocess.run(["uv", "pip", "install", "--quiet", "--python", python, *PACKAGES], check=True)
    numbers = [ours for ours, _ in NUMBERS.values()]  # in E.164, which both expect
    asked = json.dumps([[*ADDRESSES], numbers])
    told = subprocess.run([python, "-c", OFFICIAL], input=asked, capture_output=True, text=True, check=True)
    assert json.loads(told.stdout) == [members("email", [*ADDRESSES]), members("phone", numbers)]
