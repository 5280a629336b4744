"""The command that tells the receiver of `scenario dev` how to answer, and shows its requests."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.layout import Table
from gateway.cli.local import StateOption
from gateway.cli.options import Format, FormatOption, length
from gateway.terminal import console, dump, local, note, say

if TYPE_CHECKING:
    from runtime.local.receiver import Received

_NEWEST = 1000
"""The number of latest requests that are shown."""

PlaceArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[PLACE]",
        help="a destination's name, a host, or a part of a path: wax, hooks.example.com, .../wax/9f31",
    ),
]
AnswerOption = Annotated[
    int | None, typer.Option("--answer", metavar="STATUS", min=200, max=599, help="answer with this status")
]
TimesOption = Annotated[
    int | None,
    typer.Option(
        "--times", metavar="N", min=1, max=1000, help="only to the first N attempts of each message, then with 200"
    ),
]
DelayOption = Annotated[
    float | None, typer.Option("--delay", metavar="DURATION", parser=length, help="answer after this time, such as 20s")
]
RefuseOption = Annotated[
    bool, typer.Option("--refuse", help="refuse connections, as if nothing listened; for a destination or a host")
]
ResetOption = Annotated[bool, typer.Option("--reset", help="remove the rules: answer with 200 immediately")]


def receiver(
    place: PlaceArgument = None,
    answer: AnswerOption = None,
    times: TimesOption = None,
    delay: DelayOption = None,
    refuse: RefuseOption = False,
    reset: ResetOption = False,
    state: StateOption = Path(".scenario"),
    form: FormatOption = Format.TEXT,
) -> None:
    """Tell the receiver of 'scenario dev' how to answer, or show its requests and its rules.

    A rule applies from the next request until it is replaced, also after a restart of 'scenario dev'. If several places
    match a request, the longest wins. --reset without a place removes all rules.
    """
    from runtime.local.answers import ReceiverAnswer, set_answer

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
    """Print requests and rules, or only the rules after a change."""
    from runtime.local.answers import covers, read_answers
    from runtime.local.receiver import newest

    answers = read_answers(state)
    came: dict[str, list[Received]] = {}
    for request in newest(state / "received", _NEWEST):
        came.setdefault(request.place, []).append(request)
    if place and not any(covers(place, request.path) for requests in came.values() for request in requests):
        places = f": {', '.join(sorted(came))}" if came else ""
        note(f"nothing was sent to '{place}' yet{places}")
    if form is Format.JSON:
        listed = [
            {"place": name, "requests": len(requests), "last": requests[0].at.isoformat(), "status": requests[0].status}
            for name, requests in sorted(came.items())
        ]
        dump({"told": {name: asdict(answer) for name, answer in answers.items()}, "received": listed})
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
    made.show(console())
