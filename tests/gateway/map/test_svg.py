"""A map as SVG and as Mermaid: well-formed, harmless, and saying what the table says."""

import re
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

import pytest

from gateway.map.map import STYLE, ScenarioMap, quoted
from gateway.map.outline import Overlay, since
from scenario.plan.difference import VersionDifference
from scenario.plan.plan import Plan, load_plan
from tests.documents import COMMAND, DOCS, DRAWN
from tests.examples.scenarios import CAMPAIGNS, EXAMPLES, SCENARIOS
from tests.gateway.map.plans import example, many, plan_of
from tests.gateway.map.test_layout import crowded

SVG: Final = "{http://www.w3.org/2000/svg}"
HOSTILE: Final = "<script>alert('\"&amp;')</script>\x00\ufffe]]>"


def parsed(made: ScenarioMap, *, standalone: bool = False) -> ElementTree.Element:
    return ElementTree.fromstring(made.svg(standalone=standalone))


def assert_twins(made: ScenarioMap) -> None:
    """The drawing and the table have the same steps, words, ways and numbers."""
    root = parsed(made)
    steps = {found.attrib["data-step"]: found for found in root.iter() if "data-step" in found.attrib}
    assert list(steps) == [row.step.id for row in made.rows]
    edges = [found.attrib for found in root.iter(f"{SVG}path") if found.get("class") == "edge"]
    for row in made.rows:
        step, drawn = row.step, steps[row.step.id]
        assert drawn.attrib["data-kind"] == step.kind
        assert drawn.get("href") == row.link
        said = drawn.findtext(f"{SVG}title", "").split("\n")
        assert said[0] == f"{step.id}: {step.what}"
        assert step.detail in ("", *said)
        badges = [found.findtext(f"{SVG}text") for found in drawn.iter(f"{SVG}g") if "badge" in found.get("class", "")]
        assert badges == [
            *([row.mark] if row.mark else []),
            *(f"{number:,} {word}" for word, number in row.numbers.items()),
        ]
        ways = [(edge["data-label"], edge.get("data-to")) for edge in edges if edge.get("data-from") == step.id]
        assert sorted(ways, key=str) == sorted([(way.label, way.to) for way in step.ways], key=str)
    labels = [found for found in root.iter(f"{SVG}g") if found.get("class") == "label"]
    whole = [found.findtext(f"{SVG}title") or found.findtext(f"{SVG}text") for found in labels]
    ways = [way for row in made.rows for way in row.step.ways]
    assert sorted(str(text) for text in whole) == sorted(way.label for way in ways if way.label)


@pytest.mark.parametrize("path", [*SCENARIOS, *CAMPAIGNS], ids=lambda path: path.stem)
def test_the_table_says_what_the_drawing_shows(path: Path):
    assert_twins(ScenarioMap(example(path), "a@1"))


def test_the_table_says_what_the_drawing_of_200_steps_shows():
    plan = many(200)
    shown = crowded(plan)
    assert_twins(
        ScenarioMap(plan, "a@1", overlay=Overlay(shown.numbers, shown.marks, link=lambda step: f"?step={step}"))
    )


def hostile() -> Plan:
    return load_plan(
        {
            "start": HOSTILE,
            "steps": {
                HOSTILE: {"kind": "switch", "value": HOSTILE, "cases": {HOSTILE: None, "b": "out"}, "otherwise": None},
                "out": {"kind": "exit", "reason": HOSTILE},
            },
            "exit": [{"event": HOSTILE, "condition": HOSTILE}],
        }
    )


def test_what_an_author_writes_is_text():
    plan = hostile()
    overlay = Overlay(
        marks={"out": "changed"}, changes={"out": (HOSTILE,)}, removed=(HOSTILE,), link=lambda step: f"?{step}"
    )
    text = ScenarioMap(plan, HOSTILE, HOSTILE, overlay).svg(standalone=True)
    root = ElementTree.fromstring(text)
    tags = {found.tag.removeprefix(SVG) for found in root.iter()}
    assert tags == {"svg", "title", "desc", "style", "rect", "text", "path", "g", "a"}
    assert "<script" not in text


