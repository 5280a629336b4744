"""All commands with their names, their groups in the help and their order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final

import typer

from cli import (
    author,
    campaign,
    claim,
    configuration,
    enter,
    operate,
    outgoing,
    preview,
    privacy,
    scenarios,
    show,
    store,
)
from cli.local import commands as local
from cli.options import flag
from cli.terminal import say
from runtime import version
from scenario.extensions import COMMANDS as EXTENSION_COMMANDS
from scenario.extensions import load_extensions

app: Final = typer.Typer(
    name="scenario",
    help="Run marketing scenarios as durable journeys: waits, e-mails, SMS and webhooks.",
    epilog="Connects as TEMPORAL_* and temporal.toml say, by default to localhost:7233; SCENARIO_* set the rest.",
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

_GROUPS: Final = {
    "Try it": {"demo": local.demo, "dev": local.dev, "receiver": local.receiver},
    "Write": {
        "check": author.check,
        "map": author.draw,
        "preview": preview.preview,
        "send": preview.send,
        "sample": author.sample,
        "test": author.cases,
        "schema": author.schema,
        "publish": author.publish,
        **load_extensions(EXTENSION_COMMANDS),
        "destinations": configuration.destinations,
        "policies": configuration.policies,
    },
    "Run": {
        "enter": enter.enter,
        "event": enter.event,
        "change": enter.change,
        "serve": local.serve,
        "codec": local.codec,
    },
    "Look": {
        "overview": show.overview,
        "why": show.why,
        "show": show.show,
        "list": show.listing,
        "deliveries": show.deliveries,
        "stats": scenarios.stats,
        "results": scenarios.results,
        "versions": scenarios.versions,
        "feed": outgoing.feed,
    },
    "Operate": {
        "retry": operate.retry,
        "skip": operate.skip,
        "leave": operate.leave,
        "pause": operate.pause,
        "resume": operate.resume,
        "retune": operate.retune,
        "migrate": scenarios.migrate,
        "close": scenarios.close,
        "open": scenarios.reopen,
        "suppress": privacy.suppress,
        "erase": privacy.erase,
        "erasures": privacy.erasures,
        "prune": store.prune,
    },
}

_SUBCOMMANDS: Final = {  # commands with subcommands: their group in the help, their help, and their subcommands
    "audience": (
        "Operate",
        "Membership lists that scenarios keep in sync at other systems.",
        {"list": outgoing.list_audiences, "show": outgoing.show_audience, "retry": outgoing.retry_audience},
    ),
    "batch": (
        "Watch",
        "Batch calls: one request for many contacts.",
        {"list": outgoing.list_batches, "show": outgoing.show_batch},
    ),
    "campaign": (
        "Run",
        "One scenario for the contacts of a file.",
        {
            "check": campaign.check,
            "start": campaign.start,
            "show": campaign.show,
            "list": campaign.listing,
            "results": campaign.results,
            "pause": campaign.pause,
            "resume": campaign.resume,
            "retune": campaign.retune,
            "stop": campaign.stop,
        },
    ),
    "outgoing": (
        "Operate",
        "Subscriptions to outgoing events: held events, and replays.",
        {
            "check": outgoing.check,
            "list": outgoing.listing,
            "show": outgoing.show,
            "retry": outgoing.retry,
            "skip": outgoing.skip,
            "replay": outgoing.replay,
            "forget": outgoing.forget,
        },
    ),
    "keys": (
        "Run",
        "Make keys of the HTTP API and the pages, list them, revoke them.",
        {"create": store.create_key, "list": store.list_keys, "revoke": store.revoke_key},
    ),
    "encryption": ("Operate", "Change the keys that contacts' keys are wrapped by.", {"rotate": store.rotate}),
    "store": (
        "Operate",
        "Make the store, bring it up to date, and compare it with Temporal.",
        {"upgrade": store.upgrade, "claim": claim.claim, "reconcile": store.reconcile},
    ),
}

COMMANDS: Final = (*(name for group in _GROUPS.values() for name in group), *_SUBCOMMANDS)  # every command's name


def _help(function: Callable[..., None]) -> str:
    """Return a command's help with each paragraph on one line. Typer would keep the line breaks of the source."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in (function.__doc__ or "").split("\n\n"))


for _group, _commands in _GROUPS.items():
    for _name, _function in _commands.items():
        app.command(_name, help=_help(_function), rich_help_panel=_group)(_function)
for _name, (_group, _about, _commands) in _SUBCOMMANDS.items():
    app.add_typer(_made := typer.Typer(help=_about), name=_name, rich_help_panel=_group)
    for _word, _function in _commands.items():
        _made.command(_word, help=_help(_function))(_function)


def _version(wanted: bool) -> None:
    if wanted:
        say(f"scenario {version()}")
        raise typer.Exit


@app.callback()
def options(
    wanted: Annotated[bool, flag("--version", "print the version and exit", callback=_version, is_eager=True)] = False,
) -> None:
    """Run marketing scenarios as durable journeys: waits, e-mails, SMS and webhooks."""
    del wanted  # its callback has done everything
