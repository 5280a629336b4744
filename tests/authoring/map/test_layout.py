"""Nothing on a map covers anything else, and texts fit into what is kept for them."""

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from authoring.map.drawing import SIZES, Area, Drawing, clipped, width_of, wrapped
from authoring.map.layout import LABEL_SIZE, WIDEST, lay_out
from authoring.map.outline import NUMBERS, Overlay, outline
from scenario.plan.plan import Plan
from tests.authoring.map.plans import example, many, plan_of, plan_of_jumps
from tests.examples.scenarios import CAMPAIGNS, SCENARIOS

CROWD = {word: 1_234_567 * number for number, word in enumerate(NUMBERS, 1)}


def crowded(plan: Plan) -> Overlay:
    """An overlay that shows all that there may be."""
    return Overlay(
        numbers=dict.fromkeys(plan.steps, CROWD),
        marks={name: "added" if number % 2 else "changed" for number, name in enumerate(plan.steps)},
        removed=tuple(plan.steps),
    )


def laid_out(plan: Plan, overlay: Overlay | None = None) -> Drawing:
    return lay_out(outline(plan), "a@1", trigger="order", overlay=overlay)


def crossings(areas: list[Area]) -> list[tuple[Area, Area]]:
    """Areas that cover a part of each other; each is compared with those that begin above its end."""
    found: list[tuple[Area, Area]] = []
    areas = sorted(areas, key=lambda area: area.y)
    for number, area in enumerate(areas):
        for other in areas[number + 1 :]:
            if other.y >= area.y + area.height:
                break
            if overlap(area, other):
                found.append((area, other))
    return found


def overlap(one: Area, other: Area) -> bool:
    """Whether two areas share more than an edge."""
    return (
        one.x < other.x + other.width
        and other.x < one.x + one.width
        and one.y < other.y + other.height
        and other.y < one.y + one.height
    )


def assert_clear(drawing: Drawing) -> None:
    """Boxes, labels and pills are apart, and within the map; what is written in each fits; no line crosses a box."""
    areas = [item.area for item in (*drawing.boxes, *drawing.labels, *drawing.pills)]
    areas += [Area(text.x, text.y - 12, text.width, 14) for text in drawing.texts]
    assert crossings(areas) == []
    whole = Area(0, 0, drawing.width, drawing.height)
    assert [area for area in areas if not inside(area, whole)] == []
    for box in drawing.boxes:
        written = [Area(text.x, text.y - 11, text.width, 14) for text in box.texts]
        parts = [*written, *(badge.area for badge in box.badges)]
        assert crossings(parts) == []
        assert [part for part in parts if not inside(part, box.area)] == []
        for text in box.texts:
            assert width_of(text.text, SIZES[text.look], bold=text.look == "title") <= text.width
        for badge in box.badges:
            assert width_of(badge.text, SIZES["badge"]) <= badge.area.width
    for label in (*drawing.labels, *drawing.pills):
        assert width_of(label.text, LABEL_SIZE) <= label.area.width
    boxes = sorted((box.area for box in drawing.boxes), key=lambda area: area.y)
    for edge in drawing.edges:
        for (x, y), (to_x, to_y) in pairwise(edge.points):
            assert x == to_x or y == to_y
            line = Area(min(x, to_x), min(y, to_y), abs(to_x - x), abs(to_y - y))
            assert [box for box in boxes if overlap(box, line)] == []


def inside(area: Area, other: Area) -> bool:
    return (
        area.x >= other.x
        and area.y >= other.y
        and area.x + area.width <= other.x + other.width
        and area.y + area.height <= other.y + other.height
    )


@pytest.mark.parametrize("path", [*SCENARIOS, *CAMPAIGNS], ids=lambda path: path.stem)
def test_the_maps_of_the_examples_are_clear(path: Path):
    plan = example(path)
    assert_clear(laid_out(plan, crowded(plan)))


@pytest.mark.parametrize(("count", "seed"), [(200, 0), *((12, seed) for seed in range(1, 13))])
def test_the_map_of_any_plan_is_clear_and_no_wider_than_a_screen(count: int, seed: int):
    plan = many(count, seed)
    for drawing in (laid_out(plan), laid_out(plan, crowded(plan))):
        assert len(drawing.boxes) >= count
        assert_clear(drawing)
        assert drawing.width < 1.5 * WIDEST


def test_a_map_with_ways_back_and_steps_that_nobody_comes_to_is_clear():
    drawing = laid_out(plan_of_jumps())
    assert_clear(drawing)
    assert [pill.text for pill in drawing.pills if pill.look == "pill jump"] == ["→ a", "→ gone"]
    assert [text.text for text in drawing.texts if text.look == "note"] == ["no journey reaches:"]


def test_every_way_is_drawn_from_its_step_to_where_it_leads():
    plan = many(60)
    drawing = laid_out(plan)
    boxes = {box.shown.step.id: box.area for box in drawing.boxes}
    ends = [pill.area for pill in drawing.pills if pill.look == "pill end"]
    drawn = {(edge.source, edge.way, edge.target) for edge in drawing.edges}
    assert drawn == {
        (None, "", plan.start),
        *((step.id, way.key, way.to) for step in outline(plan).steps for way in step.ways),
    }
    for edge in drawing.edges:
        if edge.source is not None:
            assert touches(boxes[edge.source], edge.points[0])
        if edge.target is not None:
            assert touches(boxes[edge.target], edge.points[-1])
        else:
            assert any(touches(end, edge.points[-1]) for end in ends)


def touches(area: Area, point: tuple[float, float]) -> bool:
    x, y = point
    return area.x <= x <= area.x + area.width and area.y <= y <= area.y + area.height


def test_branches_that_are_too_wide_beside_each_other_stand_below_each_other():
    cases = {str(number): [{"wait": "1d"}] for number in range(12)}
    drawing = laid_out(plan_of([{"switch": "contact.language", "cases": cases}]))
    assert drawing.width < WIDEST
    assert len({box.area.y for box in drawing.boxes}) == 13
    assert_clear(drawing)


@given(st.text(max_size=200), st.integers(30, 300), st.integers(1, 4), st.booleans())
@settings(max_examples=50)
def test_lines_are_no_wider_than_they_may_be(text: str, width: int, lines: int, bold: bool):
    made = wrapped(text, width, 13, lines, bold=bold)
    assert len(made) <= lines
    assert all(width_of(line, 13, bold=bold) <= width for line in made)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("wait 2d", ["wait 2d"]),
        ("wait until mon tue wed thu fri 10:00", ["wait until mon tue", "wed thu fri 10:00"]),
        ("wait for optin.confirmed, 2d", ["wait for", "optin.confirmed,", "2d"]),
        ("if reward.expiration_date != blank", ["if reward.", "expiration_date !=", "blank"]),
        ("a" * 50, ["a" * 15, "a" * 15, "a" * 13 + "…"]),
        ("", []),
    ],
)
def test_a_text_is_broken_between_words(text: str, lines: list[str]):
    assert wrapped(text, 130, 13, 3) == lines


def test_what_does_not_fit_ends_in_an_ellipsis():
    assert clipped("order.delivered", 200, 11) == "order.delivered"
    assert clipped("order.delivered", 60, 11) == "order.d…"


def test_letters_of_other_scripts_are_taken_for_wide_ones():
    assert width_of("é", 10) == width_of("e", 10)
    assert width_of("日", 10) > width_of("W", 10)
    assert width_of("e\u0301", 10) == width_of("e", 10)
