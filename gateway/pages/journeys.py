"""The list of journeys."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from starlette.responses import Response
from temporalio.service import RPCError, RPCStatusCode
from typing_extensions import TypedDict

from gateway.api.cursor import decode_cursor, encode_cursor
from gateway.api.problem import Problem
from gateway.journeys.listing import OVER, UNDER_WAY, ListedJourney, listed, quoted, sending, states
from gateway.pages.links import link
from gateway.pages.page import Page, shows
from runtime.search_attributes import CONTACT_ID, JOURNEY_STATE, SCENARIO_NAME, SCENARIO_VERSION, STEP_ID
from runtime.store import StoredEntry

_EACH: Final = 50
_PATIENCE: Final = timedelta(seconds=5)
_SEARCHED: Final = ("waiting", "held", "paused")
"""States that Temporal's search knows, some moments behind."""
_RUNNING: Final = "under way"
STATES: Final = (_RUNNING, *_SEARCHED, *OVER)
"""What one can ask for."""


_Asked = Mapping[str, str | None]
_Found = tuple[list[ListedJourney], str | None]
"""Journeys, and where the list goes on."""


class _Place(TypedDict, total=False):
    journey: str
    run: str
    token: str


async def _show(page: Page) -> Response:
    names = [one.scenario for one in await page.client.store.scenarios() if page.caller.may_use(one.scenario)]
    asked = {name: page.asked(name) for name in ("scenario", "version", "state", "step", "contact")}
    scenario, state = asked["scenario"], asked["state"]
    if scenario is not None:
        page.caller.check(scenario)
    elif page.caller.key.scenarios is not None and names:  # of all it may see some only
        scenario = asked["scenario"] = names[0]
    place = decode_cursor(cursor, _Place) if (cursor := page.asked("after")) else _Place()
    found, following = _Found(([], None))
    if page.caller.key.scenarios is None or names:
        search = _searched if state in _SEARCHED or asked["step"] else _on_record
        found, following = await search(page, asked, place)
    older = link("/journeys", **asked, after=following) if following else None
    return page.render("journeys.html", journeys=found, names=names, states=STATES, asked=asked, older=older)


async def _on_record(
    page: Page, asked: Mapping[str, str | None], place: _Place
) -> tuple[list[ListedJourney], str | None]:
    """Journeys as the store has them, the newest first."""
    store, temporal, state = page.client.store, page.client.temporal, asked["state"]
    last = await store.entry(place["journey"], place.get("run")) if "journey" in place else None
    entries = await store.entries(
        scenario=asked["scenario"],
        version=_number(asked["version"]),
        contact_id=asked["contact"],
        running=True if state == _RUNNING else False if state else None,
        outcome=state if state in OVER else None,
        after=last,
        limit=_EACH + 1,
    )
    shown = entries[:_EACH]
    following = encode_cursor(_after(shown[-1])) if len(entries) > _EACH else None
    seen = await states(temporal, [entry.workflow_id for entry in shown if entry.ended_at is None])
    return await sending(temporal, [listed(entry, seen) for entry in shown], limit=_EACH), following


async def _searched(
    page: Page, asked: Mapping[str, str | None], place: _Place
) -> tuple[list[ListedJourney], str | None]:
    """Journeys under way in a state, or at a step, as Temporal's search has them."""
    temporal = page.client.temporal
    version = _number(asked["version"])
    wanted = {
        SCENARIO_NAME: asked["scenario"],
        SCENARIO_VERSION: f"{asked['scenario']}@{version}" if version and asked["scenario"] else None,
        CONTACT_ID: asked["contact"],
        STEP_ID: asked["step"],
        JOURNEY_STATE: asked["state"] if asked["state"] in _SEARCHED else None,
    }
    clauses = [UNDER_WAY, *(f"{key.name} = {quoted(value)}" for key, value in wanted.items() if value)]
    # A place that somebody made up is tried over and over by a server that takes it for trouble of its own.
    found = temporal.list_workflows(
        " AND ".join(clauses), page_size=_EACH, next_page_token=_token(place), rpc_timeout=_PATIENCE
    )
    try:
        await found.fetch_next_page()
    except RPCError as error:
        if error.status is not RPCStatusCode.UNIMPLEMENTED:
            raise
        return [], None  # a server without search
    entries = await page.client.store.under_way([one.id for one in found.current_page or ()])
    seen = await states(temporal, list(entries))
    items = await sending(temporal, [listed(entry, seen) for entry in entries.values()], limit=_EACH)
    following = found.next_page_token
    return items, encode_cursor({"token": b64encode(following).decode()}) if following else None


def _token(place: _Place) -> bytes | None:
    try:
        return b64decode(place["token"]) if "token" in place else None
    except ValueError:
        raise Problem("invalid", "this is no place of this list: begin anew without 'after'") from None


def _after(entry: StoredEntry) -> dict[str, Any]:
    return {"journey": entry.workflow_id, "run": entry.run_id}


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else None


ROUTES: Final = (shows("/journeys", _show),)
