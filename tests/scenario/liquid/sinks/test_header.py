"""Headers: what a scenario may set, and to what."""

import json
from pathlib import Path
from typing import Any

import pytest

from scenario.errors import TemplateError
from scenario.http.destinations import DENIED_NAMES, DENIED_PREFIXES
from scenario.liquid import check_header_name, render_header
from scenario.liquid.sinks.request import check_header_value

CASES = Path(__file__).parents[4] / "../shared/data/response_cases.json"


@pytest.fixture
def cases() -> dict[str, Any]:
    if not CASES.exists():
        pytest.skip("the table of expected decisions is not here")
    return json.loads(CASES.read_text())["headers"]


def refused(check: Any, given: str) -> bool:
    try:
        check(given)
    except TemplateError:
        return True
    return False


def test_the_lists_are_those_of_the_table(cases: dict[str, Any]) -> None:
    assert {*cases["deny_names"], "idempotency-key"} == DENIED_NAMES
    assert tuple(cases["deny_prefixes"]) == DENIED_PREFIXES


def test_names_and_values_are_decided_as_the_table_says(cases: dict[str, Any]) -> None:
    assert not [name for name in cases["accept_names"] if refused(check_header_name, name)]
    assert not [value for value in cases["accept_values"] if refused(check_header_value, value)]
    assert not [name for name in cases["reject_names"] if not refused(check_header_name, name)]
    assert not [value for value in cases["reject_values"] if not refused(check_header_value, value)]
    assert not [name for name in cases["deny_names"] if not refused(check_header_name, name.title())]
    assert not [prefix for prefix in cases["deny_prefixes"] if not refused(check_header_name, f"{prefix}Anything")]


@pytest.mark.parametrize("name", ["Content_Length", "X_Forwarded-For", "webhook_id", "CF_Connecting_IP"])
def test_an_underscore_is_no_way_around_the_lists(name: str) -> None:
    with pytest.raises(TemplateError, match="cannot be set by a scenario"):
        check_header_name(name)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("Bearer {{ empty }}", "starts or ends with a space"),
        ("{{ name }}", "a header cannot contain"),
        ("a\nb", "contains a line break"),
        ("é", "contains a line break, a control character or a character that is not ASCII"),
        ("{{ long }}", "longer than 4096 characters"),
        ("{{ break }}", "a header cannot contain"),
        ("{{ missing }}", "there is no 'missing'"),
        ("{% cycle break %}", "contains a line break"),
        ("{% capture c %}{{ break }}{% endcapture %}{{ c }}", "a header cannot contain"),
    ],
)
def test_a_value_that_no_header_can_have_is_refused(source: str, message: str) -> None:
    data = {"empty": "", "name": "Zoé", "long": "x" * 4097, "break": "a\r\nX-B: 1"}
    with pytest.raises(TemplateError, match=message) as caught:
        render_header(source, data)
    assert caught.value.line == 1


def test_the_only_control_character_in_a_value_is_the_tab() -> None:
    def passes(source: str, character: str) -> bool:
        try:
            return bool(render_header(source, {"x": character}))
        except TemplateError:
            return False

    characters = [chr(code) for code in [*range(0x180), 0x2028, 0x2029, 0xFEFF, 0xD800]]
    plain = ["\t", *map(chr, range(0x20, 0x7F))]
    assert [character for character in characters if passes("a{{ x }}b", character)] == plain
    assert [character for character in characters if passes(f"a{character}b", "")] == plain


def test_a_value_is_written_as_it_is() -> None:
    data = {"a": "x\ty", "b": 3, "c": True}
    assert render_header('v="{{ a }}"; {{ b }}/{{ c }}{% if b %}+{% endif %}', data) == 'v="x\ty"; 3/true+'
