"""The commands that show the messages of a scenario to one contact or to generated ones, or send one: preview, send."""

from __future__ import annotations

import asyncio
import json
import shlex
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from authoring.errors import BadInput
from cli import session
from cli.configuration import DestinationsOption, PoliciesOption, book_in, policies_in
from cli.entry_files import parse, read_entry, writing
from cli.options import Format, FormatOption, argument, flag, login, option
from cli.output import count, output, progress
from cli.terminal import console, dump, note, say, styled, text

if TYPE_CHECKING:
    from activities.webhook.destinations.destinations import Destinations
    from authoring.preview.contact import PreviewInputs
    from authoring.preview.draft import Draft
    from authoring.preview.rendering import MessageRenderer
    from authoring.preview.trial import Trial
    from authoring.preview.walk import GivenEvent
    from runtime.settings import Settings
    from scenario.policies.policies import Policies
    from service.sending import Exchange

FileArgument = Annotated[Path, argument("FILE", "a scenario file, in YAML")]
AtOption = Annotated[str | None, option("TIME", "when the contact enters, in its time zone", show_default="now")]
EventOption = Annotated[list[str] | None, option("NAME[=JSON]", "an event that arrives when a step waits for it")]
ResponseOption = Annotated[list[str] | None, option("NAME=JSON", "the value of {{ responses.NAME }}")]
SourceOption = Annotated[bool, flag("--source", "e-mails byte by byte, as their MIME source")]
PrettyOption = Annotated[bool, flag("--pretty", "indented JSON bodies instead of the bytes sent")]


def preview(
    file: FileArgument,
    entry: Annotated[str | None, option("ENTRY", "a JSON file; - is standard input")] = None,
    at: AtOption = None,
    event: EventOption = None,
    response: ResponseOption = None,
    step: Annotated[str | None, option("ID", "only this step")] = None,
    source: SourceOption = False,
    pretty: PrettyOption = False,
    random: Annotated[int | None, option("N", "try N generated contacts instead", min=1)] = None,
    seed: Annotated[int, option("S", "a seed, for other contacts")] = 0,
    save: Annotated[
        Path | None, option("FILE", "where to write the entry that fails", show_default="standard output")
    ] = None,
    destinations: DestinationsOption = None,
    policies: PoliciesOption = None,
    form: FormatOption = "text",
) -> None:
    """Show what every step would send to a contact, byte by byte. Nothing is sent. No server is needed.

    Steps that the contact does not reach are shown too, and marked. Secrets appear by name. With --random, contacts
    with extreme values in all fields are generated, and the first that a step cannot be rendered for is reported.
    Policies apply as in a journey: a delayed message is shown at the time at which it would leave. The exit status is 1
    if a step that the contact might reach cannot be rendered.
    """
    from authoring.preview.contact import preview as follow
    from authoring.preview.contact import report
    from authoring.preview.rendering import TemplateLocator

    if (entry is None) == (random is None):
        raise typer.BadParameter("give one contact with --entry, or a number of generated ones with --random")
    of_one, of_many = {"event": event, "source": source, "pretty": pretty}, {"save": save, "seed": seed}
    for name, value in (of_one if entry is None else of_many).items():
        if value:
            raise typer.BadParameter(f"--{name} goes with {'--entry' if entry is None else '--random'}")
    book = book_in(destinations)
    held = policies_in(policies)
    made = draft_of(file, book, form, held)
    made.require(step)
    if random is not None:
        given = given_by(at, (), response or (), book)
        raise typer.Exit(_try_random(made, random, given, seed=seed, step=step, save=save, form=form))
    given = replace(given_by(at, event or (), response or (), book), policies=held)
    told = report(follow(made, read_entry(entry or "", many=False), given), TemplateLocator(made.file), step)
    failing = sum("error" in item and item["reachable"] for item in told["steps"])
    if form == "json":
        dump({**told, "findings": made.warnings})
    else:
        from cli.show_preview import lay_out

        lay_out(console(), told, source=source, pretty=pretty)
    if failing:
        note(f"{count(failing, 'step')} cannot be performed")
        raise typer.Exit(1)
    messages = [item for item in told["steps"] if item["outcome"] == "sent"]
    on_the_way = sum(item["taken"] for item in messages)
    aside = len(messages) - on_the_way
    others = f", {aside} on branches not taken" if aside else ""
    whom = "this contact, if it got anything" if told["withheld"] else "this contact"
    note(f"{count(on_the_way, 'message')} to {whom}{others}; nothing was sent")


def draft_of(file: Path, book: Destinations | None, form: Format, policies: Policies | None = None) -> Draft:
    """Read and check the scenario. If it has errors, it can be neither previewed nor sent."""
    from authoring.preview.draft import draft

    made, findings = draft(file, book and book.listing, policies)
    for finding in findings:
        note(str(finding))
    if made is None:
        if form == "json":
            dump({"steps": [], "findings": findings})
        note("scenario: fix these errors first: nothing can be previewed")
        raise typer.Exit(1)
    return made


def given_by(
    at: str | None, events: Sequence[str], responses: Sequence[str], book: Destinations | None
) -> PreviewInputs:
    """Return the circumstances that the options describe."""
    from authoring.preview.contact import PreviewInputs
    from runtime.settings import Settings

    settings = Settings()
    return PreviewInputs(
        at=_moment(at),
        events=[_event(item) for item in events],
        responses=dict(_response(item) for item in responses),
        platform=settings.platform,
        renderer=renderer(settings, book),
    )


def renderer(settings: Settings, book: Destinations | None = None) -> MessageRenderer:
    from authoring.preview.rendering import MessageRenderer

    return MessageRenderer.configured(settings.mail_from, settings.mail_from_allowed, settings.callback_url, book)


