"""Hostile templates: each ends in a clear error, or in a result, within half a second and 64 MB."""

import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from scenario.errors import LimitExceeded, TemplateError
from scenario.liquid import evaluate_condition, fields, render_html, render_json, render_text
from scenario.liquid.bounds import MAX_SOURCE, BoundReached, Budget

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


HOSTILE: dict[str, tuple[str, bool]] = {
    # name: template, whether it must be refused (else it may also end in a result)
    "nested loops": (loops(3, "(1..1000)"), True),
    "one endless range": (loops(1, "(1..1000000000)"), True),
    "a range backwards": ("{% for i in (1..1000000000) reversed %}x{% endfor %}", True),
    "a range of 10^38 numbers": ("{% for i in (1..n) %}{% endfor %}", True),
    "a range searched": ("{% assign r = (1..1000000000) %}{% if r contains 'x' %}a{% endif %}{{ r.size }}", False),
    "a range of 10^38 numbers counted": ("{% assign r = (1..n) %}{{ r.size }}{% if r contains 3 %}a{% endif %}", False),
    "ranges compared": ("{% if a == b %}{% endif %}{% assign a = (1..n) %}{% if a == a %}a{% endif %}", False),
    "a range joined": ("{{ (1..1000000000) | join: ',' }}", True),
    "a range sorted": ("{{ (1..1000000000) | sort | first }}", True),
    "loops in a row": ("{% for i in (1..99000) %}{% endfor %}" * 500, True),
    "loops in a row over nothing but blanks": ("{% for i in (1..50000) %} {% endfor %}" * 10, True),
    "a loop of assignments": ("{% for i in (1..99000) %}{% assign x = i %}{% endfor %}" * 3, True),
    "an explosion by replacement": (
        "{{ s | replace: 'a', s }}" * 3 + "{{ s | replace: 'a', s | replace: 'a', s }}",
        True,
    ),
    "replacement of nothing": ("{{ s | replace: '', s }}", True),
    "numbers that square": ("{% assign x = n %}" + "{% assign x = x | times: x %}" * 30, True),
    "a number of 4,000 digits": ("{{ " + "9" * 4000 + " | times: 2 }}", True),
    "a number of 5,000 digits": ("{{ " + "9" * 5000 + " }}", True),
    "texts that double": ("{% assign x = s %}" + "{% assign x = x | append: x %}" * 30, True),
    "captures that double": ("{% assign x = s %}" + "{% capture x %}{{ x }}{{ x }}{% endcapture %}" * 30, True),
    "lists that double": ("{% assign x = numbers %}" + "{% assign x = x | concat: x %}" * 30, True),
    "many variables": ("".join(f"{{% assign v{number} = big %}}" for number in range(2000)), True),
    "output without end": ("{% for i in (1..90000) %}{{ s }}{% endfor %}", True),
    "a join of long separators": ("{{ numbers | join: s }}", True),
    "a list too long to make": ("{{ big | split: '' | size }}", True),
    "unique of much": ("{{ numbers | uniq | size }}", True),
    "unique objects of much": ("{{ items | uniq: 'name' | size }}", True),
    "asking lists in a loop": ("{% for i in (1..50000) %}{% if numbers contains 'x' %}{% endif %}{% endfor %}", True),
    "comparing lists in a loop": ("{% for i in (1..50000) %}{% if items == items %}{% endif %}{% endfor %}", True),
    "sorting in a loop": ("{% for i in (1..50000) %}{% assign x = items | sort: 'name' | size %}{% endfor %}", True),
    "searching in a loop": ("{% for i in (1..90000) %}{% assign x = big | split: 'zz' %}{% endfor %}", True),
    "stripping HTML": ("{{ html | strip_html }}" * 20, False),
    "stripping HTML in a loop": ("{% for i in (1..9000) %}{{ html | strip_html | size }}{% endfor %}", False),
    "stripping tags that are not closed": ("{{ html | replace: '<', '<a ' | strip_html | size }}", False),
    "stripping comments that are not closed": ("{{ html | replace: '<', '<!--' | strip_html | size }}", False),
    "stripping attributes": ("{{ html | replace: '<', '<a b=\"' | strip_html | size }}", False),
    "escaping again and again": ("{{ html | escape | escape | escape | escape }}", True),
    "encoding again and again": ("{{ big | url_encode | url_encode | url_encode | base64_encode }}", True),
    "a value nested deep": ("{{ deep | json }}", True),
    "a value nested deep, printed": ("{{ deep }}", True),
    "a value nested deep, joined": ("{{ deep | join: ',' | size }}", False),
    "a value nested deep, without repetitions": ("{{ deep | uniq | size }}", False),
    "blocks nested deep": ("{% if true %}" * 2000 + "{% endif %}" * 2000, True),
    "brackets nested deep": ("{{ " + "a[" * 20_000 + "0" + "]" * 20_000 + " }}", True),
    "brackets with quotes": ("{{ " + '["' * 20_000 + " }}", True),
    "parentheses": ("{{ " + "(" * 40_000 + " }}", True),
    "a chain of and": ("{% if a" + " and a" * 9000 + " %}{% endif %}", True),
    "a chain of filters": ("{{ s" + " | upcase" * 5000 + " }}", True),
    "a path without end": ("{{ a" + ".b" * 20_000 + " }}", False),
    "raw tags that are not closed": ("{% raw %}" * 3000, True),
    "raw tags in comments": ("{% comment %}" + "{% raw %}" * 3000 + "{% endcomment %}", False),
    "doc tags that are not closed": ("{% doc %}" * 3000, True),
    "comments nested": ("{% comment %}" * 4000, True),
    "braces in a comment": ("{% comment %}" + "{{ " * 15_000 + "{% endcomment %}", False),
    "tag braces in a comment": ("{% comment %}" + "{% " * 15_000 + "%}{% endcomment %}", False),
    "a run of braces": ("{" * 60_000, True),
    "a run of tag braces": ("{%" * 30_000, True),
    "outputs that are not closed": ("{{ a " * 12_000, True),
    "a tag of blanks": ("{%" + " " * 60_000 + "%}", True),
    "an output of blanks": ("{{" + " " * 60_000 + "}}", True),
    "quotes that are not closed": ("{{ " + "'" * 60_001 + " }}", True),
    "a source too long": ("a" * (MAX_SOURCE + 1), True),
    "a liquid tag of many lines": ("{% liquid\n" + "assign x = 1\n" * 4900 + "%}", False),
    "a case of many values": ("{% case s %}{% when " + "'b', " * 12_000 + "'a' %}{% endcase %}", False),
    "a format of a date without end": ("{{ '2026-01-01' | date: s }}", True),
    "a width in the format of a date": ("{{ '2026-01-01' | date: '%999999999d' }}", False),
    "a date of a long text": ("{{ big | date: '%Y' }}", False),
    "an exponent": ("{{ '1e999999999' | number }}", True),
    "an exponent of three digits": ("{{ '1e999' | number | round }}", True),
    "money without end": ("{{ '1e100' | number | money: 'EUR' }}", True),
    "infinity": ("{{ '1e999' | times: 1e308 | round }}", False),
    "surrogates": ("{{ surrogate | url_encode }}{{ surrogate | sha256 }}{{ surrogate | json }}", False),
    "a table of many cells": ("{% tablerow i in (1..90000) cols:3 %}{{ s }}{% endtablerow %}", True),
    "cycles": ("{% for i in (1..90000) %}{% cycle 'a', 'b' %}{% endfor %}", False),
    "counters": ("{% increment a %}" * 3500, False),
}


