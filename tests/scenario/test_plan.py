"""The rows of a plan."""

import pytest

from scenario.plan import Exit, If, Send, Step, Wait, WaitFor

ROWS: tuple[tuple[Step, tuple[str | None, ...], str | None], ...] = (
    (Send(kind="sms", next="a"), ("a",), "a"),
    (Send(kind="webhook"), (None,), None),
    (Wait(kind="wait", next="a"), ("a",), "a"),
    (WaitFor(kind="wait_for", event="go", then="a", otherwise="b"), ("a", "b"), "b"),
    (If(kind="if", condition="true", then="a"), ("a", None), None),
    (Exit(kind="exit", reason="x"), (), None),
)


@pytest.mark.parametrize(("row", "successors", "skipped_to"), ROWS)
def test_a_row_knows_what_may_follow_and_where_a_skip_leads(
    row: Step, successors: tuple[str | None, ...], skipped_to: str | None
) -> None:
    assert (row.successors, row.skipped_to) == (successors, skipped_to)
