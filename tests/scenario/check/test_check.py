# ruff: noqa: E501 - reports are asserted as they are printed
"""`check` reports every mistake of a file at its line and column, each once, in one sentence."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scenario.check.check import check
from scenario.check.structure import keys_of
from scenario.http.destinations import KnownDestination, KnownDestinations
from scenario.model.scenario import Scenario
from scenario.source.findings import Finding, listed
from scenario.steps.registry import KINDS


def findings_of(text: str, *, read: Callable[[str], str] | None = None, file: str = "scenario.yaml") -> list[Finding]:
    """But for e-mails that show no link to unsubscribe, which tests of their own are about."""
    return [finding for finding in check(text, read=read, file=file).findings if finding.code != "no-unsubscribe"]


def lines_of(text: str, read: Callable[[str], str] | None = None) -> list[str]:
    return [str(finding).removeprefix("scenario.yaml:") for finding in findings_of(text, read=read)]


HEAD = "scenario: welcome\ntrigger: order\nsteps:\n"

# A step, and the one finding that it is worth. Line 4 is its first.
ONE_MISTAKE = (
    ("- wait: 2d\n  wiat: 3d", "5:3: error unknown-key: unknown key 'wiat': a 'wait' step has id, wait and on_failure"),
    ("- wait: 2d\n  <wait>: 1", "5:3: error unknown-key: unknown key '<wait>': a 'wait' step has id, wait and on_failure"),
    ("- sms: a\n  text: {<file>: x}", "5:10: error unknown-key: unknown key '<file>': did you mean 'file'?"),
    ("- webhook: a\n  url: https://x.example/\n  headers: {<b>: a}", "6:13: error header: a header's name is made of letters, digits and '-'"),
    ("- Wait: 2d", "4:3: error unknown-step: unknown step 'Wait': did you mean 'wait'?"),
    ("- delay: 2d", "4:3: error unknown-step: unknown step 'delay': did you mean 'wait'?"),
    ("- id: a\n  e-mail: b\n  subject: s\n  text: t", "5:3: error unknown-step: unknown step 'e-mail': did you mean 'email'?"),
    ("- dance: tango", "4:3: error unknown-step: unknown step 'dance': a step begins with its kind, " + listed(KINDS)),
    ("- id: lonely", "4:3: error unknown-step: this is not a step: begin it with its kind, " + listed(KINDS)),
    ("- 12", "4:3: error unknown-step: this is not a step: begin it with its kind, " + listed(KINDS)),
    ("- webhook: a", "4:3: error incomplete: a webhook needs 'url', or 'to' with the name of a destination"),
    ("- webhook: a\n  url: https://x.example/\n  to: crm", "6:3: error incomplete: a webhook has 'url' or 'to', not both: a destination brings its own URL"),
    ("- webhook: a\n  url: https://x.example/\n  path: /x", "6:3: error incomplete: 'path' goes with 'to': write the whole address in 'url'"),
    ("- webhook: a\n  destination: crm", "5:3: error unknown-key: unknown key 'destination': did you mean 'to'?"),
    ("- webhook: a\n  to: Crm", "5:7: error value: 'Crm' is not a name: write lower-case words joined by '-', such as crm"),
    ("- webhook: a\n  to: crm\n  path: orders", "6:9: error value: 'orders' is not a path: write '/' and what follows the destination's URL, such as /orders"),
    ("- webhook: a\n  to: crm\n  path: //x", "6:9: error url: a path continues the destination's URL: write /orders, not https://… or //…"),
    ("- webhook: a\n  to: crm\n  content: xml\n  body: <a/>", "6:12: error value: 'xml' is not allowed in 'content': write json, form or text"),
    ("- webhook: a\n  to: crm\n  content: form\n  body: a=b", "7:9: error content: a form's body is written as keys with values, its fields"),
    ("- webhook: a\n  to: crm\n  content: form\n  body: {file: a}", "7:9: error content: a form's body is written as keys with values, its fields"),
    ("- webhook: a\n  to: crm\n  content: form\n  body: true", "7:9: error type: 'body' must be JSON as text or as keys with values, or {file: …}, not a true or false"),
    ("- webhook: a\n  to: crm\n  content: [form]\n  body: {a: b}", "6:12: error value: a list is not allowed in 'content': write json, form or text"),
    ("- webhook: a\n  to: crm\n  content: form\n  body: {a: {b: c}, d: [e, 1], f: [[]]}", ("7:13: error content: the field 'a' of a form is one value, or a list of values", "7:35: error content: the field 'f' of a form is one value, or a list of values")),
    ("- webhook: a\n  to: crm\n  content: text\n  body: {a: b}", "7:9: error content: plain text is written as text, or as {file: …}: for keys and values, 'content' is json or form"),
    ("- webhook: a\n  to: crm\n  method: GET\n  save: {as: x}\n  body: {a: b}", "8:3: error look-up: a look-up (GET) has no body: write what it asks for into 'url' or 'path', or use POST"),
    ("- webhook: a\n  to: crm\n  path: /a/{{ secrets.A | url_escape }}/{{ secrets.A | url_encode }}/b?c={{ secrets.A }}", "6:23: warning secret: the secret A may be sent anywhere: restrict it in destinations.yaml, see 'Secrets' in docs/run/destinations.md"),
    ("- sms: a\n  text: a\n  on_failure: exit\n- webhook: b\n  to: crm\n  path: '/a/{{ secrets.A }}'", ("9:13: warning secret-path: in a path, a secret's slashes are percent-encoded too: write {{ secrets.A | url_escape }} if it is several parts of the path, else url_encode", "9:24: warning secret: the secret A may be sent anywhere: restrict it in destinations.yaml, see 'Secrets' in docs/run/destinations.md")),
    ("- webhook: a\n  to: crm\n  auth: basic", "6:3: error unknown-key: unknown key 'auth': credentials are a header, such as headers: {Authorization: \"Bearer {{ secrets.NAME }}\"}, or in the destination's own entry"),
    ("- email: a\n  subject: s\n  text: t\n  from: 'Shop <a@b.example>, c@d.example'", "7:9: error address: 'from' must be an address, or Name <address>: there is more in it than one name and one address"),
    ("- email: a\n  subject: s\n  text: t\n  reply_to: ''", "7:13: error empty: 'reply_to' is empty: give it a value, or remove it"),
    ("- email: a\n  subject: s\n  text: t\n  reply_to: '\"Shop <a@b.example>'", "7:13: error address: 'reply_to' must be an address, or Name <address>: a name in quotes ends with a quote, and has \\ before each quote in it: \"The \\\"Shop\\\"\" <…>"),
    ("- email: a\n  subject: s\n  text: t\n  sender: a@b.example", "7:3: error unknown-key: unknown key 'sender': did you mean 'from'?"),
    ("- email: a\n  subject: s\n  text: t\n  from: '{{ contact.emial }} <a@b.example>'", "7:21: error unknown-field: 'contact' has no field 'emial': did you mean 'email'?"),
    ("- webhook: a\n  to: crm\n  save: wax", "6:9: error type: 'save' must be keys with values, not a text: it has as, when, schema and required"),
    ("- webhook: a\n  to: crm\n  save: {as: first}", "6:14: error value: 'first' means something else in Liquid: choose another name"),
    ("- webhook: a\n  to: crm\n  save:\n    as: wax\n    schema:\n      properties:\n        id: {type: strnig}\n        of: {enum: [null], default: null}\n      required: id", ("10:20: error schema: 'strnig' is not a type: did you mean 'string'?", "12:17: error schema: 'required' must be a list")),
    ("- webhook: a\n  to: crm\n  save: {as: wax, schema: {$ref: 'https://x.example/a.json'}}", "6:34: error schema: 'https://x.example/a.json' is elsewhere, and nothing is fetched: write it under '$defs' here"),
    ("- wait: {days: 2d}", "4:10: error unknown-key: unknown key 'days': a 'wait' with keys has until, on, offset and past"),
    ("- wait: [2d]", "4:9: error value: this is not a duration: write 90s, 15m, 2h, 3d or 2w"),
    ("- wait: -2d", "4:9: error value: a duration here cannot be negative"),
    ("- wait: 600w", "4:9: error value: '600w' is longer than ten years"),
    ("- wait: {until: 10:00, offset: 1h}", "4:9: error value: 'offset' goes with a date, not with a time of day"),
    ("- email: a\n  text: t", "4:3: error missing: an 'email' step needs 'subject'"),
    ("- webhook: a\n  url: https://x.example/\n  retry: {deadline: 5s}", "6:21: warning deadline: nothing is ever tried again: the deadline is not longer than 'initial_interval'"),
    ("- webhook: a\n  to: crm\n  timeout: 20s\n  retry: {deadline: 10s}", ()),
    ("- webhook: a\n  to: crm\n  retry: {deadline: 10s, initial_interval: 10s}", "6:21: warning deadline: nothing is ever tried again: the deadline is not longer than 'initial_interval'"),
    ("- webhook: a\n  to: crm\n  retry: {deadline: 5s}", ()),
    ("- wait: {until: 22:00, on: mon}\n- sms: a\n  text: t", "4:28: error type: 'on' must be a list: write [mon]"),
    ("- webhook: a\n  url: https://x.example/\n  retry: {backoff_coefficient: x}", "6:32: error type: 'backoff_coefficient' must be a number"),
    ("- webhook: a\n  url: https://x.example/\n  retry: {maximum_interval: 1s}", "6:10: error value: 'maximum_interval' (6h unless given) is shorter than 'initial_interval'"),
    ("- webhook: a\n  url: ftp://x.example/", "5:8: error url: a URL starts with https:// and a host, as plain text, followed by '/'"),
    ("- webhook: a\n  url: https://x.example:99999/", "5:8: error url: a port is a number up to 65535"),
    ("- webhook: a\n  url: https://x.example/\n  headers: {x-a: b, X-A: c}", "6:21: error header: 'X-A' and 'x-a' are the same header: keep one"),
    ("- webhook: a\n  url: https://x.example/\n  body: 12", "6:9: error type: 'body' must be JSON as text or as keys with values, or {file: …}, not a number"),
    ("- webhook: a\n  url: https://x.example/\n  body:\n    lines:\n      - name: '{{ order.external_id | }}'", "8:38: error syntax: a name is missing here"),
    ("- webhook: a\n  url: https://x.example/\n  body: {a: {b: '{{ contact.emial }}'}}", "6:29: error unknown-field: 'contact' has no field 'emial': did you mean 'email'?"),
    ("- sms: a\n  text: 'Hi $firstname$ $lastname$'", "5:13: warning old-syntax: '$firstname$' is the platform's old syntax: 'scenario convert' turns it into Liquid"),
    ("- sms: a\n  text: 'Hi {{ contact.firstname }}{SPLIO IF $a$ = 1} you{SPLIO ENDIF}'", "5:36: warning old-syntax: '{SPLIO IF $a$ = 1}' is the platform's old syntax: 'scenario convert' turns it into Liquid"),
    ("- webhook: a\n  url: https://x.example/\n  body: {a: [{k$b$: 1}, 'x $b$']}", ("6:16: warning old-syntax: '$b$' is the platform's old syntax: 'scenario convert' turns it into Liquid", "6:28: warning old-syntax: '$b$' is the platform's old syntax: 'scenario convert' turns it into Liquid")),
    ("- sms: a\n  text: 'Hi {{ contact.firstname | default: \"l’ami\" }}, it’s – here'", "5:59: warning sms-alphabet: ’ makes this an SMS in UCS-2, with 70 characters in a part instead of 160: write '"),
    ("- sms: a\n  text: \"12\\u202F€ left\"", "5:12: warning sms-alphabet: the character U+202F makes this an SMS in UCS-2, with 70 characters in a part instead of 160: write a plain space"),
    ("- sms: a\n  text: 'It’s here 🎉'", ()),
    ("- email: a\n  subject: s\n  text: 'it’s – here'", ()),
    ("- sms: a\n  text: 'From $5.00 to 100$, $10 or US$ and {{ contact.firstname }}$, {50%}, {{ \"$a$\" }}'", ()),
    ("- webhook: a\n  url: https://x.example/?$top=1&$skip=2\n  body: {$for: p in order.products, $each: {$$ref: '{{ p.name }}'}}", ()),
    ("- wait_for: a\n  if: []", "5:7: error type: 'if' must be text, not a list"),
    ("- if: contact.custom.vip", "4:3: error incomplete: an 'if' needs 'then', 'else' or both"),
    ("- wait_for: {event: order.delivered, for: 7d}", "4:13: error value: write 'wait_for: order.delivered', and 'if' and 'for' below it, as keys of the step"),
    ("- wait_for: 7d", "4:13: warning value: this waits for an event called '7d': a time is 'for: 7d', or the step 'wait: 7d'"),
    ("- switch: order.total_price\n  cases: {'> 20': []}", "5:11: error case: a case is one value, and '> 20' a comparison: write an 'if'"),
    ("- email: a\n  subject: s\n  html: mails/a.html", "6:9: warning file: this would be sent as it stands: write {file: mails/a.html} for the text of that file"),
    ("- email: a\n  subject: s\n  text: t\n  to: a@b.example", "7:3: error unknown-key: unknown key 'to': an e-mail goes to the contact only"),
    ("- webhook: a\n  to: crm\n  query: {a: b}", "6:3: error unknown-key: unknown key 'query': write a query behind 'url' or 'path', such as ?lang=fr"),
    ("- wait: 2d\n- else: [{exit: a}]", "5:3: error unknown-step: unknown step 'else': 'else' is a key of the step above: write it without '-'"),
    ("- exit: a\n- exit: b\n- exit: c", "5:3: warning unreachable: this step is never reached: it comes after an exit"),
)  # fmt: skip


@pytest.mark.parametrize(("step", "report"), ONE_MISTAKE, ids=[step for step, _ in ONE_MISTAKE])
def test_one_mistake_is_one_finding(step: str, report: str | tuple[str, ...]):
    assert lines_of(HEAD + step + "\n", lambda _: "text") == ([report] if isinstance(report, str) else list(report))


WHOLE = (
    ("scenario: a\ntrigger: order\nsubscription: {sms: {liste: 5}}\nsteps: [{wait: 2d}]", "3:22: error unknown-key: unknown key 'liste': did you mean 'list'?"),
    ("scenario: a\ntrigger: order\nsubscription: {emial: 5}\nsteps: [{wait: 2d}]", "3:15: error value: 'emial' is not a channel: did you mean 'email'?"),
    ("scenario: a\ntrigger: order\npurpose: promo\nsteps: [{sms: a, text: '{{ journey.unsubscribe_url }}'}]", "3:10: error value: 'promo' is not allowed in 'purpose': write marketing or transactional"),
    ("scenario: a\ntrigger: order\nsteps: [{sms: a, text: b, capped: {waits: 2d}}]", "3:36: error unknown-key: unknown key 'waits': did you mean 'wait'?"),
    ("scenario: a\ntrigger: order\nsteps: [{sms: a, text: b, capped: drop}]", "3:35: error value: 'capped' is skip, hold, or {wait: 2d}"),
    ("just text", "1:1: error type: a scenario file must be keys with values, not a text"),
    ("- wait: 2d", "1:1: error type: a scenario file must be keys with values, not a list"),
    ("trigger: order\nsteps: [{wait: 2d}]", "1:1: error missing: a scenario needs 'scenario'"),
    ("scenario: a\ntrigger: order\ntimezone: +02:00\nsteps: [{wait: 2d}]", "3:11: error value: '+02:00' is not a time zone: write a name such as Europe/Paris"),
    ("scenario: a\ntrigger: order\n<b>: 1\nsteps: [{wait: 2d}]", f"3:1: error unknown-key: unknown key '<b>': a scenario has {listed(keys_of(Scenario), 'and')}"),
    ("scenario: a\ntrigger: order\nexit: [{event: a, <text>: 1}]\nsteps: [{wait: 2d}]", "3:19: error unknown-key: unknown key '<text>': an exit rule has event and if"),
    ("scenario: a\ntrigger: order\nentry: {again: after 0d}\nsteps: [{wait: 2d}]", "3:16: error value: 'after' needs a duration greater than zero"),
    ("scenario: a\ntrigger: order\nexit: [order.placed]\nsteps: [{wait: 2d}]", "3:8: error type: an entry of 'exit' must be keys with values, not a text: it has event and if"),
    ("scenario: a\ntrigger: order\nsteps: [{wait_for: {a.b: hello}, for: 1d}]", "3:26: error type: 'a.b' must be keys with values, not a text"),
    ("scenario: a\ntrigger: order\nexit: [{event: x}, {event: x, if: event.a}]\nsteps: [{wait: 2d}]", "3:20: warning redundant: the exit rule on line 3 already leaves at this event"),
    ("scenario: a\ntrigger: order\nsteps: [{wait: 1d}, {id: wait-1, wait: 2d}]", "3:26: error duplicate-name: 'wait-1' is the name that an unnamed step gets from its place: choose another name"),
    ("scenario: a\ntrigger: order\nstpes: [{emial: x, subjct: s, text: t}]", ("3:1: error unknown-key: unknown key 'stpes': did you mean 'steps'?", "3:10: error unknown-step: unknown step 'emial': did you mean 'email'?", "3:20: error unknown-key: unknown key 'subjct': did you mean 'subject'?")),
)  # fmt: skip


@pytest.mark.parametrize(("text", "report"), WHOLE, ids=[text for text, _ in WHOLE])
def test_a_mistake_around_the_steps_is_one_finding_too(text: str, report: str | tuple[str, ...]):
    assert lines_of(text) == ([report] if isinstance(report, str) else list(report))


RIGHT = """scenario: post-purchase
description: Thank the buyer, then follow up on WhatsApp
trigger: order
entry:
  key: "{{ order.external_id }}"
  again: after 30d
  if: order.total_price > 20 and contact.email != blank