def outcome(render: Callable[[], object]) -> TemplateError | None:
    """What a rendering ends in. Anything else than a result or an error of ours fails the test."""
    try:
        render()
    except TemplateError as error:
        return error
    return None


def test_a_pause_of_the_process_does_not_count_as_the_templates_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("scenario.liquid.bounds.time.thread_time", lambda: clock[0])
    budget = Budget()
    for passed in (2.0, 0.01, 5.0, 0.01):  # two garbage collections of a very large process
        clock[0] += passed
        budget.look()
    for _ in range(17):
        clock[0] += 0.01
        budget.look()
    clock[0] += 0.02
    with pytest.raises(BoundReached, match=r"longer than 0\.4 seconds"):
        budget.look()


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_template_ends_soon(name: str) -> None:
    source, refused = HOSTILE[name]
    start = time.thread_time()
    error = outcome(lambda: render_text(source, DATA))
    taken = time.thread_time() - start
    assert taken < 0.5
    assert error is not None or not refused
    if error is not None:
        assert error.line is not None, f"no position: {error}"
        assert len(error.reason) < 150
        assert "aaaa" not in error.reason


@pytest.mark.parametrize(
    "name",
    [
        "a range backwards",
        "a range joined",
        "a range sorted",
        "an explosion by replacement",
        "replacement of nothing",
        "texts that double",
        "lists that double",
        "many variables",
        "output without end",
        "a join of long separators",
        "a list too long to make",
        "escaping again and again",
        "encoding again and again",
        "a value nested deep, joined",
        "numbers that square",
        "a case of many values",
    ],
)
def test_a_hostile_template_needs_little_memory(name: str) -> None:
    source, _ = HOSTILE[name]
    tracemalloc.start()
    try:
        outcome(lambda: render_text(source, DATA))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 64 * 2**20


