"""What is wrong with conditions, with what to write instead, at the place where it is written."""

from pathlib import Path

import pytest

from scenario.check.check import check
from scenario.check.variables import roots
from scenario.liquid.lint import lint

ROOTS = roots("order", event=True)

MISTAKES = Path(__file__).parent / "conditions.txt"
"""Conditions, and below each what is wrong with it."""


def cases() -> list[tuple[str, list[str]]]:
    found: list[tuple[str, list[str]]] = []
    for line in MISTAKES.read_text().splitlines():
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
