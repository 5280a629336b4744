"""The command that shows the messages of a scenario, to one contact or to generated ones: preview."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from gateway.cli.configuration import DestinationsOption, PoliciesOption, book_in, policies_in
from gateway.cli.entry_files import parse, read_entry, writing
from gateway.cli.options import Format, FormatOption
from gateway.cli.output import count, progress
from gateway.errors import BadInput
from gateway.terminal import console, dump, note, say

if TYPE_CHECKING:
    from activities.webhook.destinations.destinations import Destinations
    from gateway.preview.contact import PreviewInputs
    from gateway.preview.draft import Draft
    from gateway.preview.rendering import MessageRenderer
    from gateway.preview.trial import RenderFailure, Trial
    from gateway.preview.walk import GivenEvent
    from runtime.settings import Settings
    from scenario.policies.policies import Policies
    from scenario.source.findings import Finding


FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="a scenario file, in YAML")]
AtOption = Annotated[
    str | None, typer.Option(metavar="TIME", help="when the contact enters, in its time zone", show_default="now")
]
EventOption = Annotated[
    list[str] | None, typer.Option(metavar="NAME[=JSON]", help="an event that arrives when a step waits for it")
]
ResponseOption = Annotated[
    list[str] | None, typer.Option(metavar="NAME=JSON", help="the value of {{ responses.NAME }}")
]
SourceOption = Annotated[bool, typer.Option("--source", help="e-mails byte by byte, as their MIME source")]
PrettyOption = Annotated[bool, typer.Option("--pretty", help="indented JSON bodies instead of the bytes sent")]


def preview(
    file: FileArgument,
    entry: Annotated[str | None, typer.Option(metavar="ENTRY", help="a JSON file; - is standard input")] = None,
    at: AtOption = None,
    event: EventOption = None,
    response: ResponseOption = None,
    step: Annotated[str | None, typer.Option(metavar="ID", help="only this step")] = None,
    source: SourceOption = False,
    pretty: PrettyOption = False,
    random: Annotated[int | None, typer.Option(metavar="N", min=1, help="try N generated contacts instead")] = None,
    seed: Annotated[int, typer.Option(metavar="S", help="a seed, for other contacts")] = 0,
    save: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="where to write the entry that fails", show_default="standard output"),
    ] = None,
    destinations: DestinationsOption = None,
    policies: PoliciesOption = None,
    form: FormatOption = Format.TEXT,
) -> None:
    """Show what every step would send to a contact, byte by byte. Nothing is sent. No server is needed.

    Steps that the contact does not reach are shown too, and marked. Secrets appear by name. With --random, contacts
    with extreme values in all fields are generated, and the first that a step cannot be rendered for is reported.
    Policies apply as in a journey: a delayed message is shown at the time at which it would leave. The exit status is 1
    if a step that the contact might reach cannot be rendered.
    """
    if (entry is None) == (random is None):
        raise typer.BadParameter("give one contact with --entry, or a number of generated ones with --random")
    _fitting(random is not None, event=event, source=source, pretty=pretty, save=save, seed=seed)
    book = book_in(destinations)
    held = policies_in(policies)
    made = draft_of(file, book, form, held)
    made.require(step)
    if random is not None:
        given = given_by(at, (), response or (), book)
        raise typer.Exit(_try_random(made, random, given, seed=seed, step=step, save=save, form=form))
    given = replace(given_by(at, event or (), response or (), book), policies=held)
    raise typer.Exit(_show(made, read_entry(entry or "", many=False), given, step, form, source=source, pretty=pretty))


def _fitting(is_random: bool, **given: object) -> None:
    """Refuse options that would have no effect. Raise typer.BadParameter if one was given."""
    for name, value in given.items():
        if value and (name in ("save", "seed")) is not is_random:
            raise typer.BadParameter(f"--{name} goes with {'--entry' if is_random else '--random'}")


def draft_of(file: Path, book: Destinations | None, form: Format, policies: Policies | None = None) -> Draft:
    """Read and check the scenario. If it has errors, it can be neither previewed nor sent."""
    from gateway.preview.draft import draft

    made, findings = draft(file, book and book.listing, policies.quiet_hours if policies else ())
    for finding in findings:
        note(str(finding))
    if made is None:
        if form is Format.JSON:
            dump({"steps": [], "findings": _plain(findings)})
        note("scenario: fix these errors first: nothing can be previewed")
        raise typer.Exit(1)
    return made


def _plain(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    return [finding.as_json() for finding in findings]


def given_by(
    at: str | None, events: Sequence[str], responses: Sequence[str], book: Destinations | None
) -> PreviewInputs:
    """Return the circumstances that the options describe."""
    from gateway.preview.contact import PreviewInputs
    from runtime.settings import Settings

    settings = Settings()
    return PreviewInputs(
        at=_moment(at),
        events=[_event(item) for item in events],
        responses=dict(_response(item) for item in responses),
        platform_zone=settings.platform_timezone,
        renderer=renderer(settings, book),
    )


def renderer(settings: Settings, book: Destinations | None = None) -> MessageRenderer:
    from gateway.preview.rendering import MessageRenderer

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
    from gateway.preview.walk import GivenEvent

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


def _show(
    made: Draft,
    entry: dict[str, Any],
    given: PreviewInputs,
    step: str | None,
    form: Format,
    *,
    source: bool,
    pretty: bool,
) -> int:
    from gateway.preview.contact import preview as follow
    from gateway.preview.contact import report
    from gateway.preview.rendering import TemplateLocator

    shown = follow(made, entry, given)
    told = report(shown, TemplateLocator(made.file), step)
    failing = sum("error" in item and item["reachable"] for item in told["steps"])
    if form is Format.JSON:
        dump({**told, "findings": _plain(made.warnings)})
    else:
        from gateway.cli.show_preview import lay_out

        lay_out(console(), told, source=source, pretty=pretty)
    note(f"{count(failing, 'step')} cannot be performed" if failing else _summary(told))
    return 1 if failing else 0


def _summary(told: Mapping[str, Any]) -> str:
    messages = [item for item in told["steps"] if item["outcome"] == "sent"]
    on_the_way = sum(item["taken"] for item in messages)
    aside = len(messages) - on_the_way
    others = f", {aside} on branches not taken" if aside else ""
    whom = "this contact, if it got anything" if told["withheld"] else "this contact"
    return f"{count(on_the_way, 'message')} to {whom}{others}; nothing was sent"


_AT: Final = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def _try_random(
    made: Draft, wanted: int, given: PreviewInputs, *, seed: int, step: str | None, save: Path | None, form: Format
) -> int:
    """Preview a scenario for generated contacts, print the outcome, and return the exit status."""
    from gateway.preview.trial import attempt

    started = time.perf_counter()
    # The same moment always: the same seed gives the same contacts.
    at = given.at or _AT
    given = replace(given, at=at)
    with progress("contacts", wanted) as each:
        trial = attempt(made, wanted, seed=seed, given=given, step=step, each=each)
    seconds = time.perf_counter() - started
    if trial.failure is not None and save is not None:
        with writing(save) as file:
            file.write(f"{_json(trial.failure.entry)}\n")
    if form is Format.JSON:
        dump(_trial_report(trial, seed, at))
    else:
        _tell(trial, seed, save, seconds, at)
    return 1 if trial.failure is not None else 0


def _trial_report(trial: Trial, seed: int, at: datetime) -> dict[str, Any]:
    failure = trial.failure
    return {
        "wanted": trial.wanted,
        "rendered": trial.rendered,
        "refused": trial.refused,
        "seed": seed,
        "at": at.isoformat(),
        "missed": {name: finding and finding.as_json() for name, finding in trial.missed.items()},
        "untaken": trial.untaken,
        "unmade": trial.unmade,
        "failure": failure
        and {
            "number": failure.number,
            "step": failure.step,
            "error": failure.finding.as_json(),
            "fields": dict(failure.fields),
            "entry": failure.entry,
            "events": [{"name": event.name, "properties": dict(event.properties)} for event in failure.events],
            "responses": dict(failure.responses),
        },
    }


def _tell(trial: Trial, seed: int, save: Path | None, seconds: float, at: datetime) -> None:
    for name, finding in trial.missed.items():
        why = "" if finding is None else f"; it would fail: {finding.file}:{finding.line}:{finding.column}: "
        note(f"step {name}: no contact reached it{why}{'' if finding is None else finding.message}")
    for name, ways in trial.untaken.items():
        note(f"step {name}: no contact took the branch {' or '.join(map(repr, ways))}")
    for name in trial.unmade:
        note(f"no response '{name}' could be generated that fits its schema: give one with --response {name}=JSON")
    failure = trial.failure
    if failure is None:
        refused = f", {trial.refused} would not have been admitted" if trial.refused else ""
        say(f"{trial.rendered} of {trial.wanted} rendered{refused} ({trial.wanted / max(seconds, 1e-6):.0f} a second)")
        return
    _blame(failure, seed)
    where = "-" if save is None else str(save)
    more = [part for event in failure.events for part in ("--event", _given(event.name, event.properties))]
    more += [part for name, value in failure.responses.items() for part in ("--response", _given(name, value))]
    # By default, a preview of one contact is of now, but the failure may depend on the day.
    again = shlex.join(("--entry", where, *more, "--at", at.isoformat()))
    if save is not None:
        note(f"the entry is in {save}: see it with {again}")
        return
    note(f"the entry goes with {again}")
    say(_json(failure.entry))


def _given(name: str, value: Any) -> str:
    return f"{name}={json.dumps(value)}".replace("\x7f", "\\u007f")


def _blame(failure: RenderFailure, seed: int) -> None:
    found = failure.finding
    note(f"scenario: contact {failure.number} of seed {seed} fails at step {failure.step}:")
    note(f"{found.file}:{found.line}:{found.column}: {found.message}")
    for name, value in failure.fields.items():
        note(f"  {name} = {value}")


def _json(entry: dict[str, Any]) -> str:
    """Return the entry as ASCII: terminals show every character of it, and files keep it unchanged."""
    return json.dumps(entry, indent=2).replace("\x7f", "\\u007f")
