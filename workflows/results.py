"""Reads the result of a delivery, an activity's or an operator's (`temporal activity complete`)."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Final, cast

from temporalio.common import RawValue

from activities.call import ActivityType, plain
from activities.failures import Failure, FailureKind
from activities.interface import Sent
from scenario.entry.entry import is_too_deep
from workflows.limits import size_of
from workflows.state import KEPT_RESPONSES, LONGEST_REASON

BY_HAND: Final = "completed by hand"
_UNREADABLE: Final = "its result cannot be read: whether it was delivered is not known"


def sent_in(call: ActivityType[Any, Sent], answer: RawValue | None, destination: str) -> Sent | Failure:
    """How a delivery ended, by its activity's result.

    Our activities state the attempt. A person states as much as is known, the outcome at least: an object, or the bare
    word, ``"delivered"``.

    Returns:
        The failure of a delivery whose outcome is not known, where nobody can tell what the result means.
    """
    try:
        sent = call.reader.validate_python(_said(answer))
    except ValueError:
        return Failure(
            kind=FailureKind.UNKNOWN,
            reason=_UNREADABLE,
            destination=destination,
            attempt=0,
            error="unreadable",
            unknown=True,
        )
    if sent.attempt < 1:
        sent = replace(sent, attempt=0, note=sent.note or BY_HAND)
    if why := _unkept(sent.saved):
        sent = replace(sent, saved=None, note=f"the response was not kept: {why}")
    return replace(sent, reason=_cut(sent.reason), note=_cut(sent.note))


def _said(answer: RawValue | None) -> dict[str, Any]:
    said = plain(answer)
    if isinstance(said, str):
        return {"outcome": said}
    if not isinstance(said, dict) or not said.keys() & {"outcome", "attempt"}:
        raise ValueError("it states no outcome")
    return cast("dict[str, Any]", said)


def _unkept(saved: Any) -> str:
    """Why no run could hand a response on to the next, if so."""
    if is_too_deep(saved) or size_of(saved) > KEPT_RESPONSES:
        return "it is too large, or nested too deeply"
    try:
        json.dumps(saved, allow_nan=False)
    except ValueError:  # what is read as infinity, 1e999, would be written as what is not JSON
        return "it holds a number that is too large"
    return ""


def _cut(text: str | None) -> str | None:
    return text[:LONGEST_REASON] if text else text
