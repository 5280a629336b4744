"""A map as Mermaid."""

import re
from pathlib import Path

import pytest

from gateway.map.map import ScenarioMap, quoted
from gateway.map.outline import Overlay
from tests.examples.scenarios import EXAMPLES
from tests.gateway.map.plans import example, many
from tests.gateway.map.test_svg import hostile

LINE = re.compile(
    r"""flowchart\ TD
    |\ {4}\w+(?:\[|\(\[|\{\{|\[\[)"(?:[^"<`&]|<br/>)+"(?:\]|\]\)|\}\}|\]\])
    |\ {4}\w+\ -->(?:\|"[^"<`&|]+"\|)?\ \w+
    |\ {4}classDef\ \w+\ [\w:#,\ -]+
    |\ {4}class\ \w+(?:,\w+)*\ \w+""",
    re.VERBOSE,
)


def test_the_map_of_an_example() -> None:
    plan = example(EXAMPLES / "post-purchase.yaml")
    assert ScenarioMap(plan, "post-purchase", "order").mermaid() == (
        Path(__file__).with_name("post-purchase.mmd").read_text("utf-8")
    )


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ('say "no"', "say #34;no#34;"), ("<b> & [x] {y} (z)", "#60;b#62; #38; #91;x#93; #123;y#125; #40;z#41;"),
        ("#1;", "#35;1#59;"), ("`a` *b* _c_ d_e", "#96;a#96; #42;b#42; #95;c#95; d_e"),
        ("1. - one", "1#46; #45; one"), ("https://x", "https#58;//x"), ("a-->b|c", "a#45;-#62;b#124;c"),
        ("crème brûlée, 日本", "crème brûlée, 日本"),
    ],
)  # fmt: skip
def test_what_means_something_to_mermaid_is_a_number(text: str, written: str) -> None:
    assert quoted(text) == written


def test_every_line_is_one_that_mermaid_knows() -> None:
    overlay = Overlay(marks={"out": "added"}, removed=("<x>",))
    for made in (ScenarioMap(hostile(), "a", "<b>", overlay), ScenarioMap(many(80), "a")):
        lines = made.mermaid().splitlines()
        assert [line for line in lines if not LINE.fullmatch(line)] == []
