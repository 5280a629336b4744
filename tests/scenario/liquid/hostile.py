# ruff: noqa: E501 - a case is a line
"""Templates and structured bodies that are made to take long or to need much, and what each must end in."""

from typing import Any

from scenario.liquid.engine.limits import MAX_SOURCE

KILO = "a" * 1000


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


DATA: dict[str, Any] = {
    "s": KILO,
    "n": 10**39,
    "big": "ab, " * 50_000,
    "items": [{"name": f"n{number}", "price": number, "tags": [1, 2]} for number in range(20_000)],
    "numbers": list(range(20_000)),
    "deep": nested(2000),
    "wide": {str(number): number for number in range(20_000)},
    "html": "<" * 60_000,
    "surrogate": "\ud800" * 1000,
}


def loops(levels: int, times: str) -> str:
    return "".join(f"{{% for i{level} in {times} %}}" for level in range(levels)) + "x" + "{% endfor %}" * levels


TEMPLATES: dict[str, tuple[str, str | None]] = {
    # name: template, the reason that it is refused for (None: it ends in a result)
    "nested loops": (loops(3, "(1..1000)"), "nested loops run more than 100,000 times: loop over fewer items"),
    "one endless range": (loops(1, "(1..1000000000)"), "nested loops run more than 100,000 times: loop over fewer items"),
    "a range backwards": ("{% for i in (1..1000000000) reversed %}x{% endfor %}", "nested loops run more than 100,000 times: loop over fewer items"),
    "a range of 10^38 numbers": ("{% for i in (1..n) %}{% endfor %}", "a range is too long for a loop"),
    "a range searched": ("{% assign r = (1..1000000000) %}{% if r contains 'x' %}a{% endif %}{{ r.size }}", None),
    "a range of 10^38 numbers counted": ("{% assign r = (1..n) %}{{ r.size }}{% if r contains 3 %}a{% endif %}", None),
    "ranges compared": ("{% if a == b %}{% endif %}{% assign a = (1..n) %}{% if a == a %}a{% endif %}", None),
    "a range joined": ("{{ (1..1000000000) | join: ',' }}", "a range has more than 10,000 numbers"),
    "a range sorted": ("{{ (1..1000000000) | sort | first }}", "a range has more than 10,000 numbers"),
    "loops in a row": ("{% for i in (1..99000) %}{% endfor %}" * 500, "the template takes more than 100,000 steps: loop over fewer items"),
    "loops in a row over nothing but blanks": ("{% for i in (1..50000) %} {% endfor %}" * 10, "the template takes more than 100,000 steps: loop over fewer items"),
    "a loop of assignments": ("{% for i in (1..99000) %}{% assign x = i %}{% endfor %}" * 3, "the template takes more than 100,000 steps: loop over fewer items"),
    "an explosion by replacement": ("{{ s | replace: 'a', s }}" * 3 + "{{ s | replace: 'a', s | replace: 'a', s }}", "'replace' makes a text of more than 262,144 characters"),
    "replacement of nothing": ("{{ s | replace: '', s }}", "'replace' makes a text of more than 262,144 characters"),
    "numbers that square": ("{% assign x = n %}" + "{% assign x = x | times: x %}" * 30, "'times' works with numbers of up to 40 digits"),
    "a number of 4,000 digits": ("{{ " + "9" * 4000 + " | times: 2 }}", "'times' works with numbers of up to 40 digits"),
    "a number of 5,000 digits": ("{{ " + "9" * 5000 + " }}", "integer string conversion limit (4300) reached: value has 5000 digits"),
    "texts that double": ("{% assign x = s %}" + "{% assign x = x | append: x %}" * 30, "'append' makes a text of more than 262,144 characters"),
    "captures that double": ("{% assign x = s %}" + "{% capture x %}{{ x }}{{ x }}{% endcapture %}" * 30, "the template writes more than 1,000,000 characters"),
    "lists that double": ("{% assign x = numbers %}" + "{% assign x = x | concat: x %}" * 30, "'concat' makes a list of more than 10,000 items"),
    "many variables": ("".join(f"{{% assign v{number} = big %}}" for number in range(2000)), "the template's variables hold more than 1,000,000 characters"),
    "output without end": ("{% for i in (1..90000) %}{{ s }}{% endfor %}", "the template writes more than 1,000,000 characters"),
    "a join of long separators": ("{{ numbers | join: s }}", "'join' makes a text of more than 262,144 characters"),
    "a list too long to make": ("{{ big | split: '' | size }}", "'split' makes a list of more than 10,000 items"),
    "unique of much": ("{{ numbers | uniq | size }}", "'uniq' makes a list of more than 10,000 items"),
    "unique objects of much": ("{{ items | uniq: 'name' | size }}", "'uniq' makes a list of more than 10,000 items"),
    "asking lists in a loop": ("{% for i in (1..50000) %}{% if numbers contains 'x' %}{% endif %}{% endfor %}", "the template takes more than 100,000 steps: loop over fewer items"),
    "comparing lists in a loop": ("{% for i in (1..50000) %}{% if items == items %}{% endif %}{% endfor %}", "the template takes more than 100,000 steps: loop over fewer items"),
    "sorting in a loop": ("{% for i in (1..50000) %}{% assign x = items | sort: 'name' | size %}{% endfor %}", "'sort' makes a list of more than 10,000 items"),
    "searching in a loop": ("{% for i in (1..90000) %}{% assign x = big | split: 'zz' %}{% endfor %}", "the template takes more than 100,000 steps: loop over fewer items"),
    "stripping HTML": ("{{ html | strip_html }}" * 20, "the template writes more than 1,000,000 characters"),
    "stripping HTML in a loop": ("{% for i in (1..9000) %}{{ html | strip_html | size }}{% endfor %}", "the template takes more than 100,000 steps: loop over fewer items"),
    "stripping tags that are not closed": ("{{ html | replace: '<', '<a ' | strip_html | size }}", None),
    "stripping comments that are not closed": ("{{ html | replace: '<', '<!--' | strip_html | size }}", None),
    "stripping attributes": ("{{ html | replace: '<', '<a b=\"' | strip_html | size }}", "'replace' makes a text of more than 262,144 characters"),
    "escaping again and again": ("{{ html | escape | escape | escape | escape }}", "'escape' makes a text of more than 262,144 characters"),
    "encoding again and again": ("{{ big | url_encode | url_encode | url_encode | base64_encode }}", "'url_encode' makes a text of more than 262,144 characters"),
    "a value nested deep": ("{{ deep | json }}", "a value is nested more than 64 levels deep"),
    "a value nested deep, printed": ("{{ deep }}", "a list is nested more than 64 levels deep"),
    "a value nested deep, joined": ("{{ deep | join: ',' | size }}", "a list is nested more than 64 levels deep"),
    "a value nested deep, without repetitions": ("{{ deep | uniq | size }}", "'uniq' got a value that is nested too deeply"),
    "blocks nested deep": ("{% if true %}" * 2000 + "{% endif %}" * 2000, "blocks are nested more than 30 levels deep"),
    "brackets nested deep": ("{{ " + "a[" * 20_000 + "0" + "]" * 20_000 + " }}", "an expression has more than 50 brackets"),
    "brackets with quotes": ("{{ " + '["' * 20_000 + " }}", "an expression has more than 50 brackets"),
    "parentheses": ("{{ " + "(" * 40_000 + " }}", "an expression has more than 50 brackets"),
    "a chain of and": ("{% if a" + " and a" * 9000 + " %}{% endif %}", "an expression has more than 100 'and', 'or' and 'not'"),
    "a chain of filters": ("{{ s" + " | upcase" * 5000 + " }}", "an expression has more than 30 filters"),
    "a path without end": ("{{ a" + ".b" * 20_000 + " }}", None),
    "raw tags that are not closed": ("{% raw %}" * 3000, "'raw' is not closed: add '{% endraw %}'"),
    "raw tags in comments": ("{% comment %}" + "{% raw %}" * 3000 + "{% endcomment %}", None),
    "doc tags that are not closed": ("{% doc %}" * 3000, "nested doc tags are not allowed"),
    "comments nested": ("{% comment %}" * 4000, "'comment' is not closed: add '{% endcomment %}'"),
    "braces in a comment": ("{% comment %}" + "{{ " * 15_000 + "{% endcomment %}", None),
    "tag braces in a comment": ("{% comment %}" + "{% " * 15_000 + "%}{% endcomment %}", None),
    "a run of braces": ("{" * 60_000, "'{{' is not closed: add '}}'"),
    "a run of tag braces": ("{%" * 30_000, "'{%' is not closed, or it has no tag name"),
    "outputs that are not closed": ("{{ a " * 12_000, "'{{' is not closed: add '}}'"),
    "a tag of blanks": ("{%" + " " * 60_000 + "%}", "'{%' is not closed, or it has no tag name"),
    "an output of blanks": ("{{" + " " * 60_000 + "}}", "a value is missing here"),
    "quotes that are not closed": ("{{ " + "'" * 60_001 + " }}", 'the quote "\'" is not closed'),
    "a source too long": ("a" * (MAX_SOURCE + 1), "a template may have 64 KB of text"),
    "a liquid tag of many lines": ("{% liquid\n" + "assign x = 1\n" * 4900 + "%}", None),
    "a case of many values": ("{% case s %}{% when " + "'b', " * 12_000 + "'a' %}{% endcase %}", None),
    "a format of a date without end": ("{{ '2026-01-01' | date: s }}", "'date' takes a format of up to 256 characters"),
    "a width in the format of a date": ("{{ '2026-01-01' | date: '%999999999d' }}", None),
    "a date of a long text": ("{{ big | date: '%Y' }}", None),
    "an exponent": ("{{ '1e999999999' | number }}", "'number' needs a text that is a number, such as '12.50'"),
    "an exponent of three digits": ("{{ '1e999' | number | round }}", "'number' works with numbers of up to 40 digits"),
    "money without end": ("{{ '1e100' | number | money: 'EUR' }}", "'number' works with numbers of up to 40 digits"),
    "infinity": ("{{ '1e999' | times: 1e308 | round }}", "'times' cannot work with a text and nothing"),
    "surrogates": ("{{ surrogate | url_encode }}{{ surrogate | sha256 }}{{ surrogate | json }}", None),
    "a table of many cells": ("{% tablerow i in (1..90000) cols:3 %}{{ s }}{% endtablerow %}", "the template writes more than 1,000,000 characters"),
    "cycles": ("{% for i in (1..90000) %}{% cycle 'a', 'b' %}{% endfor %}", "the template takes more than 100,000 steps: loop over fewer items"),
    "counters": ("{% increment a %}" * 3500, None),
}  # fmt: skip


BODIES: dict[str, tuple[Any, str]] = {
    # name: structured body, the reason that it is refused for
    "a list of large values": ({"$for": "i in (1..1000)", "$each": "{{ items }}"}, "$each: the template writes more than 1,000,000 characters"),
    "lists nested": ({"$for": "i in (1..1000)", "$each": {"$for": "j in (1..1000)", "$each": {"$for": "k in (1..1000)", "$each": 1}}}, "$each.$for: nested loops run more than 100,000 times: loop over fewer items"),
    "a long list": ({"$for": "i in (1..90000)", "$each": {"a": "{{ s }}", "b": "{{ i }}"}}, "$each.a: the template writes more than 1,000,000 characters"),
    "a range as a value": ({"a": "{{ (1..1000000000) }}"}, "a: a range has more than 10,000 numbers"),
    "a body that is too large": ({"$for": "i in (1..400)", "$each": "{{ s }}"}, "the body is larger than 256 KB"),
}  # fmt: skip
