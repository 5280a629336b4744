"""The page about the API names all that is there, and what the description for programs says fits it."""

from __future__ import annotations

import re
from pathlib import Path

from gateway.api.problem import TITLES
from tests.gateway.api.routes import described

PAGE = (Path(__file__).parents[2] / "docs" / "integrate" / "api.md").read_text(encoding="utf-8")


def test_the_page_names_each_route() -> None:
    routes = [f"{method.upper()} {path}" for path, methods in described()["paths"].items() for method in methods]
    # A parameter may be called otherwise on the page.
    named = {re.sub(r"\{.*?\}", "{}", name) for name in re.findall(r"`([A-Z]+ /v1/[^`]*)`", PAGE)}
    assert len(routes) > 20
    assert [route for route in routes if re.sub(r"\{.*?\}", "{}", route) not in named] == []


def test_the_page_names_each_problem() -> None:
    rows = re.findall(r"^\| (\d{3}) \| `([\w-]+)` \|", PAGE, re.MULTILINE)
    assert {(int(status), code) for status, code in rows} == {(status, code) for code, (status, _) in TITLES.items()}
