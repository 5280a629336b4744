"""Commands about campaigns: one scenario for the contacts of a file."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, cast

import typer

from cli import session
from cli.entry_files import writing
from cli.options import (
    Format,
    FormatOption,
    OperatorOption,
    OperatorOptions,
    argument,
    flag,
    grouped,
    login,
    moment,
    one_of,
    option,
)
from cli.output import Table, output, progress
from cli.preview import draft_of
from cli.terminal import dump, note, say
from scenario.time import format_duration, per_second
from scenario.words import LINE_OUTCOMES, LineOutcome
from service.caller import TERMINAL

if TYPE_CHECKING:
    from runtime.store.campaign_lines import StoredAudience
    from scenario.plan.plan import GearName
    from service.audiences import AudienceService
    from service.campaigns.survey import Estimate, Survey
    from service.campaigns.views import CampaignOperation, CampaignView
    from service.client import ScenarioClient

EncodingOption = Annotated[
    str | None, typer.Option(help="of CSV, such as cp1250; by default UTF-8, else cp1252 (Western Europe)")
]
NameOption = Annotated[
    str | None, typer.Option(help="the campaign, which is the key of its journeys; the scenario's without it")
]
_LISTED: Final = 100
_SHOWN: Final = 20  # invalid lines that are listed one by one
_WATCHED: Final = 2.0  # seconds
GEARS: Final[Mapping[GearName, str]] = {
    "blast": "messages are sent directly, and contacts that must wait become journeys (--gear enter: all do)",
    "enter": "each line starts a journey",
}
_LOOK: Final = 0.5  # seconds between two looks at a campaign
ResultFormatOption = Annotated[
    Literal["text", "json", "csv"],
    typer.Option("--format", help="text for people, json (one object a line) or csv for programs"),
]
RateOption = Annotated[str, typer.Option(help="maximum number of lines: 200/s, 600/m, 1000/h")]
LeaveOption = Annotated[bool, flag("--leave", "end the journeys that it started, too")]
WatchOption = Annotated[bool, flag("--watch", "show it every two seconds until it ends")]
CampaignArgument = Annotated[str, argument("NAME", "the campaign's name")]
OutcomeOption = Annotated[
    str | None,
    option("WORD", f"only lines with this outcome: {', '.join(LINE_OUTCOMES)}", parser=one_of(LINE_OUTCOMES)),
]


def start(
    scenario: Annotated[
        str, argument("SCENARIO", "a YAML file, which is published; or a published NAME or NAME@VERSION")
    ],
    audience: Annotated[
        str,
        option(
            "PEOPLE", "as for check, or a file elsewhere: s3://bucket/people.csv, sftp://user@host/folder/people.csv"
        ),
    ],
    encoding: EncodingOption = None,
    name: NameOption = None,
    rate: RateOption = "100/s",
    at: Annotated[str | None, option("TIME", "start at this time; without a zone, in this machine's")] = None,
    local: Annotated[
        bool, flag("--local", "--at is each contact's own local time; contacts whose time is past start first")
    ] = False,
    gear: Annotated[
        Literal["enter"] | None, typer.Option(help="enter: start a journey for each line; by default the fastest gear")
    ] = None,
    accept: Annotated[bool, flag("--accept", "start even if more than 1 % of the lines are invalid")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="do not ask")] = False,
    operator: OperatorOption = None,
    form: FormatOption = "text",
) -> None:
    """Execute a scenario for each contact of a file, at a limited rate.

    The messages of a scenario with one message and no wait are sent directly, which is fast (gear blast). Other
    scenarios start a journey for each line (gear enter).

    The file is uploaded into the store. A gateway reads it and does the work: any that runs, whatever becomes of this
    command. On a terminal, the command shows the cost once the file was read, and asks. The same command with the same
    file returns the campaign that runs, so it may be repeated. A contact enters once.
    """
    speed = per_second(rate)
    if not speed:
        raise typer.BadParameter("a rate is a number of lines and a unit: write 200/s, 600/m or 1000/h")
    if local and at is None:
        raise typer.BadParameter("--local needs --at, such as --at 2026-11-27T09:00")
    try:
        read = datetime.fromisoformat if local else moment  # a local start is the contact's own time
        begins = None if at is None else read(at)
    except ValueError:
        raise typer.BadParameter(f"'{at}' is no date and time: write such as 2026-11-27T09:00") from None
    asks = not yes and sys.stdin.isatty()
    given: dict[str, Any] = {
        "local_start" if local else "starts_at": begins,
        "rate": speed,
        "encoding": encoding,
        "accept": accept,
        "ask": asks,
        "gear": gear,
        "operator": operator or login(),
    }
    view = session.ask(lambda client: _start(client, scenario, audience, name, given))
    output(view, form, _show, like_api=True)
    if view.state == "failed" or (asks and view.state == "stopped"):
        raise typer.Exit(1)


async def _start(
    client: ScenarioClient, scenario: str, audience: str, name: str | None, given: dict[str, Any]
) -> CampaignView:
    from service.campaigns.views import CampaignRequest

    if scenario.endswith((".yaml", ".yml")):
        published = await client.publish(Path(scenario), given["operator"])
        scenario = f"{published.scenario}@{published.version}"
    campaigns = client.services.campaigns
    file = await _upload(campaigns.audiences, audience)
    request = CampaignRequest(name=name or scenario.partition("@")[0], scenario=scenario, audience=file.name, **given)
    begun = await campaigns.begin(TERMINAL, request, file)
    view = await _prepared(client, begun)
    if view.survey is None or view.estimate is None or view.over:
        return view
    _show_plan(view, view.survey, view.estimate)
    if view.state != "ready":
        return view
    starts = not request.ask or await asyncio.to_thread(typer.confirm, "Start it?", err=True)
    reason = f"{'confirmed' if starts else 'not confirmed'} on the command line"
    change = "start" if starts else "stop"
    return await campaigns.change(TERMINAL, view.name, change, operator=request.operator, reason=reason)


async def _upload(audiences: AudienceService, source: str) -> StoredAudience:
    """Store a file of this machine, at S3 or at an SFTP server."""
    from activities.webhook.http.transport import Transport
    from runtime.secrets import Secrets
    from runtime.settings import Settings
    from service.audiences import file_parts
    from service.campaigns import remote_files

    settings = Settings()
    if source.startswith(remote_files.SFTP):
        place = remote_files.SftpPlace.read(source, settings)
        return await audiences.add(
            TERMINAL, Path(place.path).name, remote_files.sftp_parts(place, Secrets(settings).snapshot())
        )
    if not source.startswith(remote_files.S3):
        return await audiences.add(TERMINAL, Path(source).name, file_parts(Path(source)))
    at_s3 = remote_files.S3Place.read(source, settings)
    async with Transport() as transport:
        parts = remote_files.s3_parts(at_s3, Secrets(settings).snapshot(), transport)
        return await audiences.add(TERMINAL, source.rpartition("/")[2], parts)


async def _prepared(client: ScenarioClient, view: CampaignView) -> CampaignView:
    said: str | None = None
    with progress("reading", None, lambda: f"{view.total:,} lines") as advance:
        while view.state == "preparing":
            if view.trouble and view.trouble != said:
                said = view.trouble
                note(f"scenario: {said}")
            await asyncio.sleep(_LOOK)
            advance()
            view = await client.services.campaigns.show(TERMINAL, view.name)
    return view


def _show_plan(view: CampaignView, survey: Survey, cost: Estimate) -> None:
    span = format_duration(timedelta(seconds=round(cost.seconds) or 1))
    note(f"scenario: {survey.form}")
    _note_unknown(survey)
    note(
        f"scenario: {survey.entries:,} of {survey.lines:,} lines enter {view.scenario} as the campaign {view.name} "
        f"({survey.invalid:,} invalid, {survey.duplicates:,} duplicates)"
    )
    note(f"scenario: gear {view.gear}, because {view.gear_reason}: {GEARS[view.gear]}")
    note(
        f"scenario: about {span} or longer{_share(view)}; with one message for each line, {cost.actions:,} Temporal "
        f"actions and {cost.bytes / 1e6:,.1f} MB at Temporal"
    )


def _note_unknown(survey: Survey) -> None:
    for column in survey.unknown_columns:
        note(f"scenario: '{column}' is not a standard field of a contact: it is kept unchanged")


def show(campaign: CampaignArgument, watch: WatchOption = False, form: FormatOption = "text") -> None:
    """Show the progress or the result of a campaign.

    With --watch, show it until the campaign ends; with --format json, an object a line.
    """

    async def look(client: ScenarioClient) -> CampaignView:
        while True:
            view = await client.services.campaigns.show(TERMINAL, campaign)
            if view.over or not watch:
                return view
            if form == "json":
                dump(view.model_dump(mode="json"), indent=None)
            else:
                say(f"{view.state}: {view.done:,} of {view.total:,}{_pace(view)}")
            await asyncio.sleep(_WATCHED)

    output(session.ask(look), form, _show, like_api=True)


def _share(view: CampaignView) -> str:
    """Return the share of the destination's rate, if it is less than that of the campaign."""
    share = view.estimate.rate if view.estimate else view.rate
    return f" (its destination takes {share:g} from campaigns)" if share < view.rate else ""