def test_a_page_may_forbid_styles_and_scripts():
    text = ScenarioMap(many(50), "a@1", overlay=crowded(many(50))).svg()
    assert re.findall(r"\sstyle=|\son\w+=|<style|<script|\sid=|url\(", text) == []


def test_a_file_of_its_own_carries_its_heading_and_its_style_for_light_and_dark():
    made = ScenarioMap(many(5), "a@1")
    for part in (STYLE, ">a@1</text>", "prefers-color-scheme: dark"):
        assert (part in made.svg(standalone=True), part in made.svg()) == (True, False)


def test_every_class_of_a_map_has_a_look():
    root = parsed(ScenarioMap(many(60), "a@1", overlay=crowded(many(60))))
    used = {name for found in root.iter() for name in found.get("class", "").split()}
    styled = set(re.findall(r"\.([a-z]+)", STYLE))
    plain = {"title", "heading", "acts", "end", "skipped", "running"}  # they look as what they stand in
    assert used - styled <= plain


def test_steps_lead_where_the_caller_says():
    made = ScenarioMap(
        plan_of([{"wait": "1d"}, {"wait": "2d"}]), "a@1", overlay=Overlay(link={"wait-2": "/?a=1&b"}.get)
    )
    root = parsed(made)
    assert [found.get("href") for found in root.iter(f"{SVG}a")] == ["/?a=1&b"]
    assert root.get("role") == "group"
    plain = parsed(ScenarioMap(made.plan, "post-purchase@3"))
    assert plain.get("role") == "img"
    assert plain.get("aria-label") == plain.findtext(f"{SVG}title") == "Map of post-purchase@3"
    assert plain.findtext(f"{SVG}desc") == "2 steps, from where contacts come in to the end."


def test_changes_since_another_version_are_marked():
    plan = plan_of([{"wait": "1d"}, {"sms": "hello", "text": "t"}, {"wait": "2d"}])
    different = VersionDifference(added=("hello",), removed=("bye",), changed={"wait-1": ("wait",)})
    made = ScenarioMap(plan, "a@2", overlay=since(different, {"hello": {"held": 2, "waiting": 0}}))
    root = parsed(made)
    looks = {found.get("data-step"): found.get("class") for found in root.iter() if "data-step" in found.attrib}
    assert looks == {"wait-1": "step waits changed", "hello": "step sends added", "wait-3": "step waits"}
    assert "changed: wait" in made.svg()
    assert "removed: bye" in made.svg()
    assert [(row.mark, row.changes, row.numbers) for row in made.rows] == [
        ("changed", ("wait",), {}),
        ("added", (), {"held": 2}),
        (None, (), {}),
    ]


@pytest.mark.parametrize("name", DRAWN)
def test_the_map_in_the_documentation_is_what_is_drawn(name: str):
    assert (DOCS / name).read_text("utf-8") == DRAWN[name](), f"run {COMMAND}"


LINE = re.compile(
    r"""flowchart\ TD
    |\ {4}\w+(?:\[|\(\[|\{\{|\[\[)"(?:[^"<`&]|<br/>)+"(?:\]|\]\)|\}\}|\]\])
    |\ {4}\w+\ -->(?:\|"[^"<`&|]+"\|)?\ \w+
    |\ {4}classDef\ \w+\ [\w:#,\ -]+
    |\ {4}class\ \w+(?:,\w+)*\ \w+""",
    re.VERBOSE,
)


def test_the_map_of_an_example():
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
def test_what_means_something_to_mermaid_is_a_number(text: str, written: str):
    assert quoted(text) == written


def test_every_line_is_one_that_mermaid_knows():
    overlay = Overlay(marks={"out": "added"}, removed=("<x>",))
    for made in (ScenarioMap(hostile(), "a", "<b>", overlay), ScenarioMap(many(80), "a")):
        lines = made.mermaid().splitlines()
        assert [line for line in lines if not LINE.fullmatch(line)] == []