BODIES: dict[str, Any] = {
    "a list of large values": {"$for": "i in (1..1000)", "$each": "{{ items }}"},
    "lists nested": {
        "$for": "i in (1..1000)",
        "$each": {"$for": "j in (1..1000)", "$each": {"$for": "k in (1..1000)", "$each": 1}},
    },
    "a long list": {"$for": "i in (1..90000)", "$each": {"a": "{{ s }}", "b": "{{ i }}"}},
    "a range as a value": {"a": "{{ (1..1000000000) }}"},
    "a body that is too large": {"$for": "i in (1..400)", "$each": "{{ s }}"},
}


@pytest.mark.parametrize("name", BODIES)
def test_a_hostile_structure_ends_soon(name: str) -> None:
    start = time.thread_time()
    error = outcome(lambda: render_json(BODIES[name], DATA))
    assert time.thread_time() - start < 0.5
    assert isinstance(error, LimitExceeded)


def test_a_json_text_that_is_too_large_is_refused_before_it_is_sent() -> None:
    with pytest.raises(LimitExceeded, match="larger than 256 KB"):
        render_json('["{% for i in (1..300) %}{{ s }}{% endfor %}"]', DATA)


def test_commas_without_end_are_mended_soon() -> None:
    start = time.thread_time()
    assert outcome(lambda: render_json("[" + "," * 60_000 + "]", DATA)) is None
    assert outcome(lambda: render_json("[1" + ", " * 30_000 + "]", DATA)) is None
    assert outcome(lambda: render_json("[" + "1 , , " * 10_000 + "]", DATA)) is None
    assert time.thread_time() - start < 0.5


@pytest.mark.parametrize(
    ("bound", "work"),
    [("steps", ""), ("seconds", "{% if big == other %}{% endif %}"), ("characters", "{{ big }}")],
)
def test_a_bound_names_itself(bound: str, work: str) -> None:
    with pytest.raises(LimitExceeded, match=bound):
        render_text(f"{{% for i in (1..90000) %}}{work}a{{% endfor %}}", {"big": [0] * 50_000, "other": [0] * 50_000})


def test_bounds_are_shared_with_captures_and_html() -> None:
    with pytest.raises(LimitExceeded):
        render_html(
            "{% for i in (1..900) %}{% capture x %}{{ big }}{% endcapture %}{% endfor %}" * 5 + "{{ big }}" * 30, DATA
        )


def test_conditions_and_analysis_are_bounded_too() -> None:
    with pytest.raises(LimitExceeded):
        evaluate_condition("a" + " or a" * 5000, DATA)
    with pytest.raises(LimitExceeded):
        fields("{% if true %}" * 500)