def _pace(view: CampaignView) -> str:
    """Return the speed and the time left of a running campaign, as far as they are known."""
    speed = f", {view.speed:,.1f} lines a second" if view.speed is not None else ""
    if view.seconds_left is None:
        return speed
    return f"{speed}, about {format_duration(timedelta(seconds=round(view.seconds_left) or 1))} left"


def listing(form: FormatOption = "text") -> None:
    """List campaigns, the newest first."""
    from service.view import PageRequest

    def tell(found: Sequence[CampaignView]) -> None:
        rows = Table("campaign", "scenario", "state", "done", "of", "trouble", right=("done", "of"), prose=("trouble",))
        for one in found:
            rows.add(one.name, one.scenario, one.state, f"{one.done:,}", f"{one.total:,}", one.trouble)
        rows.show("there is no campaign")

    page = PageRequest(limit=_LISTED)
    found = session.ask(lambda client: client.services.campaigns.list(TERMINAL, page)).items
    output(found, form, tell, like_api=True)


def results(campaign: CampaignArgument, outcome: OutcomeOption = None, form: ResultFormatOption = "text") -> None:
    """List the lines of a campaign's file with their outcomes."""

    async def tell(client: ScenarioClient) -> None:
        from service.campaigns.views import CampaignLineView

        header = True
        wanted = cast("LineOutcome | None", outcome)
        async for lines in client.services.campaigns.all_lines(TERMINAL, campaign, wanted):
            if form == "csv":
                sys.stdout.write(CampaignLineView.as_csv(lines, header=header))
                header = False
                continue
            for line in lines:
                if form == "json":
                    dump(line.model_dump(mode="json"), indent=None)
                else:
                    say(f"line {line.line}: {line.outcome}{f': {line.reason}' if line.reason else ''}")

    session.ask(tell)