exit:
  - event: order.returned
    if: event.order_id == order.external_id
timezone: Europe/Paris
steps:
  - email: thank-you
    subject: "Thank you {{ contact.firstname | default: 'dear customer' }}!"
    html: {file: mails/thank-you.html}
  - wait: 2d
  - wait: {until: 10:00, on: [mon, tue, wed, thu, fri]}
  - wait_for: order.delivered
    if: event.order_id == order.external_id
    for: 7d
    then:
      - wait_for: order.reviewed
        since: now
        for: 7d
        then: [{exit: reviewed}]
    else:
      - sms: sorry
        text: "Où est la commande {{ order.external_id }} ? {{ today }}"
  - id: reachable
    if: contact.cellphone != blank
    then:
      - webhook: whatsapp
        url: "https://hooks.example.com/wax/{{ contact.id }}?event={{ event.name | default: 'none' }}"
        headers: {Authorization: "Bearer {{ secrets.WAX_TOKEN }}"}
        body: |
          {"phone": "{{ contact.cellphone }}", "store": "{{ order.store.name }}",
           "lines": [{% for p in ticket.products %}{"name": "{{ p.name }}"}{% unless forloop.last %},{% endunless %}{% endfor %}],
           "gift": "{{ contact.custom.gift }}", "first": "{{ order.products.first.name }}", "count": {{ order.products.size }}}
        retry: {initial_interval: 5s, backoff_coefficient: 3, maximum_interval: 6h, deadline: 3d, maximum_attempts: 0}
        timeout: 15s
        on_failure: hold
    else:
      - exit: unreachable
  - exit: done
