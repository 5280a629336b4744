"""Outputs and tags, found without a parser."""

from __future__ import annotations

import json
import time

import pytest

from scenario.check.check import check
from scenario.liquid.markup import find_markup, replace_markup


@pytest.mark.parametrize(
    ("source", "markup"),
    [
        ("", []),
        ("a {{ b }} c {% if d %}", ["{{ b }}", "{% if d %}"]),
        ("{{ a\n}}{{b}}", ["{{ a\n}}", "{{b}}"]),
        ("{{ a {% b %} c }}", ["{{ a {% b %} c }}"]),  # an output ends at its own braces
        ("{{ a {% b %}", ["{% b %}"]),
        ("{% a {{ b }}", ["{{ b }}"]),
        ("{{% a %}", ["{% a %}"]),
        ("{{ '}}' }}", ["{{ '}}"]),
        ("{{{a}}}", ["{{{a}}"]),
        ("{{ a }", []),
    ],
)
def test_markup_ends_at_the_next_closing_braces_of_its_kind(source: str, markup: list[str]) -> None:
    assert [source[start:end] for start, end in find_markup(source)] == markup
    outside = source
    for part in markup:
        outside = outside.replace(part, "", 1)
    assert replace_markup(source) == outside
    assert len(replace_markup(source, " ")) == len(source)


class Counted(str):
    """A text that counts the characters that searches in it read."""

    read = 0

    def find(self, *given: object) -> int:  # type: ignore[override]
        what, start = str(given[0]), int(str(given[1]))
        found = super().find(what, start)
        self.read += (len(self) if found == -1 else found + len(what)) - start
        return found


@pytest.mark.parametrize("unit", ["{{'", "{%'", "{{{%", "{{ }} {% ", "{% %} {{ ", "{{ {% "])
def test_unclosed_braces_do_not_read_the_text_again_and_again(unit: str) -> None:
    source = Counted(unit * 20_000)
    list(find_markup(source))
    assert source.read <= 3 * len(source)


@pytest.mark.parametrize("unit", ["{{'", "{%'"])
def test_a_check_of_four_times_the_text_takes_about_four_times_as_long(unit: str) -> None:
    def seconds(kilobytes: int) -> float:
        text = unit * (kilobytes * 1024 // len(unit))
        scenario = json.dumps({"scenario": "long", "trigger": "order", "steps": [{"sms": "hi", "text": text}]})
        began = time.process_time()
        check(scenario)
        return time.process_time() - began

    check("{}")  # loads what a check needs
    assert min(seconds(60) for _ in range(3)) < 10 * min(seconds(15) for _ in range(3))  # 16 times if quadratic