@grouped
def pause(campaign: CampaignArgument, *, record: OperatorOptions, form: FormatOption = "text") -> None:
    """Start no further journey until the campaign is resumed. Journeys that were started continue."""
    _change(campaign, "pause", record, form)


@grouped
def resume(campaign: CampaignArgument, *, record: OperatorOptions, form: FormatOption = "text") -> None:
    """Continue a paused campaign."""
    _change(campaign, "resume", record, form)


@grouped
def retune(
    campaign: CampaignArgument, *, rate: RateOption, record: OperatorOptions, form: FormatOption = "text"
) -> None:
    """Change the rate of a campaign."""
    _change(campaign, "retune", record, form, rate=per_second(rate))


@grouped
def stop(
    campaign: CampaignArgument, *, leave: LeaveOption = False, record: OperatorOptions, form: FormatOption = "text"
) -> None:
    """End a campaign. The remaining lines are skipped. Started journeys continue, unless you add --leave.

    With --leave, the campaign may have ended before.
    """
    _change(campaign, "stop", record, form, leave=leave)


def _change(campaign: str, change: CampaignOperation, record: OperatorOptions, form: Format, **more: Any) -> None:
    more = {"operator": record.who, "reason": record.reason, "rate": None, "leave": False, **more}
    changed = session.ask(lambda client: client.services.campaigns.change(TERMINAL, campaign, change, **more))
    output(changed, form, _show, like_api=True)


