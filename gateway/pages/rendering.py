"""Templates, URLs, static files and shown texts of pages. Templates escape all values."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from authoring.map.map import STYLE
from scenario.time import format_duration
from service.journeys.view import AttemptView
from service.why.story import clock

MOST: Final = 100_000  # maximum characters of a text that are shown
_MASK: Final = re.compile(r"(~~\w+~~)")


def masked(text: str) -> list[tuple[str, bool]]:
    """Split a text into pieces, each with True if it is the name of a secret, shown instead of its value."""
    return [(piece, number % 2 == 1) for number, piece in enumerate(_MASK.split(text[:MOST])) if piece]


def cut(text: str) -> int:
    return max(0, len(text) - MOST)


NAVIGATION: Final = (  # the links in the header
    ("/", "Overview"),
    ("/scenarios", "Scenarios"),
    ("/journeys", "Journeys"),
    ("/held", "Held"),
    ("/operations", "Operations"),
    ("/campaigns", "Campaigns"),
    ("/deliveries", "Deliveries"),
    ("/destinations", "Destinations"),
    ("/preview", "Preview"),
)
FOR_ALL_SCENARIOS: Final = ("/destinations",)  # those that keys for some scenarios cannot open
_ROW: Final = re.compile(r"<tr\b.*?</tr>", re.DOTALL)
_CELL: Final = re.compile(r"<t[dh]\b")
_DOTS: Final = frozenset({".", ".."})
_KINDS: Final = {  # the static files and their media types
    "pages.css": "text/css; charset=utf-8",
    "map.css": "text/css; charset=utf-8",
    "htmx.min.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
_STATIC: Final = Path(__file__).with_name("static")
_DAY: Final = 86_400.0
_UNITS: Final = ((3600, "h"), (60, "min"), (1, "s"))
_TONES: Final = {  # The colours of states and outcomes; others are grey. The word is always shown beside the colour.
    "blue": "running, waiting, entering, filling, sending, pending, now, let in, surveying, storing, scheduled, behind",
    "green": "finished, synced, delivered, batched, completed, goal, up, sent, accepted, entered, open",
    "amber": "paused, retry, retrying, refused, closed, leaving, ignored, pause, warning, stopped, no answer, "
    "unanswered, failing",
    "red": "held, failed, lost, terminated, timed_out, unknown, down, left alone, error",
}
_PLAIN: Final = re.compile(  # the beginning of a message whose first word is no id: an id is followed by a verb
    "(the|a|an|it|its|this|that|these|there|no|nothing|all|each|every|some|at|if|to|what|which|while|too) "
    "|[a-z]+ (a|an|the|this|that|these|what|one|your) "
)
# C0 but tab and line ends, DEL, C1, and format characters. Joiners are parts of emoji, but not beside ASCII.
_UNSEEN: Final = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff"
    "\U000e0000-\U000e007f]|(?<=[\x00-\x7f])[\u200c\u200d]|[\u200c\u200d](?=[\x00-\x7f])"
)
_TAG_OR_UNSEEN: Final = re.compile(rf"(?P<kept><textarea.*?</textarea>|<[^>]*>)|(?:{_UNSEEN.pattern})", re.DOTALL)
_LABELS: Final = {  # what pages call stored words that are not plain
    "surveying": "finding journeys",
    "left alone": "paused by breaker",
    "leave": "end",
    "retune": "change retries",
}
_TONE: Final = {word: tone for tone, words in _TONES.items() for word in words.split(", ")}


def render(template: str, *, status: int = 200, headers: dict[str, str] | None = None, **context: Any) -> HTMLResponse:
    """Render a template. ``page`` in its context is the requested `Page`, or None before signing in."""
    made = environment().get_template(template).render({"page": None, **context})
    return HTMLResponse(with_visible_characters(made), status, headers)


def with_visible_characters(html: str) -> str:
    """Name characters that a screen does not show, or obeys, so that no id looks like another one: ``<U+202E>``.

    Attributes and text areas keep them, because links and forms send them.
    """
    if _UNSEEN.search(html) is None:
        return html
    return _TAG_OR_UNSEEN.sub(lambda found: found["kept"] or escape(_named(found)), html)


def as_shown(text: str) -> str:
    """Return a text as people see it on a page."""
    return _UNSEEN.sub(_named, text)


def _named(character: re.Match[str]) -> str:
    return f"<U+{ord(character[0]):04X}>"


@cache
def environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    urls = (asset, link, to_contact, to_delivery, to_destination, to_journey, to_scenario)
    words = (after, attempt_error, cut, label, labelled, local_time, masked, moment, number, operation, relative)
    functions: dict[str, Any] = {"navigation": NAVIGATION, "for_all_scenarios": FOR_ALL_SCENARIOS}
    functions |= {one.__name__: one for one in urls}
    named: dict[str, Any] = {"clock": clock_of, "day": day_of, "duration": format_duration, "time": time_of}
    named |= {"tone": tone_of, **{one.__name__: one for one in (*words, sentence)}}
    made.globals.update(functions)
    made.filters.update(named)
    return made


def compile_largest() -> None:
    """Compile the parts of all pages and the largest ones, for which the first visitor would wait."""
    for name in ("base.html", "macros.html", "overview.html", "scenario.html", "scenario_operations.html"):
        environment().get_template(name)


def moment(value: datetime | str) -> datetime:
    """Convert a moment of a report or row to UTC."""
    return (datetime.fromisoformat(value) if isinstance(value, str) else value).astimezone(UTC)


def clock_of(value: datetime | str, zone: tzinfo | str = UTC, *, seconds: bool = False) -> str:
    """Format a moment in a time zone: ``Tue 2026-03-03 21:04``, or with seconds, ``Tue 2026-03-03 21:04:09``."""
    at = moment(value)
    return clock(at, ZoneInfo(zone) if isinstance(zone, str) else zone) + (f":{at:%S}" if seconds else "")


def local_time(text: str) -> str:
    """Format a moment of a preview in the contact's time zone: ``Tue 2026-03-03 10:00``."""
    at = datetime.fromisoformat(text)
    assert at.tzinfo is not None  # noqa: S101 - reports have offsets
    return clock(at, at.tzinfo)


