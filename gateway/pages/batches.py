"""The pages of batch calls: the list, and one call with its contacts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, get_args

from starlette.responses import Response

from gateway.api.problem import Problem
from gateway.errors import Forbidden, UnknownBatch
from gateway.pages.page import Page, at_field, shows
from gateway.pages.rendering import link
from gateway.service.paging import PageRequest
from scenario.words import ItemOutcome

LISTED: Final = 50
"""Batch calls, or contacts of one, per page."""
_OUTCOMES: Final[Mapping[str, ItemOutcome]] = {word: word for word in get_args(ItemOutcome)}


async def _list(page: Page) -> Response:
    found = await page.use.batches.list(page.caller, PageRequest(LISTED, page.asked("after")))
    older = link("/batches", after=found.next) if found.next else None
    return page.render("batches.html", batches=found.items, older=older)


async def _show(page: Page) -> Response:
    wanted = page.asked("outcome")
    outcome = _OUTCOMES.get(wanted) if wanted else None
    if wanted and outcome is None:
        raise at_field("outcome", f"there is no such outcome: it is one of {', '.join(_OUTCOMES)}")
    try:
        batch = await page.use.batches.show(page.caller, page.request.path_params["batch"])
    except (UnknownBatch, Forbidden):
        raise Problem("not-found", "there is no such batch call") from None
    found = await page.use.batches.items(page.caller, batch.id, PageRequest(LISTED, page.asked("after")), outcome)
    at = f"/batches/{batch.id}"
    return page.render(
        "batch.html",
        batch=batch,
        at=at,
        items=found.items,
        outcome=outcome,
        outcomes=_OUTCOMES,
        older=link(at, outcome=outcome, after=found.next) if found.next else None,
    )


ROUTES: Final = (shows("/batches", _list), shows("/batches/{batch}", _show))
