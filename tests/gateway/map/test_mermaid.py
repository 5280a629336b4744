"""A map as Mermaid."""

from __future__ import annotations

import re

import pytest

from gateway.map.map import ScenarioMap
from gateway.map.mermaid import quoted
from gateway.map.outline import Overlay
from tests.examples.scenarios import EXAMPLES
from tests.gateway.map.plans import example, many
from tests.gateway.map.test_svg import hostile

POST_PURCHASE = """\
flowchart TD
    start(["order"])
    s1["thank-you<br/>email"]
    s2(["wait 2d<br/>wait-2"])
    s3(["wait until mon tue wed thu fri 10:00<br/>wait-3"])
    s4(["wait for order.delivered, 7d at most: event.order_id == order.external_id<br/>wait_for-4"])
    s5{{"if contact.cellphone != blank<br/>if-4.then.1"}}
    s6["whatsapp<br/>webhook → hooks.example.com"]
    s7["how-was-it<br/>email"]
    s8["on-its-way<br/>sms"]
    finish(["end"])
    start --> s1
    s1 --> s2
    s2 --> s3
    s3 --> s4
    s4 -->|"it comes"| s5
    s4 -->|"after 7d"| s8
    s5 -->|"then"| s6
    s5 -->|"else"| s7
    s6 --> finish
    s7 --> finish
    s8 --> finish
    notes["leaves on order.returned if event.order_id == order.external_id"]
"""
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
    assert ScenarioMap(plan, "post-purchase", "order").mermaid() == POST_PURCHASE


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ('say "no"', "say #34;no#34;"),
        ("<b> & [x] {y} (z)", "#60;b#62; #38; #91;x#93; #123;y#125; #40;z#41;"),
        ("#1;", "#35;1#59;"),
        ("`a` *b* _c_ d_e", "#96;a#96; #42;b#42; #95;c#95; d_e"),
        ("1. - one", "1#46; #45; one"),
        ("https://x", "https#58;//x"),
        ("a-->b|c", "a#45;-#62;b#124;c"),
        ("crème brûlée, 日本", "crème brûlée, 日本"),
    ],
)
def test_what_means_something_to_mermaid_is_a_number(text: str, written: str) -> None:
    assert quoted(text) == written


def test_every_line_is_one_that_mermaid_knows() -> None:
    overlay = Overlay(marks={"out": "added"}, removed=("<x>",))
    for made in (ScenarioMap(hostile(), "a", "<b>", overlay), ScenarioMap(many(80), "a")):
        lines = made.mermaid().splitlines()
        assert [line for line in lines if not LINE.fullmatch(line)] == []
