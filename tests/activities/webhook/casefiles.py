"""The case files that are kept beside the project: read where they are, skipped where they are not."""

import json
from pathlib import Path
from typing import Any, cast

import pytest

_DATA = Path(__file__).parents[4] / "shared" / "data"


def table(name: str, *keys: str, **only: str) -> list[Any]:
    """Return the rows of the list at `keys` of a case file as pytest parameters, or those with `only` these values."""
    path = _DATA / name
    if not path.exists():
        return [pytest.param(None, marks=pytest.mark.skip(reason=f"the case file {name} is not there"))]
    rows: Any = json.loads(path.read_text())
    for key in keys:
        rows = rows[key]
    assert rows, f"{name} has no rows under {keys}"
    kept = [row for row in rows if all(row[key] == value for key, value in only.items())]
    return [pytest.param(row, id=_label(number, row)) for number, row in enumerate(kept)]


def _label(number: int, row: Any) -> str:
    if not isinstance(row, dict):
        return str(number)
    named = cast("dict[str, Any]", row)
    return str(named.get("id") or named.get("status") or named.get("error") or number)
