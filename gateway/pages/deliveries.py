"""The page of deliveries: recorded attempts, filtered. The page of one: its attempts, and what they sent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from starlette.responses import Response

from gateway.api.problem import Problem, problem_of
from gateway.errors import BadInput, NotFound
from gateway.pages.page import Page, moment_in, refused, shows, version_in
from gateway.service.content import ContentService
from gateway.service.journey_view import AttemptView
from gateway.service.view import PageView
from scenario.words import AttemptOutcome

LOOKED_BACK: Final = timedelta(days=7)  # the period searched by default, if no filter has an index
_FIELDS: Final = ("journey", "contact", "scenario", "version", "step", "destination", "outcome", "since")
_INDEXED: Final = ("journey", "contact", "destination", "outcome")


async def _list(page: Page) -> Response:
    given = page.request.query_params
    asked = {name: page.asked(name) for name in _FIELDS}
    is_bounded = asked["since"] is None and not any(asked[name] for name in _INDEXED)
    found = PageView[AttemptView](items=[], next=None)
    try:
        start = moment_in(given, "since")
        found = await page.use.journeys.deliveries(
            page.caller,
            page.range,
            workflow_id=asked["journey"],
            contact_id=asked["contact"],
            scenario=asked["scenario"],
            version=version_in(given),
            step=asked["step"],
            destination=asked["destination"],
            outcome=page.choice("outcome", AttemptOutcome),
            since=datetime.now(UTC) - LOOKED_BACK if is_bounded else start,
        )
    except (Problem, BadInput) as error:
        page = refused(page, problem_of(error))
    return page.render(
        "deliveries.html",
        attempts=found.items,
        asked=asked,
        outcomes=tuple(AttemptOutcome),
        days=LOOKED_BACK.days if is_bounded else None,
        filtered=any(asked.values()),
        older=page.following(found.next),
    )


async def _show_one(page: Page) -> Response:
    """Show a delivery's attempts, and what they sent if the key may see it."""
    delivery = page.request.path_params["delivery"]
    attempts = await page.use.journeys.attempts(page.caller, delivery_id=delivery)
    if not attempts:
        raise NotFound(f"no attempt of a delivery '{delivery}' is recorded")
    contents: ContentService = page.request.app.state.contents
    content, missing = None, None
    try:
        content = await contents.show(page.caller, delivery) if page.may("content") else None
    except BadInput as error:
        missing = str(error)
    return page.render("delivery.html", attempts=attempts, content=content, missing=missing)


ROUTES: Final = (shows("/deliveries", _list), shows("/deliveries/{delivery}", _show_one))
