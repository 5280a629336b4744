"""The check of a goal's value, which must be a number."""

from __future__ import annotations

from scenario.check.dates import OUTPUT, shape_of
from scenario.liquid.shapes import Anything, Roots, Value
from scenario.model.goal import is_worth
from scenario.source.report import Report
from scenario.type_guards import Path


def check_value(source: str, path: Path, known: Roots, report: Report) -> None:
    """Report a value that cannot be a number, whatever the event has.

    Args:
        source: The template.
        path: Its path.
        known: Variables that it may use.
        report: Receives the findings.
    """
    if not is_worth(source):
        message = "the value of a goal is one number: write one output, such as {{ event.total }}, or a number"
        report.add(path, "goal-value", message)
    elif found := OUTPUT.fullmatch(source.strip()):
        shape = shape_of(known, found[1])
        if shape is not None and not isinstance(shape, Anything) and shape != Value("number"):
            message = f"'{found[1]}' is not a number: write the event's value, such as {{{{ event.total }}}}"
            report.add(path, "goal-value", message, offset=found.start(1))
