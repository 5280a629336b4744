"""Every filter with every odd value: a result or an error of ours."""

from decimal import Decimal
from itertools import product
from typing import Any

import pytest

from scenario.errors import TemplateError
from scenario.liquid import render_text
from scenario.liquid.engine.environment import text_engine
from scenario.liquid.engine.filter_call import list_parameters

ODD: list[Any] = [
    None, True, 1, 2.5, "x", "", [1, "a", None], {"a": 1}, [[[]]], float("inf"), float("nan"), Decimal("NaN"),
    Decimal("sNaN"), Decimal("Infinity"), Decimal("1E+999999"), Decimal("-1E-999999"), 10**400, "9" * 5000, "\ud800",
    b"bytes", {1, 2}, object(), range(10**30),
]  # fmt: skip
ARGUMENTS: list[Any] = [None, 1, "x", Decimal("1E+999999"), float("inf"), {"a": 1}, [1], "9" * 5000, 10**400, -3]
FILTERS = text_engine().filters


def calls(name: str) -> list[tuple[str, dict[str, Any]]]:
    least, most, _ = list_parameters(FILTERS[name])
    made: list[tuple[str, dict[str, Any]]] = []
    for number in range(least, min(most, 2) + 1):
        given = ", ".join(f"a{index}" for index in range(number))
        source = f"{{{{ x | {name}{': ' if given else ''}{given} }}}}"
        for value, *arguments in product(ODD, *[ARGUMENTS if number < 2 else ARGUMENTS[:4]] * number):
            made.append((source, {"x": value, **{f"a{index}": item for index, item in enumerate(arguments)}}))
    return made


def refusal(source: str, data: dict[str, Any]) -> TemplateError | None:
    try:
        render_text(source, data)
    except TemplateError as error:
        return error
    return None


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_takes_anything(name: str) -> None:
    for source, data in calls(name):
        if (error := refusal(source, data)) is not None:
            assert error.line == 1, error
            assert len(error.reason) < 150
