"""Commands that run servers, alone or with everything on this machine: serve, codec, demo, dev, receiver."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cli.options import Format, FormatOption, argument, flag, length, option
from cli.output import Table
from cli.session import quieten
from cli.terminal import console, dump, local, note, say

if TYPE_CHECKING:
    from runtime.local.receiver import Received


_NEWEST: Final = 1000  # the number of latest requests that `receiver` shows
StateOption = Annotated[Path, option("FOLDER", "where the servers' state, the store and the inbox are kept")]


def demo(stay: Annotated[bool, flag("--stay", "keep everything running afterwards, to look around")] = False) -> None:
    """Run the examples from entry to end on a local server, and show the messages.

    With --stay, everything runs until Ctrl-C. The exit status is that of the demonstration.
    """
    from cli.local.demo import demo as run

    raise typer.Exit(_run(run(stay=stay, console=console())))


def dev(
    port: Annotated[int, typer.Option(help="of the Temporal server")] = 7233,
    ui_port: Annotated[int, typer.Option(help="of Temporal's UI")] = 8233,
    gateway_port: Annotated[int, typer.Option(help="of the API, the pages and callbacks")] = 8080,
    state: StateOption = Path(".scenario"),
    send: Annotated[
        bool, flag("--send", "send for real, as SCENARIO_DESTINATIONS, SCENARIO_SMTP, SCENARIO_SMS … say")
    ] = False,
    resume: Annotated[bool, flag("--resume", "with --send: also let running journeys send")] = False,
    skip_time: Annotated[bool, flag("--skip-time", "do not wait where a step waits long for a time")] = False,
) -> None:
    """Run the local server, API, pages, inbox, receiver and a worker until Ctrl-C, and print each message.

    Nothing is sent to real recipients: e-mails and SMS end in the inbox, webhooks at the receiver, and secrets are
    placeholders. 'scenario receiver' makes webhooks fail. With --send, messages reach real recipients, with the
    configured settings; steps that need a missing setting are held. Other commands in this folder find the servers
    without configuration, or with the settings printed here. --skip-time does not skip waits for events or pauses
    between attempts.
    """
    if resume and not send:
        raise typer.BadParameter("--resume goes with --send")
    from cli.local.dev import dev as run

    given: dict[str, Any] = {"state": state, "port": port, "ui_port": ui_port, "gateway_port": gateway_port}
    try:
        status = _run(run(**given, send=send, resume=resume, skip_time=skip_time, console=console()))
    except KeyboardInterrupt:  # this is how it is meant to end
        status = 0
    raise typer.Exit(status)


def _run(work: Coroutine[Any, Any, int]) -> int:
    quieten()
    return asyncio.run(work)


def receiver(
    place: Annotated[
        str | None,
        argument("[PLACE]", "a destination's name, a host, or a part of a path: wax, hooks.example.com, .../wax/9f31"),
    ] = None,
    answer: Annotated[int | None, option("STATUS", "answer with this status", min=200, max=599)] = None,
    times: Annotated[
        int | None, option("N", "only to the first N attempts of each message, then with 200", min=1, max=1000)
    ] = None,
    delay: Annotated[float | None, option("DURATION", "answer after this time, such as 20s", parser=length)] = None,
    refuse: Annotated[
        bool, flag("--refuse", "refuse connections, as if nothing listened; for a destination or a host")
    ] = False,
    reset: Annotated[bool, flag("--reset", "remove the rules: answer with 200 immediately")] = False,
    state: StateOption = Path(".scenario"),
    form: FormatOption = "text",
) -> None:
    """Tell the receiver of 'scenario dev' how to answer, or show its requests and its rules.

    A rule applies from the next request until it is replaced, also after a restart of 'scenario dev'. If several places
    match a request, the longest wins. --reset without a place removes all rules.
    """
    from runtime.local.receiver import ReceiverAnswer, set_answer

    if (answer is not None or delay is not None) + refuse + reset > 1 or (times is not None and answer is None):
        raise typer.BadParameter("give --answer with --times and --delay, or --refuse, or --reset")
    place = None if place is None else place.removeprefix("https://").removeprefix("http://").strip("/")
    wanted = None
    if answer is not None or delay is not None or refuse:
        if not place:
            raise typer.BadParameter("say for which place, such as wax or hooks.example.com")
        status = 503 if refuse else answer or 200  # where a request has come by already
        first = (status,) * (times or 0)
        wanted = ReceiverAnswer(first, 200 if first else status, delay or 0.0, refuse)
    if wanted or reset:
        set_answer(state, place, wanted)
    _show(state, place, form, quietly=bool(wanted or reset))


def _show(state: Path, place: str | None, form: Format, *, quietly: bool) -> None:
    from runtime.local.receiver import covers, newest, read_answers

    answers = read_answers(state)
    came: dict[str, list[Received]] = {}
    for request in newest(state / "received", _NEWEST):
        came.setdefault(request.place, []).append(request)
    if place and not any(covers(place, request.path) for requests in came.values() for request in requests):
        places = f": {', '.join(sorted(came))}" if came else ""
        note(f"nothing was sent to '{place}' yet{places}")
    if form == "json":
        listed = [
            {"place": name, "requests": len(requests), "last": requests[0].at.isoformat(), "status": requests[0].status}
            for name, requests in sorted(came.items())
        ]
        dump({"told": answers, "received": listed})
        return
    for name, answer in answers.items():
        if not quietly or place in (None, name):
            say(f"{name}: {answer.words}")
    if not answers or (quietly and place not in (None, *answers)):
        say(f"{place or 'everything'}: 200")
    if quietly or not came:
        return
    made = Table("place", "requests", "last", "answered", right=("requests",))
    for name, requests in sorted(came.items()):
        latest = requests[0]
        made.add(name, len(requests), local(latest.at), latest.status)
    made.show()


HostOption = Annotated[str, typer.Option(help="the address to listen on; 0.0.0.0 for all")]
PortOption = Annotated[int, typer.Option(help="the port to listen on; 0 takes a free one")]


def serve(
    host: HostOption = "127.0.0.1",
    port: PortOption = 8080,
    api: Annotated[bool, flag("--api", "the HTTP API for engines")] = False,
    pages: Annotated[bool, flag("--pages", "the pages for people")] = False,
    callbacks: Annotated[bool, flag("--callbacks", "the public part; the default")] = False,
    codec: Annotated[bool, flag("--codec", "the codec server for Temporal's UI and command line")] = False,
    metrics_port: Annotated[
        int | None, typer.Option(help="serve metrics for Prometheus on this port, at /metrics")
    ] = None,
    metrics_host: Annotated[str, typer.Option(help="the address that metrics listen on")] = "127.0.0.1",
    change_dates: Annotated[
        bool, flag("--change-dates", "accept another SCENARIO_PLATFORM_DATES for all processes")
    ] = False,
) -> None:
    """Serve the given HTTP services on one port until stopped. The default is --callbacks.

    --api and --pages need the workers' TEMPORAL_* and SCENARIO_* settings, and a key: 'scenario keys create'.

    --codec decrypts data for Temporal's UI and command line, for users of a key with the scope decode. It needs
    SCENARIO_ENCRYPTION_KEYS and SCENARIO_STORE, and SCENARIO_CODEC_ORIGINS for the UI.

    --callbacks receives callbacks for journeys, unsubscriptions, bounces and STOP. It needs TEMPORAL_*,
    SCENARIO_CALLBACK_URL and SCENARIO_CALLBACK_KEY as the workers have them; for unsubscriptions also
    SCENARIO_SUPPRESSION_KEY and SCENARIO_STORE; for bounces SCENARIO_BOUNCE_ADDRESS and SCENARIO_INBOUND_KEY; for
    answers to SMS SCENARIO_SMS; for events from providers SCENARIO_EVENTS_…; and SCENARIO_DESTINATIONS if suppressions
    are sent to the platform. Put a proxy with TLS in front of it.
    """
    from gateway.serving import Parts
    from gateway.serving import serve as run
    from runtime.settings import Settings
    from runtime.telemetry import logs
    from runtime.telemetry.exposition import Exposition
    from runtime.telemetry.telemetry import Telemetry

    settings = Settings()
    logs.configure()
    wanted = Parts(api=api, pages=pages, callbacks=callbacks or not (api or pages or codec), codec=codec)
    telemetry = Telemetry.start(exposition=None if metrics_port is None else Exposition(metrics_port, metrics_host))
    try:
        asyncio.run(run(settings, host, port, wanted, telemetry, change_dates=change_dates))
    except asyncio.CancelledError:  # asked to stop before it was ready
        return
    finally:
        telemetry.shutdown()


def codec(host: HostOption = "127.0.0.1", port: PortOption = 8081) -> None:
    """Decrypt data for Temporal's UI and command line until stopped, as 'scenario serve --codec' does.

    The UI's codec endpoint is http://HOST:PORT/codec. For the command line, use the same with --codec-endpoint, and
    --codec-auth 'Bearer sr_…' with a key that has the scope decode.
    """
    serve(host, port, codec=True)
