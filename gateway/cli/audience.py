"""Commands about audiences: membership lists that are kept in sync at other systems."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli import session
from gateway.cli.options import Format, FormatOption, OperatorOptions, grouped
from gateway.cli.output import Table
from gateway.service.caller import TERMINAL
from gateway.terminal import dump, local, note, say

if TYPE_CHECKING:
    from gateway.service.batches import SyncedAudienceView

AudienceArgument = Annotated[str, typer.Argument(metavar="NAME", help="the audience's name")]
DestinationOption = Annotated[str | None, typer.Option(metavar="NAME", help="only the audience at this destination")]


def listing(form: FormatOption = Format.TEXT) -> None:
    """List the audiences that scenarios have changed, with the numbers of their members."""
    from gateway.service.batches import MembershipService

    found = session.ask_store(lambda store: MembershipService(store).find(TERMINAL))
    if form is Format.JSON:
        dump([one.model_dump(mode="json") for one in found])
        return
    right = ("members", "waiting", "refused")
    rows = Table("audience", "destination", "state", *right, "trouble", right=right, prose=("trouble",))
    for one in found:
        refused = sum(one.refused.values()) + one.unnamed
        numbers = (f"{number:,}" for number in (one.members, one.waiting, refused))
        rows.add(one.audience, one.destination, one.state, *numbers, one.trouble or "")
    rows.show("no audience was ever changed")


def show(audience: AudienceArgument, destination: DestinationOption = None, form: FormatOption = Format.TEXT) -> None:
    """Show an audience: its members, pending changes, and refusals with their reasons."""
    from gateway.service.batches import MembershipService

    _show(session.ask_store(lambda store: MembershipService(store).find(TERMINAL, audience, destination)), form)


@grouped
def retry(
    audience: AudienceArgument,
    destination: DestinationOption = None,
    *,
    record: OperatorOptions,
    form: FormatOption = Format.TEXT,
) -> None:
    """Send a held audience, and changes that were refused, again. Workers begin within half a minute."""
    from gateway.service.batches import MembershipService

    changed = session.ask_store(
        lambda store: MembershipService(store).retry(
            TERMINAL, audience, destination, operator=record.who, reason=record.reason
        ),
        writes=True,
    )
    _show([changed], form)


def _show(found: Sequence[SyncedAudienceView], form: Format) -> None:
    if form is Format.JSON:
        dump([one.model_dump(mode="json") for one in found])
        return
    for one in found:
        say(f"{one.audience} at {one.destination}: {one.state}")
        say(f"  members: {one.members:,}, changes that wait: {one.waiting:,}")
        for reason, number in one.refused.items():
            say(f"  refused ({reason}): {number:,}")
        if one.unnamed:
            say(f"  refused without a name: {one.unnamed:,}")
        if one.synced_at:
            say(f"  last sent: {local(one.synced_at)}")
        if one.trouble:
            note(f"scenario: {one.trouble}")