"""


HTML = "<p>{{ contact.lastname }}</p>{{ journey.unsubscribe_url }}"


def test_a_file_without_mistakes_has_no_findings_and_is_a_scenario_with_its_texts():
    checked = check(
        RIGHT,
        read={"mails/thank-you.html": HTML}.__getitem__,
        destinations=KnownDestinations(public_secrets=frozenset({"WAX_TOKEN"})),
    )
    assert checked.findings == ()
    assert checked.scenario is not None
    assert checked.scenario.steps[0].model_dump()["html"] == HTML


def test_findings_are_json_for_programs():
    (finding,) = check("scenario: a\ntrigger: order\nsteps: []", file="a.yaml").findings
    assert json.loads(json.dumps(finding.as_json())) == {
        "file": "a.yaml",
        "line": 3,
        "column": 8,
        "severity": "error",
        "code": "empty",
        "message": "'steps' is empty: it needs at least one entry",
    }


@pytest.mark.parametrize(
    ("steps", "meant"),
    [
        ("- wiat: 2d\n", "wait"),
        ("- sms: a\n  txt: Hello\n", "text"),
        ("- sms: a\n  text: Hello {{ contact.firstnam }}\n", "firstname"),
        ("- email: a\n  subject: s\n  text: t\n  html: ''\n", None),
    ],
)
def test_what_was_probably_meant_is_there_for_programs(steps: str, meant: str | None):
    finding, *_ = check(HEAD + steps).findings
    assert finding.did_you_mean == meant
    assert finding.as_json().get("did_you_mean", "nothing") == (meant or "nothing")


def test_an_e_mail_that_would_be_refused_for_its_size_is_named_before():
    text = HEAD + f"- email: a\n  subject: {'s' * 8_001}\n  html: {{file: mails/a.html}}\n"
    findings = findings_of(text, read=lambda _: "<p>\n" + "<div>" * 300, file="scenarios/a.yaml")
    assert [str(finding) for finding in findings] == [
        "scenarios/a.yaml:5:8012: error limit: a subject has at most 8,000 characters",
        "scenarios/mails/a.html:2:1281: error limit: elements are nested more than 256 levels deep: is one not closed?",
    ]


def unreadable(_: str) -> str:
    raise FileNotFoundError(2, "No such file or directory")


def undecodable(_: str) -> str:
    return b"\xe9".decode()


FILES: tuple[tuple[str, Callable[[str], str] | None, str], ...] = (
    ("/etc/passwd", str, "'/etc/passwd' leaves the scenario's folder: keep the file beneath it"),
    ("a/../../b.html", str, "'a/../../b.html' leaves the scenario's folder: keep the file beneath it"),
    ("C:/b.html", str, "'C:/b.html' leaves the scenario's folder: keep the file beneath it"),
    ("..\\b.html", str, "'..\\b.html' leaves the scenario's folder: keep the file beneath it"),
    ("gone.html", unreadable, "'gone.html' cannot be read: no such file or directory"),
    ("latin.html", undecodable, "'latin.html' is not UTF-8: save it as UTF-8"),
    ("empty.html", lambda _: "\n", "'empty.html' is empty"),
    ("huge.html", lambda _: "x" * 600_000, "'huge.html' is longer than 512 KB"),
    ("a.html", None, "'a.html' cannot be read here: put the text itself in the scenario"),
)  # fmt: skip


@pytest.mark.parametrize(("name", "read", "message"), FILES, ids=[name for name, _, _ in FILES])
def test_a_reference_that_leads_nowhere_is_one_finding(name: str, read: Callable[[str], str] | None, message: str):
    text = HEAD + f"- email: a\n  subject: s\n  html: {{file: '{name}'}}\n"
    assert lines_of(text, read) == [f"6:16: error file: {message}"]


def test_no_file_is_looked_for_by_a_name_that_none_can_have():
    text = HEAD + '- email: a\n  subject: s\n  html: {file: "a\\0b.html"}\n'
    assert lines_of(text, str) == ["6:16: error file: a file's name cannot contain U+0000"]


def test_a_reference_behind_a_misspelt_key_is_read_too():
    text = HEAD + "- email: a\n  subject: s\n  htlm: {fiel: a.html}\n"
    assert lines_of(text, lambda _: "{{ contact.emial }}") == [
        "6:3: error unknown-key: unknown key 'htlm': did you mean 'html'?",
        "6:10: error unknown-key: unknown key 'fiel': did you mean 'file'?",
        "a.html:1:12: error unknown-field: 'contact' has no field 'emial': did you mean 'email'?",
    ]


KEYS = ("scenario", "trigger", "steps", "entry", "exit", "again", "key", "if", "then", "else", "email", "sms", "subject", "text", "html", "webhook", "url", "headers", "body", "retry", "deadline", "timeout", "wait", "until", "on", "offset", "wait_for", "for", "since", "id", "file", "to", "switch", "cases", "repeat", "every", "times", "event", "split", "zzz")  # fmt: skip
TEXTS = ("a", "order", "event", "2d", "-3d", "10:00", "mon", "never", "hold", "https://x.example/", "{{ order.a }}", "{{", "", "é\u2028", "{{ now | date: 1, 2, 3 }}", "2026-12-24", "<sms>")  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 9) | st.sampled_from((0.5, 1e300)) | st.sampled_from(TEXTS),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6),
    max_leaves=25,
)
STEPS = st.lists(st.dictionaries(st.sampled_from(KEYS[7:]), VALUES, max_size=6) | VALUES, max_size=5)
JARGON = re.compile(
    r"input|extra|pydantic|value error|validation|timedelta|NoneType|dict|tag:|traceback", re.IGNORECASE
)


@given(st.fixed_dictionaries({"steps": STEPS}, optional=dict.fromkeys((*KEYS[:2], *KEYS[3:5]), VALUES)))
@settings(max_examples=40)
def test_whatever_is_written_there_is_an_answer_in_plain_words(data: dict[str, Any]):
    checked = check(json.dumps(data))
    assert (checked.scenario is None) == any(finding.severity == "error" for finding in checked.findings)
    assert not [finding.message for finding in checked.findings if JARGON.search(finding.message)]
    assert all(finding.line == 1 and finding.column >= 1 for finding in checked.findings)


DESTINATIONS = (
    ("wax", None),
    ("waxx", "5:7: error unknown-destination: there is no destination 'waxx': did you mean 'wax'?"),
    ("one-signal", "5:7: error unknown-destination: there is no destination 'one-signal': did you mean 'onesignal'?"),
    ("crm", "5:7: error unknown-destination: there is no destination 'crm': ask for it to be added to the file of destinations"),
)  # fmt: skip


@pytest.mark.parametrize(("name", "report"), DESTINATIONS)
def test_a_destination_is_one_that_there_is(name: str, report: str | None):
    text = HEAD + f"- webhook: a\n  to: {name}\n- webhook: b\n  url: https://x.example/\n"
    assert check(text).findings == ()
    found = check(
        text, destinations=KnownDestinations({"wax": KnownDestination(), "onesignal": KnownDestination()})
    ).findings
    assert [str(finding).removeprefix("scenario.yaml:") for finding in found] == ([report] if report else [])


@pytest.mark.parametrize(
    ("known", "codes"),
    [
        (None, []),
        (KnownDestinations({"wax": KnownDestination(), "crm": KnownDestination(("X-Shop",))}), []),
        (
            KnownDestinations({"wax": KnownDestination(("X-SHOP", "Authorization")), "crm": KnownDestination()}),
            ["destination-header"],
        ),
        (KnownDestinations({"crm": KnownDestination(("X-Shop",))}), ["unknown-destination"]),
    ],
)
def test_a_header_is_set_by_the_scenario_or_by_its_destination(known: KnownDestinations | None, codes: list[str]):
    text = HEAD + "- webhook: a\n  to: wax\n  headers: {x-shop: a, Accept: b}\n- webhook: b\n  to: crm\n"
    assert [finding.code for finding in check(text, destinations=known).findings] == codes


@pytest.mark.parametrize(("owners", "codes"), [(None, []), ({"welcome", "x"}, []), ({"b"}, ["destination-owner"])])
def test_a_destination_is_for_its_owners(owners: set[str] | None, codes: list[str]):
    text = HEAD + "- webhook: a\n  to: wax\n- webhook: b\n  url: https://x.example/\n"
    listing = KnownDestinations({"wax": KnownDestination(owners=None if owners is None else frozenset(owners))})
    found = check(text, destinations=listing).findings
    assert [finding.code for finding in found] == codes
    if codes:
        assert found[0].line == 5
        assert found[0].message == (
            "the scenario 'welcome' may not use destination 'wax': list it under its 'owners' in destinations.yaml"
        )


SECRETS = (
    HEAD
    + """\
