"""Many rows as one parameter of a statement: a list in JSON, which the database unpacks.

As separate parameters, each value is processed on its own, and each number of rows is another statement to compile.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import Column, Integer

from runtime.store.columns import Flag, UtcDateTime, storable

ColumnType = Literal["text", "integer", "timestamptz"]


def column_type(column: Column[Any]) -> ColumnType:
    """Return the type of a table's column."""
    match column.type:
        case UtcDateTime():
            return "timestamptz"
        case Integer() | Flag():
            return "integer"
        case _:
            return "text"


class RowList:
    """The names and types of the columns of such a list.

    Attributes:
        names: The names, separated by commas.
    """

    def __init__(self, columns: Mapping[str, ColumnType]) -> None:
        self._columns = columns
        self.names = ", ".join(f'"{name}"' for name in columns)

    def source(self, parameter: str, *, on_sqlite: bool) -> str:
        """Return a subquery with the rows of a parameter, such as ``:rows``."""
        typed = ("text", "timestamptz") if on_sqlite else ("text",)  # types of the values as they come
        columns = (
            f'{value} AS "{name}"' if kind in typed else f'CAST({value} AS {kind}) AS "{name}"'
            for number, (name, kind) in enumerate(self._columns.items())
            for value in [f"value ->> {number}"]
        )
        table = f"json_each({parameter})" if on_sqlite else f"jsonb_array_elements(CAST({parameter} AS jsonb))"
        return " ".join(("(SELECT", ", ".join(columns), "FROM", f"{table})"))

    def dump(self, rows: Iterable[Iterable[Any]], *, on_sqlite: bool) -> str:
        """Return the parameter's value, from rows with their values in the order of the columns."""
        zone = "" if on_sqlite else "+00"

        def moment(value: datetime) -> str:  # as SQLite stores it
            return value.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds") + zone

        plain = [[storable(value) if isinstance(value, str) else value for value in row] for row in rows]
        return json.dumps(plain, ensure_ascii=False, separators=(",", ":"), default=moment)
