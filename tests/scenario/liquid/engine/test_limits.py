"""Hostile templates: each ends in a clear error, or in a result, by bounds that are counted and within 64 MB.

That half a second suffices is shown by ``python -m benchmarks.hostile_liquid``.
"""

import json
import tracemalloc
from collections.abc import Callable

import pytest

from scenario.errors import LimitExceeded, TemplateError
from scenario.liquid import evaluate_condition, find_fields, render_html, render_json, render_text
from scenario.liquid.engine.limits import BoundReached, Budget
from tests.scenario.liquid.hostile import BODIES, DATA, TEMPLATES


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that the thread has worked, as the bounds see them: they stand still unless a test moves them."""
    seconds = [0.0]
    monkeypatch.setattr("scenario.liquid.engine.limits.time.thread_time", lambda: seconds[0])
    return seconds


def outcome(render: Callable[[], object]) -> TemplateError | None:
    """What a rendering ends in. Anything else than a result or an error of ours fails the test."""
    try:
        render()
    except TemplateError as error:
        return error
    return None


def test_a_pause_of_the_process_does_not_count_as_the_templates_time(clock: list[float]) -> None:
    budget = Budget()
    budget.check()
    for passed in (2.0, 0.01, 5.0, 0.01):  # two garbage collections of a very large process
        clock[0] += passed
        budget.check()
    for _ in range(17):
        clock[0] += 0.01
        budget.check()
    clock[0] += 0.02
    with pytest.raises(BoundReached, match=r"longer than 0\.4 seconds"):
        budget.check()


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("name", TEMPLATES)
def test_a_hostile_template_ends_without_a_look_at_the_clock(name: str) -> None:
    source, reason = TEMPLATES[name]
    error = outcome(lambda: render_text(source, DATA))
    assert (error and error.reason) == reason
    assert error is None or error.line is not None


@pytest.mark.parametrize(
    "name",
    [
        "a range backwards", "a range joined", "a range sorted", "an explosion by replacement",
        "replacement of nothing", "texts that double", "lists that double", "many variables", "output without end",
        "a join of long separators", "a list too long to make", "escaping again and again",
        "encoding again and again", "a value nested deep, joined", "numbers that square", "a case of many values",
    ],
)  # fmt: skip
def test_a_hostile_template_needs_little_memory(name: str) -> None:
    source, _ = TEMPLATES[name]
    tracemalloc.start()
    try:
        outcome(lambda: render_text(source, DATA))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 64 * 2**20


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("name", BODIES)
def test_a_hostile_structure_ends_without_a_look_at_the_clock(name: str) -> None:
    body, reason = BODIES[name]
    error = outcome(lambda: render_json(body, DATA))
    assert isinstance(error, LimitExceeded)
    assert error.sentence == reason


def test_a_json_text_that_is_too_large_is_refused_before_it_is_sent() -> None:
    with pytest.raises(LimitExceeded, match="larger than 256 KB"):
        render_json('["{% for i in (1..300) %}{{ s }}{% endfor %}"]', DATA)


@pytest.mark.usefixtures("clock")
def test_commas_without_end_are_mended() -> None:
    assert json.loads(render_json("[" + "," * 60_000 + "]", DATA)) == []
    assert json.loads(render_json("[1" + ", " * 30_000 + "]", DATA)) == [1]
    assert json.loads(render_json("[" + "1 , , " * 10_000 + "]", DATA)) == [1] * 10_000


@pytest.mark.parametrize(
    ("bound", "work"), [("steps", ""), ("seconds", "{% if big == other %}{% endif %}"), ("characters", "{{ big }}")]
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
        find_fields("{% if true %}" * 500)