- webhook: a
  to: wax
  path: /?a={{ secrets.A }}/{{ secrets.WAX_TOKN }}
  headers: {X-A: "{{ secrets['B'] }}", X-B: "{% if secrets.C %}c{% endif %}"}
  body:
    list: [{a: "{{ secrets.WAX_TOKEN }}"}, "{{ secrets.A }}"]
- webhook: b
  url: https://x.example/?key={{ secrets.A }}
  headers: {X-A: "{{ secrets.PUBLIC }}"}
"""
)
WHERE = KnownDestinations(
    {"wax": KnownDestination(secrets=frozenset({"WAX_TOKEN"})), "crm": KnownDestination(secrets=frozenset("ABC"))},
    frozenset({"PUBLIC"}),
)


def test_a_secret_goes_where_destinations_yaml_says_that_it_may_go():
    there = "may not go to destination 'wax': list it under its 'secrets' in destinations.yaml"
    assert [str(finding).removeprefix("scenario.yaml:") for finding in check(SECRETS, destinations=WHERE).findings] == [
        f"6:24: error secret: the secret A {there}",
        f"6:40: error secret: the secret WAX_TOKN {there} (or did you mean 'WAX_TOKEN'?)",
        f"7:31: error secret: the secret B {there}",
        f"7:60: error secret: the secret C {there}",
        f"9:56: error secret: the secret A {there}",
        "11:42: error secret: the secret A may not go to a plain 'url': name a destination with 'to' that lists it under "
        "'secrets' in destinations.yaml, or list it there under 'public_secrets' of 'default', which lets it go anywhere",
    ]


def test_without_a_destinations_yaml_each_secret_is_warned_of_once():
    findings = check(SECRETS).findings
    assert check(SECRETS).scenario is not None
    assert {finding.severity for finding in findings} == {"warning"}
    assert sorted(finding.message.split()[2] for finding in findings) == [
        "A",
        "B",
        "C",
        "PUBLIC",
        "WAX_TOKEN",
        "WAX_TOKN",
    ]
    assert findings[0].message == (
        "the secret A may be sent anywhere: restrict it in destinations.yaml, see 'Secrets' in docs/run/destinations.md"
    )


def test_of_a_destination_that_is_not_there_only_that_is_said():
    text = (
        HEAD
        + "- webhook: a\n  to: wax\n  headers: {X-A: '{{ secrets.A }}'}\n- webhook: b\n  to: [a]\n  body: {a: '{{ secrets.A }}'}\n"
    )
    assert [finding.code for finding in check(text, destinations=KnownDestinations()).findings] == [
        "unknown-destination",
        "type",
    ]


def repeated(step: str, value: str, times: int) -> str:
    """A scenario with the same value in many steps, written once."""
    first = step.format(number=0, value=f"&value {value}")
    return HEAD + first + "".join(step.format(number=number, value="*value") for number in range(1, times))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            repeated("- sms: a{number}\n  text: {value}\n", "x" * 90_000, 100),
            "with its aliases and files in place the scenario is larger than 8 MB: split it",
        ),
        (
            HEAD + "".join(f"- sms: a{number}\n  text: {{file: a.txt}}\n" for number in range(20)),
            "with its aliases and files in place the scenario is larger than 8 MB: split it",
        ),
        (
            repeated("- if: {value}\n  then: [{{wait: 1d}}]\n", f"contact.id == '{'x' * 50_000}'", 35),
            "what each journey has to carry is larger than 1,500 KB: split the scenario, shorten its conditions, or name "
            "less in its templates",
        ),
    ],
)
def test_what_a_small_file_becomes_has_a_size(text: str, message: str):
    checked = check(text, read=lambda _: "y" * 500_000)
    assert [str(finding) for finding in checked.findings] == [f"scenario.yaml:1:1: error too-large: {message}"]
    assert checked.scenario is None


def test_a_file_that_many_steps_refer_to_is_read_once():
    times = 0

    def read(_: str) -> str:
        nonlocal times
        times += 1
        return "text"

    text = HEAD + "".join(f"- sms: a{number}\n  text: {{file: a.txt}}\n" for number in range(20))
    assert check(text, read=read).scenario is not None
    assert times == 1