def _moment(at: str | None) -> datetime | None:
    from scenario.time import ENTRY_YEARS

    if at is None:
        return None
    try:
        moment = datetime.fromisoformat(at)
    except ValueError:
        raise BadInput(
            "--at is a date or a date and time, such as 2026-03-29T10:00 or 2026-03-29T10:00+02:00"
        ) from None
    if not ENTRY_YEARS[0] <= moment.year <= ENTRY_YEARS[1]:
        raise BadInput(f"--at is a date between the years {ENTRY_YEARS[0]} and {ENTRY_YEARS[1]}")
    return moment


def _event(item: str) -> GivenEvent:
    from authoring.preview.walk import GivenEvent

    name, equals, properties = item.partition("=")
    wanted = """write it as NAME='{"order_id": "CGX0094"}'"""
    if not name:
        raise BadInput(f"--event needs a name: {wanted}")
    return GivenEvent(
        name, parse(properties.encode(errors="surrogatepass"), "--event", wanted=wanted) if equals else {}
    )


def _response(item: str) -> tuple[str, Any]:
    """Parse an option of a step's response. Any JSON is accepted, also if no template expects it."""
    name, _, content = item.partition("=")
    wanted = """write it as NAME='{"id": "7"}'"""
    if not name:
        raise BadInput(f"--response needs a name: {wanted}")
    try:
        return name, json.loads(content)
    except (ValueError, RecursionError):
        raise BadInput(f"--response is not JSON: {wanted}") from None


def _try_random(
    made: Draft, wanted: int, given: PreviewInputs, *, seed: int, step: str | None, save: Path | None, form: Format
) -> int:
    """Preview a scenario for generated contacts, print the outcome, and return the exit status."""
    from authoring.preview.trial import attempt

    started = time.perf_counter()
    with progress("contacts", wanted) as each:
        trial = attempt(made, wanted, seed=seed, given=given, step=step, each=each)
    seconds = time.perf_counter() - started
    if trial.failure is not None and save is not None:
        with writing(save) as file:
            file.write(f"{_entry_as_json(trial.failure.entry)}\n")
    output(trial, form, lambda trial: _tell_trial(trial, save, seconds))
    return 1 if trial.failure is not None else 0


def _tell_trial(trial: Trial, save: Path | None, seconds: float) -> None:
    for name, finding in trial.missed.items():
        why = "" if finding is None else f"; it would fail: {finding.file}:{finding.line}:{finding.column}: "
        note(f"step {name}: no contact reached it{why}{'' if finding is None else finding.message}")
    for name, ways in trial.untaken.items():
        note(f"step {name}: no contact took the branch {' or '.join(map(repr, ways))}")
    for name in trial.unmade:
        note(f"no response '{name}' could be generated that fits its schema: give one with --response {name}=JSON")
    for one in trial.empty:
        place = f"{one.file}:{one.line}:{one.column}"
        note(f"{place}: {{{{ {one.output} }}}} printed nothing for {one.contacts} of {count(trial.wanted, 'contact')}")
    failure = trial.failure
    if failure is None:
        refused = f", {trial.refused} would not have been admitted" if trial.refused else ""
        say(f"{trial.rendered} of {trial.wanted} rendered{refused} ({trial.wanted / max(seconds, 1e-6):.0f} a second)")
        return
    found = failure.error
    note(f"scenario: contact {failure.number} of seed {trial.seed} fails at step {failure.step}:")
    note(f"{found.file}:{found.line}:{found.column}: {found.message}")
    for name, value in failure.fields.items():
        note(f"  {name} = {value}")
    where = "-" if save is None else str(save)
    more = [part for event in failure.events for part in ("--event", _given(event.name, event.properties))]
    more += [part for name, value in failure.responses.items() for part in ("--response", _given(name, value))]
    # By default, a preview of one contact is of now, but the failure may depend on the day.
    again = shlex.join(("--entry", where, *more, "--at", trial.at))
    if save is not None:
        note(f"the entry is in {save}: see it with {again}")
        return
    note(f"the entry goes with {again}")
    say(_entry_as_json(failure.entry))


def _given(name: str, value: Any) -> str:
    return f"{name}={json.dumps(value)}".replace("\x7f", "\\u007f")


def _entry_as_json(entry: dict[str, Any]) -> str:
    """Return the entry as ASCII: terminals show every character of it, and files keep it unchanged."""
    return json.dumps(entry, indent=2).replace("\x7f", "\\u007f")


def send(
    file: FileArgument,
    step: Annotated[str, option("ID", "the step of the message")],
    entry: Annotated[str, option("ENTRY", "a JSON file; - is standard input")],
    to: Annotated[str | None, option("WHERE", "another recipient: a URL, an e-mail address or a number")] = None,
    at: AtOption = None,
    event: EventOption = None,
    response: ResponseOption = None,
    source: SourceOption = False,
    pretty: PrettyOption = False,
    destinations: DestinationsOption = None,
    form: FormatOption = "text",
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
    if sent.contact.refused:
        note(f"would be refused: {sent.contact.refused}")
    for line in sent.contact.notes:
        note(line)
    if not next(passed for passed in sent.contact.steps if passed.id == step).taken:
        note(f"this contact would not reach step '{step}'")
    if form == "json":
        dump(_exchange_as_json(sent, step))
    else:
        _show_sent(sent, source=source, pretty=pretty)
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
    from runtime.secrets import Secrets
    from runtime.settings import Settings
    from runtime.store import StoreError, StoreMismatch
    from service.sending import Means, Trials
    from service.sending import send as send_one

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


def _exchange_as_json(sent: Exchange, step: str) -> dict[str, Any]:
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


def _show_sent(sent: Exchange, *, source: bool, pretty: bool) -> None:
    from cli.show_preview import content, put_line

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
