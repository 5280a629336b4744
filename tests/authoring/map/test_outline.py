"""Blocks found again in the flat table of a plan, and a map as SVG and Mermaid that says what the table says."""

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, cast
from xml.etree import ElementTree

import pytest

from authoring.map.map import STYLE, ScenarioMap, quoted
from authoring.map.outline import Block, OutlineItem, Overlay, outline, since
from scenario.plan.migration import VersionDifference
from scenario.plan.plan import Plan, load_plan, restore
from tests.authoring.map.plans import example, many, plan_of, plan_of_jumps
from tests.authoring.map.test_layout import crowded
from tests.documents import COMMAND, DOCS, DRAWN
from tests.examples.scenarios import CAMPAIGNS, EXAMPLES, SCENARIOS

HISTORIES = Path(__file__).parents[2] / "replay" / "histories"


def wait(name: str) -> dict[str, Any]:
    return {"wait": "1d", "id": name}


def drawn(block: Block) -> list[Any]:
    """A block in brief: names, and by each way the steps on it."""
    found: list[Any] = [_item(item) for item in block.items]
    if block.jump is not None:
        found.append(f"→ {block.jump.to}")
    return found


def _item(item: OutlineItem) -> Any:
    branches = (*item.branches, *((item.round,) if item.round else ()))
    inside = {branch.way.key: drawn(branch.block) for branch in branches}
    return {item.step.id: inside} if inside else item.step.id


def fork(
    then: list[dict[str, Any]], otherwise: list[dict[str, Any]] | None = None, name: str = "fork"
) -> dict[str, Any]:
    return {"if": "order.a", "id": name, "then": then, **({} if otherwise is None else {"else": otherwise})}


