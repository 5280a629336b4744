"""Commands about campaigns: one scenario for the contacts of a file."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, cast

import typer

from gateway.cli import session
from gateway.cli.options import Format, FormatOption, OperatorOption, OperatorOptions, grouped, login, moment, one_of
from gateway.cli.output import Table, progress
from gateway.service.caller import TERMINAL
from gateway.terminal import dump, note, say
from scenario.time import format_duration, per_second
from scenario.words import LINE_OUTCOMES, LineOutcome

if TYPE_CHECKING:
    from gateway.campaigns.survey import Estimate, Survey
    from gateway.client import ScenarioClient
    from gateway.service.audiences import AudienceService
    from gateway.service.campaign_views import CampaignOperation, CampaignView
    from runtime.store.audiences import StoredAudience
    from scenario.plan.plan import GearName

AudienceOption = Annotated[
    Path, typer.Option(metavar="PEOPLE", help="JSON lines, CSV, Excel or Parquet; .gz of the first two")
]
EncodingOption = Annotated[
    str | None, typer.Option(help="of CSV, such as cp1250; by default UTF-8, else cp1252 (Western Europe)")
]
NameOption = Annotated[
    str | None, typer.Option(help="the campaign, which is the key of its journeys; the scenario's without it")
]
_LISTED: Final = 100
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
PublishedArgument = Annotated[
    str, typer.Argument(metavar="SCENARIO", help="a YAML file, which is published; or a published NAME or NAME@VERSION")
]
RateOption = Annotated[str, typer.Option(help="maximum number of lines: 200/s, 600/m, 1000/h")]
LocalOption = Annotated[
    bool, typer.Option("--local", help="--at is each contact's own local time; contacts whose time is past start first")
]
AcceptOption = Annotated[bool, typer.Option("--accept", help="start even if more than 1 % of the lines are invalid")]
LeaveOption = Annotated[bool, typer.Option("--leave", help="end the journeys that it started, too")]
WatchOption = Annotated[bool, typer.Option("--watch", help="show it every two seconds until it ends")]
CampaignArgument = Annotated[str, typer.Argument(metavar="NAME", help="the campaign's name")]
OutcomeOption = Annotated[
    str | None,
    typer.Option(
        metavar="WORD", parser=one_of(LINE_OUTCOMES), help=f"only lines with this outcome: {', '.join(LINE_OUTCOMES)}"
    ),
]


def start(
    scenario: PublishedArgument,
    audience: Annotated[
        str,
        typer.Option(
            metavar="PEOPLE",
            help="as for check, or a file elsewhere: s3://bucket/people.csv, sftp://user@host/folder/people.csv",
        ),
    ],
    encoding: EncodingOption = None,
    name: NameOption = None,
    rate: RateOption = "100/s",
    at: Annotated[
        str | None, typer.Option(metavar="TIME", help="start at this time; without a zone, in this machine's")
    ] = None,
    local: LocalOption = False,
    gear: Annotated[
        Literal["enter"] | None, typer.Option(help="enter: start a journey for each line; by default the fastest gear")
    ] = None,
    accept: AcceptOption = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="do not ask")] = False,
    operator: OperatorOption = None,
    form: FormatOption = Format.TEXT,
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
    moment_of_start = None if at is None else _start_of(at, local)
    asks = not yes and sys.stdin.isatty()
    given: dict[str, Any] = {
        **({"local_start": moment_of_start} if local else {"starts_at": moment_of_start}),
        "rate": speed,
        "encoding": encoding,
        "accept": accept,
        "ask": asks,
        "gear": gear,
        "operator": operator or login(),
    }
    view = asyncio.run(_start(scenario, audience, name, given))
    _show_campaign(view, form)
    if view.state == "failed" or (asks and view.state == "stopped"):
        raise typer.Exit(1)


def _start_of(text: str, local: bool) -> datetime:
    """Return the time of a start, which for a local one is a contact's own."""
    if not local:
        return moment(text)
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"'{text}' is no date and time: write such as 2026-11-27T09:00") from None


