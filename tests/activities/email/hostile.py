"""E-mails that are made to take long, to need much or to end the process, and what each must end in."""

from __future__ import annotations

from typing import Any, Final

from activities.email.message import Envelope, render
from activities.email.sandbox import TOO_MUCH
from activities.email.settings import Senders
from scenario.errors import TemplateError
from scenario.mail_limits import MAX_NESTING, MAX_PART
from scenario.recipients import Mailbox
from scenario.steps.email import Email
from tests.factories import delivery

STYLE = "<style>p{color:red}</style>"
DEEP = f"the e-mail's html: elements are nested more than {MAX_NESTING} levels deep: is one not closed?"
MUCH = f"the e-mail's html: {TOO_MUCH}"


def repeated(unit: str, size: int = 200_000) -> str:
    return unit * (size // len(unit))


def numbered(unit: str, times: int) -> str:
    return "".join(unit.replace("#", str(number)) for number in range(times))


HTML: Final[dict[str, tuple[str, str | None]]] = {
    # name: what a contact's data put into the HTML by `safe`; the reason that it is refused for (None: it is sent)
    "elements nested": (STYLE + repeated("<div>", 15_000), DEEP),
    "as deep as may be": (STYLE + "<div>" * (MAX_NESTING - 10) + "<p>x", None),
    "forms and buttons nested": (STYLE + repeated("<form><button>", 20_000), None),
    "options nested": (STYLE + "<select>" + repeated("<optgroup><option>", 20_000), None),
    "elements nested in a choice": (STYLE + "<select>" + repeated("<div>", 20_000), DEEP),
    "elements nested in a template": (STYLE + "<template>" + repeated("<div>"), MUCH),
    "drawings nested": (STYLE + repeated("<svg>", 15_000), DEEP),
    "formats that each paragraph begins again": (STYLE + numbered("<p><b a#>", 1_000), MUCH),
    "formats left open around paragraphs": (STYLE + numbered("<b a#>", 200) + repeated("<p>x", 20_000), None),
    "formats closed in another order": (STYLE + repeated("<b><i></b></i>", 50_000), None),
    "links in links": (STYLE + repeated("<a><div>", 15_000), DEEP),
    "text beside a table": (STYLE + "<table>" + repeated("<b>x", 1_200), DEEP),
    "tags not closed, with a style": (STYLE + repeated("<a "), None),
    "values not closed": (STYLE + repeated('<a b="'), None),
    "end tags not closed": (STYLE + repeated("</a "), None),
    "brackets": (STYLE + repeated("<", 90_000), None),
    "comments not closed": (STYLE + repeated("<!--"), None),
    "declarations not closed": (STYLE + repeated("<!DOCTYPE "), None),
    "sections not closed": (STYLE + "<svg>" + repeated("<![CDATA["), None),
    "instructions": (STYLE + repeated("<?a "), None),
    "entities": (STYLE + repeated("&amp"), None),
    "entities of many digits": (STYLE + "&#" + "9" * 200_000 + ";", None),
    "a style of an element": (STYLE + '<p style="' + repeated("a:b;", 30_000) + '">x', None),
    "scripts not closed": (STYLE + repeated("<script><!--<script>"), None),
    "text to the end": (STYLE + "<plaintext>" + repeated("<p>"), None),
    "rules for all": (f"<style>{repeated('*{a:b}', 60_000)}</style>{repeated('<p>', 60_000)}", MUCH),
    "a selector without end": (f"<style>{'div>div ' * 5_000}a{{a:b}}</style>{'<div>' * 200}<a>x</a>", None),
    "selectors in selectors": (f"<style>{':not(' * 9_000}a{')' * 9_000}{{a:b}}</style><a>x</a>", None),
    "brackets in a rule": (f"<style>a{{b:{'(' * 90_000}", None),
    "braces in a rule": (f"<style>{'a{' * 45_000}", None),
    "rules in rules": (f"<style>{'@media print{' * 9_000}", None),
    "comments of rules not closed": (f"<style>{repeated('/*')}</style>", None),
    "strings of rules not closed": ("<style>" + repeated('a{content:"}') + "</style>", None),
    "many styles": (repeated("<style>a{b:c}</style>", 60_000), None),
    "a sheet of elsewhere": ('<style>@import "http://127.0.0.1:9/a.css";</style><link rel=stylesheet href="/a">', None),
    "styles that outgrow the e-mail": (
        f"<style>p{{a:{'b' * 3_000}}}</style>{repeated('<p>', 3_000)}",
        f"the e-mail's html: with its styles inlined it has more than {MAX_PART:,} characters",
    ),
    "blanks that do not break": (STYLE + repeated("&nbsp;<div></div>", 100_000), None),
    "words in pieces": (STYLE + repeated("x<b>y</b>", 60_000), None),
    "half characters": (STYLE + "\ud800" * 100_000, None),
    "nothing": (STYLE + "\x00" * 100_000, None),
}

MAILS: Final[dict[str, tuple[dict[str, Any], str | None]]] = {
    **{f"{name}, in data": ({"html": "{{ html | safe }}"}, reason) for name, (_, reason) in HTML.items()},
    # name: parts of the step, made of the data `long` (240,000 characters); the reason that it is refused for
    "a subject of another script": ({"subject": "{{ long | slice: 0, 8000 }}"}, None),
    "a text of breaks": ({"html": None, "text": "{{ breaks }}{{ breaks }}"}, None),
    "elements nested by an author": ({"html": STYLE + "<div>" * 3_000}, DEEP),
    "elements nested by a loop": ({"html": STYLE + "{% for i in (1..3000) %}<div>{% endfor %}"}, DEEP),
}


def made(name: str) -> Envelope:
    parts, _ = MAILS[name]
    html, _ = HTML.get(name.removesuffix(", in data"), ("", None))
    data = {"html": html, "long": "é\u2003🎁" * 80_000, "breaks": "\n" * 240_000}
    step = Email.model_validate({"email": "hostile", "subject": "Hello", "html": "<p>Hello"} | parts)
    return render(
        step, delivery("hostile"), data, Senders(Mailbox("news@shop.example", "Shop")), Mailbox("zoe@example.com")
    )


def outcome(name: str) -> str | None:
    """What it ends in: the reason that it is refused for, or None. Anything else is a mistake of ours."""
    try:
        made(name)
    except TemplateError as error:
        return str(error)
    return None
