"""Findings of a scenario, as the API returns them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, Field

from gateway.api.problem import Mistake, Problem


class FindingBody(BaseModel):
    """A finding in a scenario, or in a file that it refers to."""

    file: str = Field(description="The file: the scenario's, or one of `files`", examples=["scenario.yaml"])
    line: int = Field(description="Counted from 1")
    column: int = Field(description="Counted from 1, in characters")
    severity: Literal["error", "warning"] = Field(description="A scenario with an error cannot be published")
    code: str = Field(description="A short word for programs", examples=["unknown-key"])
    message: str = Field(description="One sentence for the author")
    did_you_mean: str | None = Field(None, description="What was probably meant, where one word says that")


def failed(findings: Sequence[Mapping[str, Any]], scenario: str, *, json: bool) -> Problem:
    """Return the problem of a scenario that cannot be published.

    Args:
        findings: The findings of the check, as plain data.
        scenario: The name of the scenario's own file in the findings.
        json: Whether the request was JSON, so that pointers lead into it; else it was the file itself.
    """
    errors = [
        Mistake(
            pointer=_pointer(found["file"], scenario) if json else "",
            code=found["code"],
            detail=found["message"],
            did_you_mean=found.get("did_you_mean"),
            file=found["file"],
            line=found["line"],
            column=found["column"],
        )
        for found in findings
        if found["severity"] == "error"
    ]
    count = "1 mistake" if len(errors) == 1 else f"{len(errors)} mistakes"
    return Problem("invalid", f"the scenario has {count}: nothing was published", errors)


def _pointer(file: str, scenario: str) -> str:
    return "/source" if file == scenario else f"/files/{file.replace('~', '~0').replace('/', '~1')}"
