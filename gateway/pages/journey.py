"""The page of a journey: its state, its history, and the operations on it."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from starlette.responses import Response

from gateway.api.problem import Problem
from gateway.pages.page import Form, Page, check_sure, does, go_to, reason_in, shows
from gateway.pages.rendering import link, to_journey
from gateway.service.journey_view import JourneyView
from scenario.steps.registry import is_delivery
from scenario.time.timing import zone_of
from scenario.words import Operation

_DONE: Final = {
    "retry": "The step is retried.",
    "send_now": "The message is sent now.",
    "skip": "The step is skipped.",
    "leave": "The journey has ended.",
    "pause": "The journey is paused: it starts no further step.",
    "resume": "The journey continues.",
}
"""Operations of this page, with the message after one was accepted."""


async def _show(page: Page) -> Response:
    journey = page.request.path_params["journey"]
    seen = await page.use.journeys.show(page.caller, journey, page.asked("run"))
    view = JourneyView.of(seen)
    return page.render(
        "journey.html",
        journey=view,
        zone=zone_of((seen.progress or {}).get("zone"), seen.plan.zone if seen.plan else None),
        operations=_operations(view) if view.status == "running" else (),
        temporal=_in_temporal(page, view),
        done=_DONE.get(page.asked("done") or ""),
    )


async def _operate(page: Page, form: Form) -> Response:
    journey = page.request.path_params["journey"]
    name, reason = form.get("operation", ""), reason_in(form)
    if name not in _DONE:
        raise Problem("invalid", "this page has no such operation")
    operation = Operation.RETRY if name == "send_now" else Operation(name)
    if operation is Operation.LEAVE:
        check_sure(form, "the journey is to end: this cannot be undone")
    now = name == "send_now" or (operation is Operation.RETRY and form.get("now") == "yes")
    step = form.get("step") if operation in (Operation.RETRY, Operation.SKIP) else None
    await page.use.operations.operate(
        page.caller,
        journey,
        operation,
        operator=page.caller.name,
        reason=reason,
        step=step or None,
        more={"now": True} if now else {},
    )
    return go_to(link(to_journey(journey), done=name))


def _operations(view: JourneyView) -> list[str]:
    """Return the operations that make sense now. The journey itself decides."""
    state, waiting = view.state, view.waiting
    now = next((step for step in view.steps if step.state == "now"), None)
    found = ["retry"] if state == "held" else []
    if waiting and state != "held" and now is not None and is_delivery(now.kind):
        found.append("send_now")
    found += ["skip"] if now is not None else []
    return [*found, "resume" if view.paused else "pause", "leave"]


def _in_temporal(page: Page, view: JourneyView) -> str | None:
    """Return the journey's page in Temporal's UI, or None if it is unknown or no longer exists."""
    namespace: str | None = page.request.app.state.namespace_ui
    if namespace is None or view.status in ("forgotten", "inline"):
        return None
    return f"{namespace}/workflows/{quote(view.id, safe='')}/{quote(view.run_id, safe='')}/history"


ROUTES: Final = (shows("/journeys/{journey:path}", _show), does("/journeys/{journey:path}", _operate, form_page=_show))
