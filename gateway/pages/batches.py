"""The pages of batch calls: the list, and one call with its contacts."""

from __future__ import annotations

from typing import Final, get_args

from starlette.responses import Response

from gateway.api.problem import Problem
from gateway.errors import Forbidden, NotFound
from gateway.pages.page import Page, shows
from scenario.words import ItemOutcome

_OUTCOMES: Final[tuple[ItemOutcome, ...]] = get_args(ItemOutcome)


async def _list(page: Page) -> Response:
    found = await page.use.batches.list(page.caller, page.range)
    return page.render("batches.html", batches=found.items, older=page.following(found.next))


async def _show(page: Page) -> Response:
    outcome = page.choice("outcome", _OUTCOMES)
    try:
        batch = await page.use.batches.show(page.caller, page.request.path_params["batch"])
    except (NotFound, Forbidden):
        raise Problem("not-found", "there is no such batch call") from None
    found = await page.use.batches.items(page.caller, batch.id, page.range, outcome)
    return page.render(
        "batch.html",
        batch=batch,
        at=f"/batches/{batch.id}",
        items=found.items,
        outcome=outcome,
        outcomes=_OUTCOMES,
        older=page.following(found.next),
    )


ROUTES: Final = (shows("/batches", _list), shows("/batches/{batch}", _show))