async def _start(scenario: str, audience: str, name: str | None, given: dict[str, Any]) -> CampaignView:
    from gateway.service.campaign_views import CampaignRequest

    async with session.connected() as client:
        if scenario.endswith((".yaml", ".yml")):
            published = await client.publish(Path(scenario), given["operator"])
            scenario = f"{published.scenario}@{published.version}"
        use = client.services
        file = await _upload(use.campaigns.audiences, audience)
        request = CampaignRequest(
            name=name or scenario.partition("@")[0], scenario=scenario, audience=file.name, **given
        )
        view = await use.campaigns.begin(TERMINAL, request, file)
        view = await _prepared(client, view)
        if view.survey is None or view.estimate is None or view.over:
            return view
        _show_plan(view, view.survey, view.estimate)
        if view.state != "ready":
            return view
        starts = not request.ask or await asyncio.to_thread(typer.confirm, "Start it?", err=True)
        return await use.campaigns.change(
            TERMINAL,
            view.name,
            "start" if starts else "stop",
            operator=request.operator,
            reason="confirmed on the command line" if starts else "not confirmed on the command line",
        )


async def _upload(audiences: AudienceService, source: str) -> StoredAudience:
    """Store a file of this machine, at S3 or at an SFTP server."""
    from activities.webhook.http.transport import Transport
    from gateway.campaigns import s3, sftp
    from gateway.service.audiences import file_parts
    from runtime.secrets import Secrets
    from runtime.settings import Settings

    settings = Settings()
    if source.startswith(sftp.SCHEME):
        place = sftp.SftpPlace.read(source, settings)
        return await audiences.add(
            TERMINAL, Path(place.path).name, sftp.sftp_parts(place, Secrets(settings).snapshot())
        )
    if not source.startswith(s3.SCHEME):
        return await audiences.add(TERMINAL, Path(source).name, file_parts(Path(source)))
    at_s3 = s3.S3Place.read(source, settings)
    async with Transport() as transport:
        parts = s3.s3_parts(at_s3, Secrets(settings).snapshot(), transport)
        return await audiences.add(TERMINAL, source.rpartition("/")[2], parts)


async def _prepared(client: ScenarioClient, view: CampaignView) -> CampaignView:
    """Wait until a gateway has read the file."""
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
    for column in survey.unknown_columns:
        note(f"scenario: '{column}' is not a standard field of a contact: it is kept unchanged")
    note(
        f"scenario: {survey.entries:,} of {survey.lines:,} lines enter {view.scenario} as the campaign {view.name} "
        f"({survey.invalid:,} invalid, {survey.duplicates:,} duplicates)"
    )
    note(f"scenario: gear {view.gear}, because {view.gear_reason}: {GEARS[view.gear]}")
    note(
        f"scenario: about {span} or longer{_share(view)}; with one message for each line, {cost.actions:,} Temporal "
        f"actions and {cost.bytes / 1e6:,.1f} MB at Temporal"
    )


def show(campaign: CampaignArgument, watch: WatchOption = False, form: FormatOption = Format.TEXT) -> None:
    """Show the progress or the result of a campaign.

    With --watch, show it until the campaign ends; with --format json, an object a line.
    """
    view = (
        asyncio.run(_watch(campaign, form))
        if watch
        else session.ask(lambda client: client.services.campaigns.show(TERMINAL, campaign))
    )
    _show_campaign(view, form)


async def _watch(campaign: str, form: Format) -> CampaignView:
    async with session.connected() as client:
        while True:
            view = await client.services.campaigns.show(TERMINAL, campaign)
            if view.over:
                return view
            if form is Format.JSON:
                dump(view.model_dump(mode="json"), indent=None)
            else:
                say(f"{view.state}: {view.done:,} of {view.total:,}{_pace(view)}")
            await asyncio.sleep(_WATCHED)


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


