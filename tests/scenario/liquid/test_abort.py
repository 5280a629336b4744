"""``{% abort %}``: nothing is to be sent, whatever the template is for and wherever the tag stands."""

from collections.abc import Callable
from typing import Any

import pytest

from scenario import liquid
from scenario.errors import Aborted, TemplateError

DATA: dict[str, Any] = {"items": [1, 2], "none": []}


RENDERERS: list[Callable[[str, dict[str, Any]], object]] = [
    liquid.render_text,
    liquid.render_html,
    liquid.render_line,
    liquid.render_json,
    liquid.render_plain,
    liquid.render_path,
    liquid.render_header,
    liquid.evaluate_value,
    lambda source, data: liquid.render_url(f"https://h.example.com/{source}", data),
    lambda source, data: liquid.render_json({"a": [{"$for": "i in items", "$each": source}]}, data),
    lambda source, data: liquid.render_json({source: 1}, data),
    lambda source, data: liquid.render_json({"$let": {"a": source}, "$in": 1}, data),
    lambda source, data: liquid.render_form({"a": source}, data),
]


@pytest.mark.parametrize("render", RENDERERS)
def test_it_ends_every_kind_of_template(render: Callable[[str, dict[str, Any]], object]) -> None:
    with pytest.raises(Aborted, match=r"^too little$"):
        render("a{% abort 'too little' %}", DATA)


@pytest.mark.parametrize(
    "source",
    [
        "{% if items %} {% abort 'r' %} {% endif %}", "{% for i in none %}{% else %}{% abort 'r' %}{% endfor %}",
        "{% case 1 %}{% when 1 %}{% abort 'r' %}{% endcase %}", "{% capture c %}{% abort 'r' %}{% endcapture %}",
        "{% liquid\nif items\nabort 'r'\nendif %}", '{%- abort "r" -%}', "{% abort ' r\n' %}",
    ],
)  # fmt: skip
def test_it_may_stand_anywhere(source: str) -> None:
    with pytest.raises(Aborted, match=r"^r$"):
        liquid.render_json(source, DATA)


def test_it_does_nothing_where_it_is_not_reached() -> None:
    assert liquid.render_text("a{% if none.size > 0 %}{% abort 'r' %}{% endif %}", DATA) == "a"


@pytest.mark.parametrize("source", ["{% abort %}", "{% abort '' %}", "{% abort ' ' %}"])
def test_there_is_always_a_reason(source: str) -> None:
    with pytest.raises(Aborted, match="the template says so"):
        liquid.render_text(source, DATA)


def test_a_reason_is_one_short_line() -> None:
    with pytest.raises(Aborted, match=r"^no phone number$"):
        liquid.render_text("{% abort 'no\n  phone number' %}", DATA)
    with pytest.raises(TemplateError, match=r"a reason has at most 200 characters \(line 1, column 10\)"):
        liquid.parse_text(f"{{% abort '{'x' * 201}' %}}")
