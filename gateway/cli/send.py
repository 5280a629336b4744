"""The command that sends one real test message: send."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli import session
from gateway.cli.configuration import DestinationsOption, book_in
from gateway.cli.entry_files import read_entry
from gateway.cli.options import Format, FormatOption, login
from gateway.cli.preview import (
    AtOption,
    EventOption,
    FileArgument,
    PrettyOption,
    ResponseOption,
    SourceOption,
    draft_of,
    given_by,
)
from gateway.terminal import console, dump, note, say, styled, text

if TYPE_CHECKING:
    from activities.webhook.destinations.destinations import Destinations
    from gateway.preview.contact import PreviewInputs
    from gateway.preview.draft import Draft
    from gateway.sending import Exchange


def send(
    file: FileArgument,
    step: Annotated[str, typer.Option(metavar="ID", help="the step of the message")],
    entry: Annotated[str, typer.Option(metavar="ENTRY", help="a JSON file; - is standard input")],
    to: Annotated[
        str | None, typer.Option(metavar="WHERE", help="another recipient: a URL, an e-mail address or a number")
    ] = None,
    at: AtOption = None,
    event: EventOption = None,
    response: ResponseOption = None,
    source: SourceOption = False,
    pretty: PrettyOption = False,
    destinations: DestinationsOption = None,
    form: FormatOption = Format.TEXT,
) -> None:
    """Send one real message of a scenario, marked as a test, and show request and response.

    It is sent as a worker with these settings would send it, without server or journey: to the entry's recipient, or
    with --to to another one. Webhooks and e-mails have the header X-Scenario-Test, and the delivery id begins with
    msg_test. Secrets are shown by name; a URL given by --to receives only their names. Suppressions and
    SCENARIO_TEST_RECIPIENTS apply. If there is a store, its log of deliveries records the message as a test. Nothing is
    retried. The exit status is 1 if the message was not delivered.
    """
    book = book_in(destinations)
    made = draft_of(file, book, form)
    made.require(step)
    given = given_by(at, event or (), response or (), book)
    sent = asyncio.run(_send(made, read_entry(entry, many=False), given, step, to, destinations, book))
    for line in filter(
        None, (sent.contact.refused and f"would be refused: {sent.contact.refused}", *sent.contact.notes)
    ):
        note(line)
    if not next(passed for passed in sent.contact.steps if passed.id == step).taken:
        note(f"this contact would not reach step '{step}'")
    if form is Format.JSON:
        dump(_report(sent, step))
    else:
        _show(sent, source=source, pretty=pretty)
    if not sent.answer.delivered:
        note(f"not delivered: {sent.answer.said}")
        raise typer.Exit(1)
    note(f"delivered: {sent.answer.said}")


async def _send(
    made: Draft,
    entry: dict[str, Any],
    given: PreviewInputs,
    step: str,
    to: str | None,
    destinations: Path | None,
    book: Destinations | None,
) -> Exchange:
    from activities.dependencies import INBOX, channels_of
    from activities.webhook.destinations.reading import DestinationsFile
    from activities.webhook.route import Direct
    from gateway.sending import Means, Trials
    from gateway.sending import send as send_one
    from runtime.secrets import Secrets
    from runtime.settings import Settings
    from runtime.store import StoreError, StoreMismatch

    settings = Settings()
    channels = channels_of(settings, INBOX)
    routes = Direct(DestinationsFile(destinations if book else None))
    async with AsyncExitStack() as stack:
        stack.push_async_callback(channels.close, 2.0)
        try:
            store = await stack.enter_async_context(session.stored(writes=True))
        except StoreError as error:
            if channels.hashes is not None or isinstance(error, StoreMismatch):
                raise  # suppressed addresses are unknown
            store = None
        means = Means(
            channels=channels,
            routes=routes,
            secrets=Secrets(settings).snapshot(),
            sender=login(),
            trials=Trials(store=store, hashes=channels.hashes, recipients=settings.test_recipients),
            to=to,
        )
        return await send_one(made, entry, given, step, means)


def _report(sent: Exchange, step: str) -> dict[str, Any]:
    answer = sent.answer
    return {
        "id": sent.id,
        "step": step,
        **sent.message.describe(),
        "response": {"status": answer.status, "headers": dict(answer.headers), "body": answer.body},
        "milliseconds": sent.milliseconds,
        "delivered": answer.delivered,
        "reason": answer.said,
    }


def _show(sent: Exchange, *, source: bool, pretty: bool) -> None:
    from gateway.cli.show_preview import content, put_line

    screen, answer = console(), sent.answer
    for line in content(sent.message.describe(), source=source, pretty=pretty):
        put_line(screen, line)
    say("")
    word, missing = ("delivered", "taken") if answer.delivered else ("failed", "no answer")
    put_line(screen, styled(word, f"← {answer.status or missing} in {sent.milliseconds} ms"))
    for name, value in answer.headers.items():
        put_line(screen, text(f"{name}: {value}"))
    if answer.body:
        put_line(screen, text("─ answer", "dim"))
        for line in answer.body.splitlines():
            put_line(screen, text(line))
