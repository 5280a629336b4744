"""The one reader of numbers, in filters, comparisons and conditions."""

from __future__ import annotations

from decimal import Decimal

import pytest

from scenario import liquid
from scenario.errors import NumberError, TemplateError
from scenario.numbers import DecimalPoint, parse_number

AMBIGUOUS = ["1.234", "1,234", "-12.345", "+999,999"]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (" 12 ", 12),
        ("-3.50", Decimal("-3.50")),
        ("1e3", Decimal(1000)),
        ("12,5", Decimal("12.5")),
        ("0.125", Decimal("0.125")),
        ("0,125", Decimal("0.125")),
        ("1234.567", Decimal("1234.567")),
        ("1234,567", Decimal("1234.567")),
        ("1 234,50", Decimal("1234.50")),
        ("1\u202f234,500", Decimal("1234.500")),
        ("1\u00a0234", 1234),
        ("1.234,50", Decimal("1234.50")),
        ("1,234.50", Decimal("1234.50")),
        ("1'234.50", Decimal("1234.50")),
        ("1\u2019234,5", Decimal("1234.5")),
        ("1.234.567", 1234567),
        ("-1,234,567", -1234567),
        ("1,234.567", Decimal("1234.567")),
    ],
)
def test_a_number_with_one_meaning_is_read(text: str, number: int | Decimal) -> None:
    found = parse_number(text)
    assert found == number
    assert type(found) is type(number)


@pytest.mark.parametrize("text", ["", "abc", "12 €", "1.23,50", "1.2.3", "12,34,567", "1.234 567", "--1", "1" * 61])
def test_a_text_that_is_no_number(text: str) -> None:
    assert parse_number(text) is None


@pytest.mark.parametrize("text", AMBIGUOUS)
def test_a_number_with_two_meanings_is_refused(text: str) -> None:
    with pytest.raises(NumberError):
        parse_number(text)


@pytest.mark.parametrize(
    ("text", "point", "number"),
    [
        ("1.234", ".", Decimal("1.234")),
        ("1.234", ",", 1234),
        ("1,234", ".", 1234),
        ("1,234", ",", Decimal("1.234")),
        ("1.234.567", ",", 1234567),
        ("1.234.567", ".", None),
        ("12,50", ".", None),
        ("12.50", ",", None),
        ("12", ",", 12),
    ],
)
def test_a_known_decimal_point_gives_a_number_one_meaning(
    text: str, point: DecimalPoint, number: int | Decimal | None
) -> None:
    assert parse_number(text, point) == number


@pytest.mark.parametrize("text", AMBIGUOUS)
@pytest.mark.parametrize(
    "template",
    [
        "{{ x | number }}",
        "{{ x | money: 'EUR' }}",
        "{{ x | number_with_delimiter }}",
        "{{ x | plus: 1 }}",
        "{{ 1 | times: x }}",
        "{{ x | round: 2 }}",
        "{% if x < '5' %}{% endif %}",
        "{% if '10' >= x %}{% endif %}",
    ],
)
def test_filters_and_comparisons_refuse_a_number_with_two_meanings(template: str, text: str) -> None:
    with pytest.raises(TemplateError, match="of thousands or of decimals") as caught:
        liquid.render_line(template, {"x": text})
    assert text not in str(caught.value).replace("such as 1.234", "")
    assert caught.value.line == 1


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("'9,90' < '10.00'", True),
        ("'10' > '9'", True),
        ("'1.234,50' > '1,234.40'", True),
        ("'12,50' <= '12.5'", True),
        ("'1.10.2' < '1.9.2'", True),
        ("'abc' < 'b'", True),
        ("'007' == '7'", False),
        ("'12,50' | number > 12", True),
    ],
)
def test_conditions_compare_texts_that_are_numbers_as_numbers(condition: str, holds: bool) -> None:
    assert liquid.evaluate_condition(condition, {}) is holds
