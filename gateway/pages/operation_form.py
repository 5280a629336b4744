"""The forms that begin an operation on many journeys."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from gateway.operations.request import RequestedOperation
from gateway.operations.run import RATE
from gateway.pages.page import Form, Page, field, go_to, reason_in
from gateway.service.index import JourneyFilter
from scenario.words import Operation


async def begin_operation(page: Page, form: Form, operation: Operation, which: JourneyFilter, **more: Any) -> Response:
    """Begin an operation with the reason and the rate of a form, and go to its page.

    Args:
        more: Further arguments of `RequestedOperation`.
    """
    rate = field(form, "rate", float, "the rate is a number of journeys a second")
    request = RequestedOperation(
        operation=operation,
        which=which,
        operator=page.caller.name,
        reason=reason_in(form),
        rate=RATE if rate is None else rate,
        **more,
    )
    begun = await page.use.operations.begin(page.caller, request)
    page.use.refresh()
    return go_to(f"/operations/{begun.id}")
