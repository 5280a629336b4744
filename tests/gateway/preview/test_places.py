"""A template that fails for this contact is pointed at in the file, wherever it stands."""

from pathlib import Path

import pytest

from tests.gateway.preview.conftest import Walk

EMPTY = "this value leaves a part of the URL's path empty, '.' or '..'"
ASCII = (
    "this value has a line break, a control character or a character that is not ASCII, which a header cannot contain"
)

CASES = {
    "a URL": ("  - webhook: w\n    url: https://x.example/a/{{ contact.language }}\n", (6, 30, EMPTY)),
    "a header": (
        '  - webhook: w\n    url: https://x.example/\n    headers:\n      X-Name: "{{ contact.firstname }}"\n',
        (8, 16, ASCII),
    ),
    "a structured body": (
        "  - webhook: w\n    url: https://x.example/\n    body:\n      a: 1\n"
        "      lines:\n        - name: 'Ann {{ contact.shoe_size }}'\n",
        (10, 25, "there is no 'contact.shoe_size'"),
    ),
    "a loop of a structured body": (
        "  - webhook: w\n    url: https://x.example/\n    body:\n      lines:\n"
        "        $for: p in order.products\n        $each: {name: '{{ p.shoe_size }}'}\n",
        (10, 27, "there is no 'p.shoe_size'"),
    ),
    "a body as text": (
        "  - webhook: w\n    url: https://x.example/\n    body: |\n"
        '      {"a": 1,\n       "b": "{{ contact.shoe_size }}"}\n',
        (9, 17, "there is no 'contact.shoe_size'"),
    ),
    "an e-mail's subject": (
        '  - email: e\n    subject: "{% assign z = 0 %}{{ contact.firstname | divided_by: z }}"\n    text: x\n',
        (6, 56, "'divided_by' cannot divide by zero"),
    ),
    "a condition": (
        "  - if: contact.custom.size > 3\n    then: [{exit: x}]\n",
        (5, 29, "a number and a text cannot be compared"),
    ),
    "a wait": ("  - wait: {until: '{{ contact.firstname }}'}\n", (5, 5, "a date cannot be read")),
}


@pytest.mark.parametrize(("steps", "expected"), CASES.values(), ids=CASES.keys())
def test_a_failing_template_is_pointed_at(
    walk: Walk, tmp_path: Path, steps: str, expected: tuple[int, int, str]
) -> None:
    order = {"products": [{"name": "x"}]}
    step = next(iter(walk(f"steps:\n{steps}", order=order, firstname="Zoé", custom={"size": "XL"}).values()))
    line, column, message = expected
    error = step["error"]
    assert (error["line"], error["column"]) == (line, column), error
    assert message in error["message"]
    assert error["file"] == str(tmp_path / "scenario.yaml")


def test_a_text_of_another_file_is_pointed_at_in_that_file(walk: Walk, tmp_path: Path) -> None:
    (tmp_path / "body.json").write_text('{"a": 1,\n "b": "{{ contact.shoe_size }}"}')
    (step,) = walk("steps:\n  - webhook: w\n    url: https://x.example/\n    body: {file: body.json}\n").values()
    error = step["error"]
    assert (error["file"], error["line"], error["column"]) == (str(tmp_path / "body.json"), 2, 11)


def test_of_two_steps_that_look_alike_the_failing_one_is_named(walk: Walk) -> None:
    text = """steps:
  - wait_for: x.y
    then:
      - webhook: one
        url: https://x.example/{{ contact.language }}/
      - webhook: two
        url: https://x.example/{{ contact.language }}/
"""
    steps = walk(text)
    assert [steps[name]["error"]["line"] for name in ("one", "two")] == [8, 10]
