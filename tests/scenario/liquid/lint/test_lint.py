# ruff: noqa: E501 - a case is a line
"""The linter: every mistake at its place, no false alarm, and the same verdict as rendering's own parser."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from scenario.check.check import check
from scenario.check.variables import roots
from scenario.errors import TemplateError
from scenario.liquid.analysis.fields import ENGINES
from scenario.liquid.lint import lint
from scenario.liquid.lint.findings import TemplateFinding
from scenario.liquid.sinks import body, request
from scenario.liquid.sinks.text import compile_condition, parse_template
from tests.scenario.liquid.mutants import mutants
from tests.scenario.liquid.samples import Page, pages

MISTAKES = Path(__file__).parent / "mistakes.html.liquid"
REPORT = Path(__file__).parent / "mistakes.txt"

_NOT_APART = "name which part of 'secrets' is meant: secrets.NAME"
CODE = re.compile(r'(?:add|_note)\(\s*(?:path, |inner, |\(\*path, \w+\), )?"([a-z]+(?:-[a-z]+)*)"')

DEEP = "elements are nested more than 256 levels deep: is one not closed?"

PARSERS: dict[str, Callable[[str], object]] = {
    **{kind: partial(parse_template, engine) for kind, engine in ENGINES.items()},
    "url": request.find_origin,
    "path": request.check_path,
    "condition": compile_condition,
}


schema = partial(roots, event=True, secrets=("TOKEN", "KEY", "WAX_TOKEN", "SIGNING_KEY"))
"""The variables of a webhook's template, after an event, by the scenario's trigger."""


def parse(page: Page) -> None:
    if isinstance(page.source, str):
        PARSERS[page.kind](page.source)
    else:
        body.compile_body(page.source)


def report(source: Any, kind: Any, trigger: str = "order") -> list[str]:
    return [str(found) for found in lint(source, kind=kind, schema=schema(trigger))]


def test_a_page_of_mistakes_is_reported_whole() -> None:
    assert report(MISTAKES.read_text(), "html") == REPORT.read_text().splitlines()


@pytest.mark.parametrize("page", list(pages()), ids=lambda page: page.name)
def test_there_is_no_false_alarm(page: Page) -> None:
    assert report(page.source, page.kind, page.trigger) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('{"a": {{ contact.id }}, "b": "{{ contact.email }}"}', []),
        ('{"a": "{{ contact.email }}', ["1:7 error json-string: a text is not closed at the end: a quote is missing"]),
        ('{"a": {% if contact.email %}"{% endif %}{{ contact.email }}"}', ["1:29 error json-string: a text is not closed at the end of some paths: a quote is missing", "1:41 error json-string: this output is inside a text on one path and outside on another"]),
        ('{"a": "\\{{ contact.email }}"}', ["1:9 error json-string: an output directly follows a backslash"]),
        ('{"a": "{{ contact.id }}\n"}', ["1:24 error json-string: a line break or control character is inside a text: write \\n"]),
        ('["{{ contact.email | escape }}", "{{ contact.email | replace: \'"\', \'x\' }}"]', ["1:22 warning escaped-by-hand: 'escape' escapes a value that is escaped automatically: remove it", "1:54 warning escaped-by-hand: 'replace' escapes a value that is escaped automatically: remove it"]),
        ('["{{ contact.lists | json }}"]', ["1:22 warning json-in-quotes: 'json' inside quotes writes JSON as text: remove the quotes or the filter"]),
        ("[NaN]", ["1:2 error no-json: this is not JSON: NaN and Infinity do not exist there"]),
        ("[" + "9" * 5000 + "]", ["1:2 error no-json: this is not JSON: a number has more than 4,300 digits"]),
        ("[" * 30_000, ["1:501 error limit: the body is nested too deeply to be read"]),
        ('{"a": "\\u004{{ contact.id }}"}', ["1:9 error no-json: this is not JSON: '\\u' is not followed by four hexadecimal digits"]),
        ('{"a": {{ contact.id }} "b": 1}', ["1:24 error no-json: this is not JSON: a comma is missing"]),
        ('{"a": 1, "b": {{ contact.id }},}', []),
        ("{'a': 1}", ["1:2 error no-json: this is not JSON: a key in double quotes is missing"]),
        ('{"a": "{% capture x %}"{% endcapture %}"}', []),
        (
            '["{% for p in order.products %}{{ p.name }}", "{% endfor %}"]',
            [],  # odd, but every round closes one text and opens the next
        ),
        ('{"a": {% case contact.language %}{% when "fr" %}"x"{% when "en" %}"{% endcase %}}', ["1:67 error json-string: a text is not closed at the end of some paths: a quote is missing"]),
    ],
)  # fmt: skip
def test_a_json_text_is_followed_through_its_strings(source: str, found: list[str]) -> None:
    assert report(source, "json") == found


LOOPS: list[tuple[str | dict[str, Any], list[str]]] = [
    ("{% for p of order.products %}{{ p.x }}{% endfor %}", ["1:10 error syntax: expected 'in', not a name"]),
    ("{% for %}{{ contact.id }}{% endfor %}", ["1:4 error syntax: this tag needs an expression"]),
    ("{% for p %}{{ p.x }}{% endfor %}", ["1:9 error syntax: 'in' is missing here"]),
    ("{% tablerow p in order.products limt: 3 %}{{ p.x }}{% endtablerow %}", ["1:33 error syntax: expected 'reversed', 'offset' or 'limit'"]),
    ("{% for nil in order.products %}{{ contact.nmae }}{% endfor %}", ["1:8 error syntax: expected a name, not 'Nil'", "1:43 error unknown-field: 'contact' has no field 'nmae'"]),
    ({"$for": "p of order.products", "$each": "{{ p.x }}{{ q.x }}"}, ["$for 1:3 error syntax: expected 'in', not a name", "$each 1:13 error unknown-variable: there is no variable 'q'"]),
]  # fmt: skip


@pytest.mark.parametrize(("source", "found"), LOOPS, ids=[str(source) for source, _ in LOOPS])
def test_a_loop_with_a_mistake_in_it_still_has_its_variable(source: str | dict[str, Any], found: list[str]) -> None:
    assert report(source, "json" if isinstance(source, dict) else "text") == found


def test_a_structure_is_checked_text_by_text() -> None:
    body = {
        "a": "{{ contact.emial }}",
        "b": ["x", "{{ order.products | }}"],
        "{{ contact.nmae }}": 1,
        "lines": {
            "$for": "p in order.products",
            "$each": {"n": "{{ p.nmae }}", "i": "{{ forloop.index }}"},
            "$else": "{{ p.name }}",
        },
        "if": {"$if": "order.total_price > 'x'", "$then": "{{ reward.status }}", "$also": 1},
        "for": {"$for": "p of order.products"},
        "braces": {"$if": " {{ contact.optin_email }}", "$then": {"$for": "{% order.products %}", "$each": 1}},
        "number": {"$if": 3, "$then": 1},
        "let": {
            "$let": {"store": "{{ order.store }}", "n": "{{ order.products | size }}"},
            "$in": "{{ store.nmae }} {{ n.x }}",
        },
        "list": {"$let": ["a"], "$in": "{{ contact.emial }}"},
        "$what": 1,
        True: 2,
    }
    assert report(body, "json") == [
        "a 1:12 error unknown-field: 'contact' has no field 'emial': did you mean 'email'?",
        "b.1 1:20 error syntax: a name is missing here",
        "{{ contact.nmae }} 1:12 error unknown-field: 'contact' has no field 'nmae'",
        "lines.$each.n 1:6 error unknown-field: 'p' has no field 'nmae': did you mean 'name'?",
        "lines.$else 1:4 error unknown-variable: there is no variable 'p'",
        "if.$also 1:1 error body-form: '$also' has no meaning beside '$if'",
        "if.$if 1:19 error comparison: a number and a text cannot be compared",
        "if.$then 1:4 error out-of-scope: 'reward' is there only with the trigger reward",
        "for 1:1 error body-form: '$for' needs '$each' beside it",
        "for.$for 1:3 error syntax: expected 'in', not a name",
        "braces.$if 1:1 error body-form: '$if' is written without braces",
        "braces.$then.$for 1:1 error body-form: '$for' is written without braces",
        "number.$if 1:1 error body-form: '$if' takes a text",
        "let.$in 1:10 error unknown-field: 'store' has no field 'nmae': did you mean 'name'?",
        "let.$in 1:23 error no-object: 'n' is a number, it has no field 'x'",
        "list.$let 1:1 error body-form: '$let' is a mapping of names",
        "list.$in 1:12 error unknown-field: 'contact' has no field 'emial': did you mean 'email'?",
        "$what 1:1 error body-form: there is no such form: use $for, $if or $let, or write the key with '$$'",
        "True 1:1 error body-form: a key that is not text must be written in quotes",
    ]


def test_a_key_of_a_structure_is_told_from_its_value() -> None:
    (found,) = lint({"{{ contact.nmae }}": "x"}, kind="json", schema=schema("order"))
    assert (found.path, found.in_key, found.offset) == (("{{ contact.nmae }}",), True, 11)


@pytest.mark.parametrize(
    ("kind", "source", "found"),
    [
        ("condition", "order.total_price > 20 and contact.cellphone != blank", []),
        ("condition", "", ["1:1 error syntax: the condition is empty"]),
        ("condition", "not contact.email", []),
        ("condition", "order.ordered_at > 3", ["1:18 error comparison: a date and a number cannot be compared: a date is text, such as '2026-12-24'"]),
        ("condition", "reward or order.total_price == '3'", ["1:29 error comparison: a number and a text are never equal: write 3 without quotes"]),
        ("url", "https://h.example.com/{{ contact.emial }}", ["1:34 error unknown-field: 'contact' has no field 'emial': did you mean 'email'?"]),
        ("url", "https://{{ contact.host }}/{{ contact.email | escape }}", ["1:1 error url: a URL starts with https:// and a host, as plain text, followed by '/'", "1:20 error unknown-field: 'contact' has no field 'host'", "1:47 warning escaped-by-hand: 'escape' escapes a value that is escaped automatically: remove it"]),
        ("url", "https://h.example.com/?q={{ contact.email | url_encode }}", []),
        ("path", "/{% if contact.id %}a{% endif %}#{{ contact.id }}", ["1:33 error url: a requested URL has no fragment: remove the '#' and the text after it, or write %23"]),
        ("url", "https://caf\u00e9.example.com/{{ contact.id }}", ["1:9 error url: a host is written in ASCII, here 'xn--caf-dma.example.com'"]),
        ("path", "//evil/{{ contact.id }}", ["1:1 error url: a path continues the destination's URL: write /orders, not https://… or //…"]),
        ("header", "\u00e9 {{ contact.emial }}{{ order.products.name }}", ["1:1 error header: a header's value contains a line break, a control character or a character that is not ASCII", "1:14 error unknown-field: 'contact' has no field 'emial': did you mean 'email'?", "1:40 error list-field: 'order.products' is a list, it has no field 'name': loop over it, take order.products.first.name, or ask order.products | has: 'name', 'x'"]),
        ("header", "{% if contact.id %}\u00e9{% endif %}{{ contact.id }}", []),
        ("url", "https://h.example.com/../{{ contact.id }}", ["1:1 error url: a URL's path cannot have '.' or '..' as a part"]),
        ("url", "https://h.example.com/.{{ contact.id }}?a=..&b={{ contact.id }}/..", []),
        ("text", "{{ order.ordered_at | date: '%Y', 'Europe/Pariss' }}", ["1:23 error filter-arguments: 'date' takes a time zone such as 'Europe/Paris'"]),
        ("text", "{{ order.ordered_at | date: '%Y', contact.timezone, 'fr' }}{{ order.ordered_at | date: '%Q' }}", ["1:82 error filter-arguments: 'date' has no directive '%Q'"]),
        ("text", "{{ order.total_price | money: 'EURO' }}{{ order.total_price | money: order.currency, 'x' }}", ["1:24 error filter-arguments: 'money' needs a currency of three letters, such as 'EUR'"]),
        ("text", "{{ contact.cellphone | phone_e164: 'XX' }}", ["1:24 error filter-arguments: 'phone_e164' takes a country of two letters, such as 'FR'"]),
        ("text", "{{ order.total_price | divided_by: 0 }}", ["1:24 error filter-arguments: 'divided_by' cannot divide by zero"]),
        ("text", "{% for p in order %}{{ p }}{% endfor %}", ["1:13 error not-a-list: 'order' is an object, not a list to loop over: did you mean 'order.products'?"]),
        ("text", "{% for pair in order.store %}{{ pair }}{% endfor %}", ["1:16 warning not-a-list: 'order.store' is an object, not a list to loop over"]),
        ("text", "{% for pair in contact.custom %}{{ pair.first }}{% endfor %}", []),
        ("text", "{% if order %}a{% else if contact %}b{% else %}c{% endif %}", ["1:24 error else-if: what follows 'else' is ignored: write 'elsif', or remove it"]),
        ("text", "{% for p in order.products limit=3 %}{% endfor %}", ["1:33 error syntax: expected ':', not '='"]),
        ("header", "{{ secrets['TOKEN'] }}{{ order.external_id | hmac_sha256: secrets.KEY }}", []),
        *(
            ("header", source, [f"1:{source.index('secrets') + 1} error not-apart: {_NOT_APART}"])
            for source in ("{{ secrets }}", "{{ secrets | json }}", "{{ secrets[contact.custom.choice] }}", "{{ secrets[0] }}", "{{ secrets.first }}", "{{ 'a' | hmac_sha256: secrets }}", "{% for secret in secrets %}{{ secret }}{% endfor %}", "{% assign all = secrets %}{{ all.TOKEN }}")
        ),
        ("line", "{{ contact.custom.anything.at.all }} {{ responses.x.y }} {{ event.order_id }}", []),
        ("text", "{% comment %} {{ contact.nope }}", ["1:4 error unclosed-tag: 'comment' is not closed: add '{% endcomment %}'"]),
        ("text", "{% raw %}{{ nope }}{% endraw %}{% raw %}{{ nope }}", ["1:35 error syntax: 'raw' is not closed: add '{% endraw %}'", "1:44 error unknown-variable: there is no variable 'nope'"]),
        ("text", "{% liquid\nassign x = contact.nope\nif x\necho y\n%}", ["2:20 error unknown-field: 'contact' has no field 'nope'", "3:1 error unclosed-tag: 'if' is not closed: add '{% endif %}'", "4:6 error unknown-variable: there is no variable 'y'"]),
        ("text", "a" * 70_000, ["1:65537 error limit: a template may have 64 KB of text"]),
        ("text", "{% if true %}" * 40 + "{% endif %}" * 40, ["1:407 error limit: blocks are nested more than 30 levels deep"]),
        ("html", "{% tablerow p in order.products %}{{ p.nmae }}{{ tablerowloop.col }}{% endtablerow %}", ["1:40 error unknown-field: 'p' has no field 'nmae': did you mean 'name'?"]),
        ("html", "<div>" * 256 + "x", []),
        ("html", "<p>" * 300 + "<br>" * 300 + "<!-- " + "<div>" * 300 + " -->", []),
        ("html", "<div>" * 200 + "</div>" * 200 + "<div>" * 200, []),
        ("html", "<table><tr><td>a<td>b" * 2 + "<tr><td>c" * 300, []),
        ("html", "{% if order.store %}<div>{% else %}<div class=b>{% endif %}</div>" * 300, []),
        ("html", "<TABLE><tr><td>\n" * 90, ["86:8 error limit: " + DEEP]),
        ("html", "<div><table><td></div>" * 90, ["1:1876 error limit: " + DEEP]),
        ("html", "<b>" * 200 + "{% if order.store %}" + "<i>" * 57 + "{% endif %}", ["1:789 error limit: " + DEEP]),
        ("line", "a" * 5_000 + "{{ contact.firstname }}" + "b" * 3_001, ["1:8024 error limit: a subject has at most 8,000 characters"]),
        ("value", "{{ order.ordered_at }}", []),
        ("value", " {{ order.ordered_at | date: '%Y-%m-%d' }}T10:00:00+02:00\n", []),
        ("value", "{% if order.store %}{{ order.ordered_at }}{% else %}2026-03-29{% endif %}", []),
        ("value", "{{ order.ordered_at }} at 10:00", ["1:24 error date: a date has no text around it: write only the output, such as '{{ reward.expiration_date }}'"]),
        ("json", "{% tablerow p in order.products %}1{% endtablerow %}", ["1:4 error unknown-tag: there is no tag 'tablerow'", "1:39 error unknown-tag: there is no tag 'endtablerow'"]),
    ],
)  # fmt: skip
def test_each_kind_of_template_has_its_own_mistakes(kind: Any, source: str, found: list[str]) -> None:
    assert report(source, kind) == found


@pytest.mark.parametrize("name", ["escape", "escape_once", "url_encode", "url_param_escape"])
def test_what_a_form_escapes_is_not_escaped_by_hand(name: str) -> None:
    message = f"'{name}' escapes a value that is escaped automatically: remove it"
    assert report({"a": f"{{{{ contact.email | {name} }}}}"}, "form") == [f"a 1:20 warning escaped-by-hand: {message}"]


def test_findings_are_data() -> None:
    (found,) = lint("\n{{ contact.emial }}", kind="text", schema=schema("order"))
    assert found == TemplateFinding(
        code="unknown-field",
        message="'contact' has no field 'emial': did you mean 'email'?",
        severity="error",
        line=2,
        column=12,
        offset=12,
        suggestion="email",
        missing=("contact", "emial"),
    )


def test_each_mistake_of_thousands_is_noted_without_looking_through_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[Any] = []
    equal = TemplateFinding.__eq__

    def noted(self: TemplateFinding, other: object) -> bool:
        compared.append(other)
        return equal(self, other)

    monkeypatch.setattr(TemplateFinding, "__eq__", noted)
    found = lint("{% iff x %}\n" * 5_000, kind="text", schema=schema("order"))
    assert {one.line for one in found if one.code == "unknown-tag"} == set(range(1, 5_001))
    assert len(compared) < len(found), "where every one is compared with every other, it is millions"


def errors(mutant: Page) -> list[TemplateFinding]:
    found = lint(mutant.source, kind=mutant.kind, schema=schema(mutant.trigger))
    return [one for one in found if one.severity == "error"]


def test_the_linter_and_the_parser_agree() -> None:
    disagreements: list[Any] = []
    for mutant in mutants(150, seed=11):
        found = errors(mutant)
        try:
            parse(mutant)
        except TemplateError as error:
            if not found:
                disagreements.append((mutant.source, error))
        else:
            disagreements += [(mutant.source, str(one)) for one in found if one.code in ("syntax", "unclosed-tag")]
    assert disagreements == []


def test_every_code_is_documented() -> None:
    document = (Path(__file__).parents[4] / "docs" / "write/templates.md").read_text()
    source = (Path(__file__).parents[4] / "scenario" / "liquid" / "lint").glob("*.py")
    used = {code for path in source for code in CODE.findall(path.read_text())}
    assert len(used) > 15
    assert {code for code in used if f"`{code}`" not in document} == set()


# ---- what is wrong with conditions, with what to write instead, at the place where it is written


ROOTS = roots("order", event=True)

CONDITIONS = Path(__file__).parent / "conditions.txt"
"""Conditions, and below each what is wrong with it."""


def cases() -> list[tuple[str, list[str]]]:
    found: list[tuple[str, list[str]]] = []
    for line in CONDITIONS.read_text().splitlines():
        if line.startswith(" "):
            found[-1][1].append(line.strip())
        else:
            found.append((line, []))
    return found


@pytest.mark.parametrize(("condition", "findings"), cases(), ids=[condition for condition, _ in cases()])
def test_a_mistake_is_told_at_its_place_with_what_to_write(condition: str, findings: list[str]) -> None:
    found = lint(condition, kind="condition", schema=ROOTS)
    assert [f"{one.column} {one.code}: {one.message}" for one in found] == findings
    assert all(one.severity == "error" for one in found)


def test_in_a_template_that_may_be_from_elsewhere_what_is_always_so_is_a_warning() -> None:
    source = (
        "{% if order.currency == 'EUR' and order.total_price or contact.id %}{% endif %}"
        "{% if contact.lists %}{% endif %}"
        "{% unless order.total_price == '3' or 'b' %}{% elsif contact.lists contains 'x' && now %}{% endunless %}"
    )
    assert [f"{one.column} {one.severity} {one.code}" for one in lint(source, kind="text", schema=ROOTS)] == [
        "31 warning mixed-logic",
        "141 warning comparison",
        "151 warning constant",
        "193 error foreign-word",
    ]


@pytest.mark.parametrize(
    "written", ["!contact.custom.vip", "! contact.custom.vip", "!contact.vip and contact.id", "!(contact.id)"]
)
def test_an_exclamation_mark_that_yaml_takes_for_itself_is_one_finding(written: str) -> None:
    text = f"scenario: a\ntrigger: order\nentry:\n  if: {written}\nsteps:\n  - exit: x\n"
    found = [str(one) for one in check(text).findings if "no field 'vip'" not in str(one)]
    assert found == [
        "scenario.yaml:4:7: error tag: YAML takes '!' for a tag: write 'not' in a condition, "
        "or put a text that begins with '!' in quotes"
    ]
