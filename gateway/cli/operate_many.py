"""One operation for many journeys: found, confirmed, sent at a rate, with progress, and summed up."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import typer

from gateway.cli import session
from gateway.cli.options import BatchOptions, OperatorOptions
from gateway.cli.progress import progress
from gateway.operations.verbs import WORDS
from gateway.terminal import dump, note, say

if TYPE_CHECKING:
    from gateway.client import ScenarioClient
    from gateway.operations.batch import JourneyTarget, Tally
    from gateway.operations.retry_policy import Change, Glance, InFlight
    from gateway.operations.verbs import Verb
    from gateway.service.listing import ListedJourney

_SAID: Final = 20  # refusals that are said one by one


@dataclass(frozen=True)
class OperationRequest:
    """An operation, and how it is sent.

    Attributes:
        verb: The update.
        record: Who, and why.
        sending: How it goes to many journeys.
        more: What else the update takes.
    """

    verb: Verb
    record: OperatorOptions
    sending: BatchOptions
    more: dict[str, Any] = field(default_factory=dict[str, Any])


def operate_many(request: OperationRequest, which: dict[str, Any], *, everybody: bool = False) -> int:
    """Sends an operation to all journeys that fit. Returns the exit status.

    Args:
        request: The operation.
        which: What the journeys have in common, by the names of the options.
        everybody: All that are under way, where it would be the held ones.

    Raises:
        NotAnswered: They have to be asked, and no worker answers.
    """
    from gateway.cli import tables
    from gateway.journeys import as_json
    from gateway.service.index import EVERY, JourneyFilter

    sending = request.sending
    wanted = JourneyFilter(reason=which.pop("held_reason", None), **which)
    more = {"everybody": True} if everybody else {}
    found = session.ask(
        lambda client: client.select(request.verb, wanted, ask=sending.dry_run, limit=sending.limit or EVERY, **more)
    )
    table = tables.journeys if everybody or request.verb in ("pause", "resume") else tables.held
    return _carry_out(
        request, found, lambda: table(found), [as_json.listed(item) for item in found], anywhere=everybody
    )


def retune_many(request: OperationRequest, destination: str, change: Change) -> int:
    """Changes the policy of all deliveries to a destination that are under way. Returns the exit status."""
    from gateway.cli import tables
    from gateway.journeys import as_json
    from gateway.operations.retry_policy import Glance
    from gateway.service.index import EVERY

    async def look(client: ScenarioClient) -> Glance:
        limit = request.sending.limit or EVERY
        if request.sending.dry_run:
            return await client.glance(destination, limit=limit)
        return Glance(await client.in_flight(destination, limit=limit), unseen=0)

    glance = session.ask(look)
    found = glance.found
    # A name stands for one destination of one channel.
    request.more.update(destination=found[0].goes_to if found else destination, retry=change.given())
    status = _carry_out(request, found, lambda: tables.flights(found), [as_json.flight(item) for item in found])
    if glance.unseen:
        more = number_of(glance.unseen, "more journey")
        note(f"scenario: {more} may have one that has not been attempted yet: the operation itself checks each of them")
    return status


def _carry_out(
    request: OperationRequest,
    found: list[ListedJourney] | list[InFlight],
    show: Callable[[], None],
    listed: list[dict[str, Any]],
    *,
    anywhere: bool = False,
) -> int:
    from gateway.client import JourneyTarget, Tally, targets

    what = "delivery" if request.verb == "retune" else "journey"
    if request.sending.dry_run:
        if request.sending.json:
            dump(listed)
        elif found:
            show()
        note(f"scenario: {WORDS[request.verb]} would be sent to {number_of(len(found), what)}: nothing was done")
    elif not found:
        if request.sending.json:
            dump(_outcome(request, Tally()))
        note(f"scenario: nothing to {WORDS[request.verb]}: no {what} fits")
    elif not request.sending.yes and not confirmed(request, len(found), what):
        note("scenario: nothing was done")
        return 1
    else:
        # Who is to end wherever it is must not escape by going on to its next step.
        given = [JourneyTarget(target.id) if anywhere else target for target in targets(found)]
        tally = session.ask(lambda client: send(client, request, given))
        return 0 if tally.complete else 1
    return 0 if found else 1


def confirmed(request: OperationRequest, count: int, what: str) -> bool:
    """Asks at a terminal; where there is none, nobody could answer."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return True
    question = f"{WORDS[request.verb]} {number_of(count, what)}, {request.sending.rate:g} a second?"
    try:
        return typer.confirm(question, err=True)
    except typer.Abort:  # the end of input: no answer is no
        return False


async def send(client: ScenarioClient, request: OperationRequest, given: Sequence[JourneyTarget]) -> Tally:
    """Sends an operation to journeys, at a rate and with progress, and sums up what became of it."""
    with progress(WORDS[request.verb], len(given)) as advance:
        batch = client.batch(
            request.verb,
            operator=request.record.who,
            reason=request.record.reason,
            rate=request.sending.rate,
            done=lambda _: advance(),
            **request.more,
        )
        try:
            await batch.run(given)
        finally:
            # Also where it is interrupted: one must know how far it came.
            _sum_up(request, batch.tally)
    return batch.tally


def _sum_up(request: OperationRequest, tally: Tally) -> None:
    for refused in tally.refused[:_SAID]:
        note(f"scenario: {refused.id}: {refused.why}")
    if len(tally.refused) > _SAID:
        note(f"scenario: … and {len(tally.refused) - _SAID} more")
    if tally.left:
        why = "no worker answers: check that one is running, and " if tally.unanswered else ""
        note(f"scenario: {why}run it again for those that were not asked")
    if request.sending.json:
        dump(_outcome(request, tally))
    else:
        say(str(tally))


def _outcome(request: OperationRequest, tally: Tally) -> dict[str, Any]:
    return {
        "order": request.verb,
        "ordered": tally.accepted,
        "refused": [{"id": item.id, "why": item.why} for item in tally.refused],
        "left": tally.left,
    }


def number_of(count: int, what: str) -> str:
    """``1 journey``, ``3 deliveries``."""
    plural = what.removesuffix("y") + "ies" if what.endswith("ery") else f"{what}s"
    return f"{count} {what if count == 1 else plural}"