def _show(campaign: CampaignView) -> None:
    rate = f"at most {campaign.rate:g} lines a second{_share(campaign)}"
    say(f"{campaign.name}: {campaign.state}, {campaign.scenario}, gear {campaign.gear}, {rate}")
    say(f"{campaign.done:,} of {campaign.total:,} lines are done{_pace(campaign)}")
    if campaign.local_start:
        say(f"it starts at {campaign.local_start.replace('T', ' ')} of each contact's own time")
    for outcome, number in campaign.outcomes.items():
        say(f"  {outcome.replace('_', ' ')}: {number:,}")
    if campaign.paused_by:
        say(f"paused by {campaign.paused_by}: {campaign.pause_reason}")
    if campaign.stopped_by:
        say(f"stopped by {campaign.stopped_by}: {campaign.stop_reason}")
    if campaign.leaving:
        say(f"ending {campaign.leaving.journeys:,} journeys by the operation {campaign.leaving.operation}")
    if campaign.trouble:
        note(f"scenario: {campaign.trouble}")


def check(
    file: Annotated[Path, argument("FILE", "the scenario, a YAML file")],
    audience: Annotated[Path, option("PEOPLE", "JSON lines, CSV, Excel or Parquet; .gz of the first two")],
    encoding: EncodingOption = None,
    name: NameOption = None,
    write: Annotated[Path | None, option("ENTRIES", "write the entries, one a line, to this file")] = None,
    form: FormatOption = "text",
) -> None:
    """Check whether the contacts of a file can enter a scenario. Nothing is started.

    Prints the file's form, the number of lines that can enter, and those that cannot, with their reasons. A table has
    columns such as contact.id, contact.email, custom.vip, order.external_id; a line of JSON is an entry, in which
    scenario and trigger may be missing. With --write, 'scenario enter' takes the written file. The exit status is 1 if
    more than 1 % of the lines are invalid.
    """
    from runtime.settings import Settings
    from scenario.plan.compile import compile_plan
    from scenario.plan.plan import gear_of
    from service.campaigns.audience_file import open_audience
    from service.campaigns.survey import Surveyor

    draft = draft_of(file, None, form)
    gear = gear_of(compile_plan(draft.scenario))
    campaign = name or draft.scenario.scenario
    surveyor = Surveyor(draft.scenario, None, campaign, Settings().platform)
    with ExitStack() as stack:
        people = stack.enter_context(open_audience(audience, encoding))
        written = stack.enter_context(writing(write)) if write else None
        advance = stack.enter_context(progress("reading", None, lambda: f"{surveyor.lines:,} lines"))
        for found in surveyor.entries(people):
            advance()
            if written:
                written.write(json.dumps(found.entry, ensure_ascii=False) + "\n")
    survey = surveyor.result(people)
    if form == "json":
        dump({**survey.model_dump(mode="json"), "gear": gear.name, "gear_reason": gear.reason})
    else:
        say(f"{audience}: {survey.form}")
        if survey.columns:
            say(f"columns: {', '.join(survey.columns)}")
        _note_unknown(survey)
        say(f"{survey.entries:,} of {survey.lines:,} lines can enter {draft.scenario.scenario}")
        if survey.duplicates:
            say(f"duplicates, which are skipped: {survey.duplicates:,}")
        if survey.invalid:
            say(f"invalid lines: {survey.invalid:,}")
            for line in survey.invalid_lines[:_SHOWN]:
                say(f"  line {line.line}: {line.problem}")
            if survey.invalid > _SHOWN:
                say(f"  … and {survey.invalid - min(_SHOWN, survey.invalid):,} more")
        say(f"SHA-256 {survey.digest}")
        say(f"gear {gear.name}, because {gear.reason}: {GEARS[gear.name]}")
    if not survey.is_acceptable:
        raise typer.Exit(1)
