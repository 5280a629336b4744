"""The page of deliveries: the attempts on record, by what they have in common."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from starlette.responses import Response
from starlette.routing import BaseRoute

from gateway.api.problem import Problem
from gateway.journeys.next_tries import to_come
from gateway.pages.fields import since_in
from gateway.pages.links import link
from gateway.pages.page import Page, shows
from runtime.store import AttemptPlace, WhichAttempts, place_of

LISTED: Final = 50
"""Attempts that a page has."""
LOOKED_BACK: Final = timedelta(days=7)
"""How far back is looked where nothing is asked for that has an index of its own."""
OUTCOMES: Final = ("delivered", "retry", "failed", "unknown", "skipped", "cancelled")
"""How attempts end."""
_FIELDS: Final = ("journey", "contact", "scenario", "step", "destination", "outcome", "since")
_INDEXED: Final = ("journey", "contact", "destination", "outcome")


async def _show(page: Page) -> Response:
    asked = {name: page.asked(name) for name in _FIELDS}
    if asked["outcome"] not in (None, *OUTCOMES):
        raise Problem("invalid", f"no attempt ends like that: the outcome is one of {', '.join(OUTCOMES)}")
    since = since_in(asked["since"])
    is_bounded = since is None and not any(asked[name] for name in _INDEXED)
    which = WhichAttempts(
        workflow_id=asked["journey"],
        contact_id=asked["contact"],
        scenario=asked["scenario"],
        scenarios=page.caller.key.scenarios,
        step=asked["step"],
        destination=asked["destination"],
        outcome=asked["outcome"],
        since=datetime.now(UTC) - LOOKED_BACK if is_bounded else since,
    )
    store = page.client.store
    found = await store.attempts(which, after=_place(page), limit=LISTED)
    # Which of them are still to be followed by another is told oldest first.
    found = [*reversed(await to_come(store, [*reversed(found)]))]
    more = len(found) == LISTED
    return page.render(
        "deliveries.html",
        attempts=found,
        asked=asked,
        outcomes=OUTCOMES,
        days=LOOKED_BACK.days if is_bounded else None,
        filtered=any(asked.values()),
        older=link("/deliveries", **asked, **_after(place_of(found[-1]))) if more else None,
    )


def _after(place: AttemptPlace) -> dict[str, Any]:
    told = {**place._asdict(), "started_at": place.started_at.isoformat()}
    return {f"after_{name}": value for name, value in told.items()}


def _place(page: Page) -> AttemptPlace | None:
    at, number, delivery = (page.asked(f"after_{name}") for name in AttemptPlace._fields)
    if at is None and number is None and delivery is None:
        return None
    try:
        return AttemptPlace(datetime.fromisoformat(at or "").astimezone(UTC), int(number or ""), delivery or "")
    except ValueError:
        raise Problem("invalid", "this is no page of this list: begin with its first one") from None


ROUTES: Final[tuple[BaseRoute, ...]] = (shows("/deliveries", _show),)