OUT, X, Y = ({"exit": "done", "id": name} for name in ("out", "x", "y"))
INNER = fork([wait("b")], [wait("c")], "inner")
ROUNDS = {"repeat": {"every": "7d", "times": 3}, "id": "poll", "steps": [fork([wait("a")], [OUT]), wait("b")]}
BLOCKS: dict[str, tuple[list[dict[str, Any]], list[Any]]] = {
    "branches end where they come together": (
        [fork([wait("a"), INNER], [wait("d")]), wait("last")],
        [{"fork": {"then": ["a", {"inner": {"then": ["b"], "else": ["c"]}}], "else": ["d"]}}, "last"],
    ),
    "an empty branch leads on": ([fork([wait("a")]), wait("b")], [{"fork": {"then": ["a"], "else": []}}, "b"]),
    "the one way that goes on is no branch": (
        [fork([OUT], [wait("a")]), wait("b")], [{"fork": {"then": ["out"], "else": []}}, "a", "b"],
    ),
    "nor is the last of those that end": ([fork([X], [Y])], [{"fork": {"then": ["x"], "else": []}}, "y"]),
    "the steps of a round lead back": (
        [ROUNDS, wait("last")], [{"poll": {"round": [{"fork": {"then": [], "else": ["out"]}}, "a", "b"]}}, "last"],
    ),
    "a way that nobody goes by itself is none": (
        [{"wait_for": "order.paid", "id": "paid", "then": [wait("a")]}, wait("b")], ["paid", "a", "b"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BLOCKS)
def test_blocks_are_found_in_a_table(name: str):
    steps, expected = BLOCKS[name]
    assert drawn(outline(plan_of(steps)).course) == expected


def test_what_stands_behind_an_exit_stands_aside_and_a_plan_that_no_file_makes_is_read_too():
    read = outline(plan_of([wait("a"), OUT, wait("b"), wait("c")]))
    assert (drawn(read.course), [drawn(block) for block in read.aside]) == (["a", "out"], [["b", "c"]])
    read = outline(plan_of_jumps())
    assert {step.id for step in read.steps} == {"a", "b", "c", "d"}
    assert drawn(read.course) == [{"a": {"then": ["b", "→ a"], "else": []}}, "c", "→ gone"]


def test_the_labels_are_what_people_read_at_each_way():
    steps = plan_of(
        [
            {"wait_for": {"order.paid": {}, "order.lost": {}}, "for": "7d"},
            {"wait_for": "order.sent", "for": "36h"},
            {"split": {"a": 50, "b": 49.5, "none": 0.5}},
            {"switch": "contact.language", "cases": {"fr": [], "de": []}},
            {"repeat": {"every": "7d", "times": 3}, "steps": [wait("a")]},
        ]
    )
    labels = {step.id: [way.label for way in step.ways] for step in outline(steps).steps}
    assert labels == {
        "wait_for-1": ["order.paid", "order.lost", "after 7d"],
        "wait_for-2": ["it comes", "after 1d12h"],
        "split-3": ["a: 50 %", "b: 49.5 %", "none: 0.5 %"],
        "switch-4": ["fr", "de", "else"],
        "repeat-5": ["each round", "over"],
        "a": [""],
    }


def test_what_is_too_long_for_a_few_words_is_a_detail_and_what_holds_everywhere_is_said_once():
    steps: list[dict[str, Any]] = [
        {"wait": {"until": "{{ order.due }}", "offset": "-3d"}},
        {"wait": {"until": "2026-12-24T09:00", "offset": "1d"}},
        {"wait_for": "order.paid", "if": "event.id ==\n order.id"},
        {"if": "order.a", "then": [{"exit": "it is over"}]},
    ]
    rules = [{"event": "order.returned", "if": "event.a ==\n  order.b"}, {"event": "contact.left"}]
    read = outline(plan_of(steps, exit=rules, goal={"event": "order.placed", "within": "14d"}))
    assert [(step.what, step.detail) for step in read.steps] == [
        ("wait until a date", "3d before {{ order.due }}"),
        ("wait until 1d after 2026-12-24 09:00", ""),
        ("wait for order.paid", "event.id == order.id"),
        ("if order.a", ""),
        ("exit", "it is over"),
    ]
    assert read.notes == (
        "leaves on order.returned if event.a == order.b",
        "leaves on contact.left",
        "goal: order.placed within 14d",
    )


@pytest.mark.parametrize("seed", range(12))
def test_each_step_stands_in_an_outline_once(seed: int):
    plan = many(20, seed)
    read = outline(plan)
    ids = [step.id for step in read.steps]
    assert len(ids) == len(set(ids)) == len(plan.steps)
    assert not jumps(read.course)  # what is written as lists in lists can be read as such


def jumps(block: Block) -> bool:
    branches = [branch for item in block.items for branch in (*item.branches, *((item.round,) if item.round else ()))]
    return block.jump is not None or any(jumps(branch.block) for branch in branches)


def plans_in(value: Any) -> Iterator[dict[str, Any]]:
    """The plans in a saved history, wherever one is."""
    if isinstance(value, list):
        for inner in cast("list[Any]", value):
            yield from plans_in(inner)
    elif isinstance(value, dict):
        keys = cast("dict[str, Any]", value)
        if isinstance(steps := keys.get("steps"), dict) and steps:
            yield keys if "start" in keys and "fields" not in keys else restore(keys)
        for key, inner in keys.items():
            if key == "data" and isinstance(inner, str) and (content := base64.b64decode(inner)).startswith(b"{"):
                yield from plans_in(json.loads(content))
            else:
                yield from plans_in(inner)


def test_the_plans_of_all_histories_are_read():
    plans = {
        json.dumps(plan, sort_keys=True): load_plan(plan)
        for path in HISTORIES.glob("*.json")
        for plan in plans_in(json.loads(path.read_text("utf-8")))
    }
    assert len(plans) > 10
    for plan in plans.values():
        read = outline(plan)
        assert sorted(step.id for step in read.steps) == sorted(plan.steps)
        assert not any(jumps(block) for block in (read.course, *read.aside))


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