def listing(form: FormatOption = Format.TEXT) -> None:
    """List campaigns, the newest first."""
    from gateway.service.view import PageRequest

    page = PageRequest(limit=_LISTED)
    found = session.ask(lambda client: client.services.campaigns.list(TERMINAL, page)).items
    if form is Format.JSON:
        dump([one.model_dump(mode="json") for one in found])
        return
    rows = Table("campaign", "scenario", "state", "done", "of", "trouble", right=("done", "of"), prose=("trouble",))
    for one in found:
        rows.add(one.name, one.scenario, one.state, f"{one.done:,}", f"{one.total:,}", one.trouble)
    rows.show("there is no campaign")


def results(campaign: CampaignArgument, outcome: OutcomeOption = None, form: ResultFormatOption = "text") -> None:
    """List the lines of a campaign's file with their outcomes."""
    asyncio.run(_results(campaign, cast("LineOutcome | None", outcome), form))


async def _results(campaign: str, outcome: LineOutcome | None, form: str) -> None:
    from gateway.service.campaign_views import CampaignLineView

    first = True
    async with session.connected() as client:
        async for lines in client.services.campaigns.all_lines(TERMINAL, campaign, outcome):
            if form == "csv":
                sys.stdout.write(CampaignLineView.as_csv(lines, header=first))
                first = False
                continue
            for line in lines:
                if form == "json":
                    dump(line.model_dump(mode="json"), indent=None)
                else:
                    say(f"line {line.line}: {line.outcome}{f': {line.reason}' if line.reason else ''}")


@grouped
def pause(campaign: CampaignArgument, *, record: OperatorOptions, form: FormatOption = Format.TEXT) -> None:
    """Start no further journey until the campaign is resumed. Journeys that were started continue."""
    _change(campaign, "pause", record, form)


@grouped
def resume(campaign: CampaignArgument, *, record: OperatorOptions, form: FormatOption = Format.TEXT) -> None:
    """Continue a paused campaign."""
    _change(campaign, "resume", record, form)


@grouped
def retune(
    campaign: CampaignArgument, *, rate: RateOption, record: OperatorOptions, form: FormatOption = Format.TEXT
) -> None:
    """Change the rate of a campaign."""
    _change(campaign, "retune", record, form, per_second(rate))


@grouped
def stop(
    campaign: CampaignArgument, *, leave: LeaveOption = False, record: OperatorOptions, form: FormatOption = Format.TEXT
) -> None:
    """End a campaign. The remaining lines are skipped. Started journeys continue, unless you add --leave.

    With --leave, the campaign may have ended before.
    """
    _change(campaign, "stop", record, form, leave=leave)


def _change(
    campaign: str,
    change: CampaignOperation,
    record: OperatorOptions,
    form: Format,
    rate: float | None = None,
    *,
    leave: bool = False,
) -> None:
    who, why = record.who, record.reason
    changed = session.ask(
        lambda client: client.services.campaigns.change(
            TERMINAL, campaign, change, operator=who, reason=why, rate=rate, leave=leave
        )
    )
    _show_campaign(changed, form)


def _show_campaign(campaign: CampaignView, form: Format) -> None:
    if form is Format.JSON:
        dump(campaign.model_dump(mode="json"))
        return
    rate = f"at most {campaign.rate:g} lines a second{_share(campaign)}"
    say(f"{campaign.name}: {campaign.state}, {campaign.scenario}, gear {campaign.gear}, {rate}")
    say(f"{campaign.done:,} of {campaign.total:,} lines are done{_pace(campaign)}")
    if campaign.local_start:
        say(f"it starts at {campaign.local_start.replace('T', ' ')} of each contact's own time")
    for outcome, number in campaign.outcomes.items():
        say(f"  {outcome.replace('_', ' ')}: {number:,}")
    for who, what, why in (
        (campaign.paused_by, "paused", campaign.pause_reason),
        (campaign.stopped_by, "stopped", campaign.stop_reason),
    ):
        if who:
            say(f"{what} by {who}: {why}")
    if campaign.leaving:
        say(f"ending {campaign.leaving.journeys:,} journeys by the operation {campaign.leaving.operation}")
    if campaign.trouble:
        note(f"scenario: {campaign.trouble}")