def day_of(value: datetime | str, zone: tzinfo | str = UTC) -> str:
    return clock_of(value, zone).rpartition(" ")[0]


def time_of(value: datetime | str, zone: tzinfo | str = UTC, *, seconds: bool = False) -> str:
    return clock_of(value, zone, seconds=seconds).rpartition(" ")[2]


def relative(value: datetime | str, now: datetime | None = None) -> str:
    """Return the distance of a moment from now, if it is less than a day: ``in 12 s``, ``3 min ago``, or "".

    Beyond a minute it is counted in minutes of the clock, so that all distances of a page change together, and a part
    that is as before need not be sent each time.
    """
    at, now = moment(value), now or datetime.now(UTC)
    ahead = (at - now).total_seconds()
    if abs(ahead) >= _DAY:
        return ""
    if abs(ahead) < 1:
        return "now"
    minutes = (at.replace(second=0, microsecond=0) - now.replace(second=0, microsecond=0)).total_seconds()
    distance = abs(ahead if abs(ahead) < 60 else minutes)
    size, unit = next((size, unit) for size, unit in _UNITS if distance >= size)
    words = f"{int(distance // size)} {unit}"
    return f"in {words}" if ahead > 0 else f"{words} ago"


def after(words: str, first: str) -> str:
    """Return words without the ones that are shown before them: ``admitted by order`` without ``admitted``."""
    rest = words.removeprefix(first)
    return rest.lstrip(":, ") if rest == "" or (rest != words and not rest[0].isalnum()) else words


def attempt_error(attempt: AttemptView) -> str:
    """Return the error of an attempt, or "" if its status says the same."""
    return "" if attempt.error == f"http_{attempt.status}" else attempt.error or ""


def sentence(words: str) -> str:
    """Return a message as a sentence. Its first letter becomes a capital unless the first word may be an id."""
    begun = words[:1].upper() + words[1:] if _PLAIN.match(words) else words
    return begun if begun.endswith((".", "?", "!")) else f"{begun}."


def tone_of(word: str) -> str:
    return _TONE.get(word, "grey")


def label(word: str) -> str:
    """Return a stored word as pages show it."""
    return _LABELS.get(word, word).replace("_", " ")


def labelled(rows: Markup, headings: Sequence[str]) -> Markup:
    """Return the rows of a table with the heading of each cell as an attribute, for small screens."""

    def label_cells(row: re.Match[str]) -> str:
        names = iter(headings)
        return _CELL.sub(lambda cell: f'{cell[0]} data-label="{escape(next(names, "").removeprefix("#"))}"', row[0])

    return Markup(_ROW.sub(label_cells, rows))  # noqa: S704 - escaped before, and here


def operation(word: str) -> str:
    """Return an operation as the title of its page or row: ``Change retries``."""
    return label(word).capitalize()


def number(value: int) -> str:
    """Format a number for people: ``20,000``."""
    return f"{value:,}"


def link(path: str, **query: object) -> str:
    """Return a URL of this site: a quoted path, perhaps with a query, and parameters, without None and empty ones."""
    given = urlencode({name: value for name, value in query.items() if value not in (None, "")})
    return f"{path}{'&' if '?' in path else '?'}{given}" if given else path


def to_scenario(name: str, **query: object) -> str:
    """Return the URL of a scenario's page, optionally of a version: ``post-purchase@3``."""
    bare, _, version = name.partition("@")
    return link(f"/scenarios/{quote(bare, safe='')}", version=query.pop("version", version), **query)


def to_destination(name: str) -> str:
    return f"/destinations/{quote(name, safe='')}"


def to_contact(contact: str) -> str:
    """Return the URL of a contact's page. Browsers remove a path's segments ``.`` and ``..``."""
    return link("/contacts", id=contact) if contact in _DOTS else f"/contacts/{quote(contact, safe='')}"


def to_delivery(delivery: str) -> str:
    return f"/deliveries/{quote(delivery, safe='')}"


def to_journey(journey: str) -> str:
    """Return the URL of a journey's page. Its id contains slashes, which are quoted if a segment is dots only."""
    return f"/journeys/{quote(journey, safe='' if _DOTS.intersection(journey.split('/')) else '/')}"


def is_here(address: str) -> bool:
    """Return True if a given URL leads to a page of this site in every browser."""
    return address.startswith("/") and not address.startswith(("//", "/\\")) and address.isprintable()


@cache
def _read(name: str) -> tuple[bytes, str]:
    """Return a file's content and its version, which changes with the content."""
    content = STYLE.encode() if name == "map.css" else (_STATIC / name).read_bytes()
    return content, hashlib.sha256(content).hexdigest()[:12]


def asset(name: str) -> str:
    return f"/static/{_read(name)[1]}/{name}"


async def _serve(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in _KINDS:
        raise HTTPException(404)
    content, version = _read(name)
    # During an upgrade, another release may request another version of the file: the browser must not keep ours for it.
    is_current = request.path_params["version"] == version
    kept = "public, max-age=31536000, immutable" if is_current else "no-cache"
    return Response(content, headers={"cache-control": kept}, media_type=_KINDS[name])


ROUTES: Final = (Route("/static/{version}/{name}", _serve, methods=["GET"]),)
