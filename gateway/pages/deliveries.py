"""The page of deliveries: recorded attempts, filtered. The page of one: its attempts, and what they sent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from starlette.responses import Response

from gateway.api.problem import Problem
from gateway.errors import BadInput, UnknownDelivery
from gateway.pages.page import NO_TIME, Page, field, natural, shows, since
from gateway.pages.preview import cut, local_time, masked
from gateway.pages.rendering import link
from gateway.service.content import ContentService
from gateway.service.journey_view import AttemptView
from scenario.words import AttemptOutcome

LISTED: Final = 50
"""Attempts per page."""
LOOKED_BACK: Final = timedelta(days=7)
"""The period searched by default, if no filter has an index."""
OUTCOMES: Final = tuple(AttemptOutcome)
_FIELDS: Final = ("journey", "contact", "scenario", "version", "step", "destination", "outcome", "since")
_PLACE: Final = ("after_at", "after_attempt", "after_delivery")
_NO_PLACE: Final = "the page asked for is not of this list: go to its first page"
_INDEXED: Final = ("journey", "contact", "destination", "outcome")


async def _list(page: Page) -> Response:
    given = page.request.query_params
    asked = {name: page.asked(name) for name in _FIELDS}
    if asked["outcome"] not in (None, *OUTCOMES):
        raise Problem("invalid", f"no attempt has this outcome: it is one of {', '.join(OUTCOMES)}")
    start = field(given, "since", since, NO_TIME.format("since"))
    is_bounded = start is None and not any(asked[name] for name in _INDEXED)
    found = await page.use.journeys.attempts(
        page.caller,
        workflow_id=asked["journey"],
        contact_id=asked["contact"],
        scenario=asked["scenario"],
        version=field(given, "version", natural, "the version is a number, such as 3"),
        step=asked["step"],
        destination=asked["destination"],
        outcome=asked["outcome"],
        since=datetime.now(UTC) - LOOKED_BACK if is_bounded else start,
        after=_place(page),
        limit=LISTED,
    )
    return page.render(
        "deliveries.html",
        attempts=found,
        asked=asked,
        outcomes=OUTCOMES,
        days=LOOKED_BACK.days if is_bounded else None,
        filtered=any(asked.values()),
        older=link("/deliveries", **asked, **_after(found[-1])) if len(found) == LISTED else None,
    )


async def _show_one(page: Page) -> Response:
    """Show a delivery's attempts, and what they sent if the key may see it."""
    delivery = page.request.path_params["delivery"]
    attempts = await page.use.journeys.attempts(page.caller, delivery_id=delivery)
    if not attempts:
        raise UnknownDelivery(f"no attempt of a delivery '{delivery}' is recorded")
    contents: ContentService = page.request.app.state.contents
    content, missing = None, None
    try:
        content = await contents.show(page.caller, delivery) if page.may("content") else None
    except BadInput as error:
        missing = str(error)
    return page.render(
        "delivery.html",
        attempts=attempts,
        content=content,
        missing=missing,
        masked=masked,
        cut=cut,
        local_time=local_time,
    )


def _after(last: AttemptView) -> dict[str, Any]:
    """Return the parameters of the next page's address."""
    return dict(zip(_PLACE, (last.started_at.isoformat(), last.attempt, last.delivery_id), strict=True))


def _place(page: Page) -> tuple[datetime, int, str] | None:
    at, number, delivery = (page.asked(name) for name in _PLACE)
    if at is None and number is None and delivery is None:
        return None
    try:
        place = datetime.fromisoformat(at or "").astimezone(UTC), int(number or ""), delivery or ""
    except (ValueError, OverflowError):
        raise Problem("invalid", _NO_PLACE) from None
    if not 0 <= place[1] < 2**31:
        raise Problem("invalid", _NO_PLACE)
    return place


ROUTES: Final = (shows("/deliveries", _list), shows("/deliveries/{delivery}", _show_one))
