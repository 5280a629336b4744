"""A preview on a terminal: every step with its local time, followed by its message."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any, Final

from rich.console import Console
from rich.segment import Segment, Segments
from rich.text import Text

from cli.terminal import text
from scenario.sms_parts import SmsLength
from scenario.time import WEEKDAYS

_MASK: Final = re.compile(r"~~\w+~~")
_INDENT: Final = "    "
_OUTCOMES: Final = {
    "sent": "green",
    "batched": "green",
    "waited": "cyan",
    "event": "green",
    "timeout": "cyan",
    "skipped": "yellow",
    "past": "yellow",
    "exited": "blue",
    "held": "bold red",
    "failed": "bold red",
}
_SHOWN: Final = {
    "waited": "",
    "past": "",
    "round": "",
    "until": "",
    "ended": "",
    "then": "→ then",
    "else": "→ else",
    "event": "→ then",
    "timeout": "→ else",
}
_FIELDS: Final = ("from", "reply_to", "to", "subject")
_PARTS: Final = ("text", "html")


def lay_out(console: Console, report: Mapping[str, Any], *, source: bool, pretty: bool) -> None:
    """Print a preview; `source` and `pretty` as in `content`."""
    put = partial(put_line, console)
    for line in _header(report):
        put(line)
    shown: tuple[tuple[str, str], ...] = ()
    is_marked = False  # True if the heading says that its steps are not taken
    for step in report["steps"]:
        branch = tuple((fork["of"], fork["way"]) for fork in step["branch"])
        if branch != shown:
            is_marked = bool(branch) and not step["taken"]
            if branch and branch != shown[: len(branch)]:
                fork, way = branch[-1]
                aside = "" if step["taken"] else "  (not taken)"
                heading = f"{_INDENT * (len(branch) - 1)}  {way} of {fork}:{aside}"
                put(text(heading, "" if step["taken"] else "dim"))
        shown = branch
        message = content(step, source=source, pretty=pretty)
        for line in _step(step, message, aside=not step["taken"] and not is_marked):
            put(line)


def put_line(console: Console, line: Text) -> None:
    """Print a line piece by piece, so that it keeps its exact length and its tabs."""
    console.print(Segments([*Text.assemble(line).render(console), Segment.line()]), soft_wrap=True)


def _header(report: Mapping[str, Any]) -> Iterator[Text]:
    yield text(report["journey"], "bold")
    yield text(f"enters {when(report['entered_at'])}; times are those of {report['timezone']}")
    if report["refused"]:
        yield text(f"would be refused: {report['refused']}", "yellow")
    if kept := report["withheld"]:
        yield text(f"{kept['outcome']}: this contact would get nothing: {kept['reason']}", "yellow")
    for note in report["notes"]:
        yield text(f"note: {note}", "yellow")
    for rule in report["exit"]:
        condition = f" if {rule['if']}" if rule["if"] else ""
        met = ": a given event matches" if rule["given"] else ""
        yield text(f"exits immediately on {rule['event']}{condition}{met}", "yellow" if met else "dim")
    yield Text()


def _step(step: Mapping[str, Any], message: Iterator[Text], *, aside: bool) -> Iterator[Text]:
    taken, error, note = step["taken"], step.get("error"), step.get("note", "")
    indent = _INDENT * len(step["branch"])
    style = "" if taken else "dim"
    is_way = note.startswith(step["outcome"])  # the number by which it was drawn goes with it
    taken_way = step.get("way") or (note if is_way else "")
    outcome = f"→ {taken_way}" if taken_way else _SHOWN.get(step["outcome"], step["outcome"])
    parts = [Text(indent), text(f"{'▶' if taken else '·'} {step['id']}", "bold" if taken else "dim")]
    parts.append(text(f"  {step['what']}", style))
    if outcome:
        parts.append(text(f"  {outcome}", _OUTCOMES.get(step["outcome"], "cyan") if taken else "dim"))
    parts.append(text(_times(step), style))
    if error and not step["reachable"]:
        parts.append(text(", if the contact came here", "dim"))
    if (reason := step.get("reason") or ("" if is_way else note)) and not error:
        parts.append(text(f": {reason}", "dim"))
    if aside:
        parts.append(text("  (not taken)", "dim"))
    yield Text.assemble(*parts)
    if error:
        place = f"{error['file']}:{error['line']}:{error['column']}"
        unread = f" (not {json.dumps(error['unread'], ensure_ascii=False)})" if "unread" in error else ""
        yield text(f"{indent}  ✗ {place}: {error['message']}{unread}", "bold red" if step["reachable"] else "red")
    bar = text(f"{indent}  │ ", "dim")
    for shown in message:
        yield Text.assemble(bar, shown if taken else text(shown.plain, "dim"))
    for empty in step.get("empty", ()):
        place = f"{empty['file']}:{empty['line']}:{empty['column']}"
        yield text(f"{indent}  ○ {place}: {{{{ {empty['output']} }}}} printed nothing", "yellow" if taken else "dim")


def _times(step: Mapping[str, Any]) -> str:
    if step["outcome"] in ("event", "timeout"):
        return f", {when(step['waits_until' if step['outcome'] == 'timeout' else 'at'])}"
    return f" → {when(step['waits_until'])}" if "waits_until" in step else f" {when(step['at'])}"


def content(step: Mapping[str, Any], *, source: bool = False, pretty: bool = False) -> Iterator[Text]:
    """Return the lines of a step's message, if it has one.

    With `source`, e-mails are shown as source instead of their parts; with `pretty`, JSON bodies indented.
    """
    if request := step.get("request"):
        yield from _request(request, pretty=pretty)
    elif (message := step.get("message")) and source and "source" in message:
        yield from _lines(message["source"])
    elif message:
        yield from (_field(name.replace("_", "-"), message[name]) for name in _FIELDS if name in message)
        for part in _PARTS:
            if part in message:
                if "source" in message:  # it may have both
                    yield text(f"─ {part}", "dim")
                yield from _lines(message[part])
        if "parts" in message:
            length = SmsLength(message["characters"], message["alphabet"], message["parts"])
            yield text(f"─ {length}", "dim")


def _request(request: Mapping[str, Any], *, pretty: bool) -> Iterator[Text]:
    yield Text.assemble(text(f"{request['method']} ", "bold"), _masked(request["url"]))
    for name, value in request["headers"].items():
        yield _field(name, value)
    if request["attempt_headers"]:
        yield text(f"and of each attempt: {', '.join(request['attempt_headers'])}", "dim")
    body = request["body"]
    if not body:
        return
    title = f"─ body, {len(body.encode())} bytes"
    if pretty:
        with suppress(ValueError):  # of a form, or plain text
            body = json.dumps(json.loads(body), ensure_ascii=False, indent=2)
            title += ", indented here"
    yield text(title, "dim")
    yield from _lines(body)


def _field(name: str, value: str) -> Text:
    return Text.assemble(text(f"{name}: ", "dim"), _masked(value))


def _lines(content: str) -> Iterator[Text]:
    for line in content.replace("\r\n", "\n").removesuffix("\n").split("\n"):
        yield _masked(line)


def _masked(content: str) -> Text:
    made = text(content)
    made.highlight_regex(_MASK, "magenta")
    return made


def when(moment: str) -> str:
    """Return a moment for people: ``Tue 2026-03-03 10:00`` (with seconds only if they are not zero)."""
    local = datetime.fromisoformat(moment)
    clock = local.strftime("%H:%M:%S") if local.second else local.strftime("%H:%M")
    return f"{WEEKDAYS[local.weekday()].capitalize()} {local.year:04}-{local:%m-%d} {clock}"
