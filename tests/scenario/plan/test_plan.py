"""The rows of a plan."""

import pytest

from scenario.steps.base import Row
from scenario.steps.branch import IfRow
from scenario.steps.delivery import Send
from scenario.steps.exit import ExitRow
from scenario.steps.wait import WaitRow
from scenario.steps.wait_for import WaitForRow

ROWS: tuple[tuple[Row, tuple[str | None, ...], str | None], ...] = (
    (Send(kind="sms", next="a"), ("a",), "a"),
    (Send(kind="webhook"), (None,), None),
    (WaitRow(kind="wait", next="a"), ("a",), "a"),
    (WaitForRow(kind="wait_for", event="go", then="a", otherwise="b"), ("a", "b"), "b"),
    (IfRow(kind="if", condition="true", then="a"), ("a", None), None),
    (ExitRow(kind="exit", reason="x"), (), None),
)


@pytest.mark.parametrize(("row", "successors", "skipped_to"), ROWS)
def test_a_row_knows_what_may_follow_and_where_a_skip_leads(
    row: Row, successors: tuple[str | None, ...], skipped_to: str | None
) -> None:
    assert (row.successors, row.skipped_to) == (successors, skipped_to)
