# ruff: noqa: E501 - findings are asserted whole
"""A template may name what is there: by trigger, by place, and as the models have it."""

from typing import Any

import pytest

from scenario import liquid
from scenario.check.check import check
from scenario.check.variables import ListOf, Object, Tree, Value, roots, tree_of
from scenario.entry.entry import clean, parse_entry
from scenario.entry.objects import DATA, Contact, with_trigger
from scenario.entry.values import PlatformDates
from scenario.model.scenario import TRIGGERS
from scenario.source.report import Report
from scenario.type_guards import Path

BY_TRIGGER = {
    "order": {"order", "ticket"},
    "ticket": {"order", "ticket"},
    "abandoned_cart": {"cart"},
    "reward": {"reward"},
    "event": {"event"},
}
ANYWHERE = {"contact", "journey", "now", "today", "responses", "trigger"}


@pytest.mark.parametrize("trigger", TRIGGERS)
def test_each_trigger_brings_its_own_data(trigger: str):
    made = roots(trigger)
    assert set(made.known) == ANYWHERE | BY_TRIGGER.get(trigger, set())
    assert set(made.availability) == {"order", "ticket", "cart", "reward", "event", "secrets"} - set(made.known)


def test_secrets_are_for_webhooks_and_events_for_those_who_waited():
    assert "secrets" in roots("order", secrets=()).known
    assert "event" in roots("order", event=True).known
    assert roots("birthday").availability["order"] == "with the trigger order or ticket"


def shape(value: Any) -> str:
    match value:
        case dict():
            return "object"
        case list():
            return "list"
        case _:
            return "value"


def compare(tree: Tree, data: Any, path: str) -> None:
    """Asserts that clean data have the shape that the tree says, all of it."""
    match tree:
        case Object():
            assert shape(data) == "object", path
            assert set(tree.fields) <= set(data), path
            for name, inner in tree.fields.items():
                compare(inner, data[name], f"{path}.{name}")
        case ListOf():
            assert shape(data) == "list", path
            for item in data:
                compare(tree.item, item, path)
        case Value():
            assert shape(data) == "value", path
        case _:
            return


@pytest.mark.parametrize("trigger", TRIGGERS)
def test_the_trees_are_those_of_the_data_that_come_out(trigger: str):
    contact: dict[str, Any] = {
        "id": 1,
        "lists": [{}],
        "loyalty": [{}],
        "recommendations": [{}],
        "tracking_consent": [{}],
    }
    data: dict[str, Any] = {DATA[trigger][0]: {"products": [{}]}} if trigger in DATA else {}
    entry = parse_entry({"scenario": "a", "contact": contact, "trigger": {"type": trigger, **data}})
    cleaned = with_trigger(clean(entry, PlatformDates()))
    known = roots(trigger).known
    assert set(cleaned) == {"contact", "trigger"} | BY_TRIGGER.get(trigger, set())
    for name, value in cleaned.items():
        compare(known[name], value, name)


def test_a_tree_knows_kinds():
    tree = tree_of(Contact)
    assert tree.fields["creation_date"] == Value("date")
    assert tree.fields["id"] == Value("text")
    assert tree.fields["custom"] == Object(open=True)
    assert isinstance(tree.fields["lists"], ListOf)
    assert not tree.open


def findings(step: str, trigger: str = "order", head: str = "") -> list[str]:
    text = f"scenario: a\ntrigger: {trigger}\nsteps:\n{step}\n{head}\n"
    return [str(finding).partition(": ")[2] for finding in check(text).findings]


RIGHT = (
    "{{ contact.firstname }} {{ contact.custom.anything }} {{ contact.recommendations.first.name }}",
    "{% for p in order.products limit: 3 %}{{ forloop.index }} {{ p.name }} {{ p.custom.gift }}{% endfor %}",
    "{{ ticket.store.name }} {{ order.loyalty.card_code }} {{ order.products.size }} {{ order.products[0].name }}",
    "{% assign total = order.total_price | times: 2 %}{{ total }} {{ journey.version }} {{ now | date: '%d' }} {{ today }}",
    "{% capture hello %}{{ contact.lastname }}{% endcapture %}{{ hello }} {{ journey.id }}",
    "contact.firstnam in plain text is not a variable",
)


@pytest.mark.parametrize("text", RIGHT)
def test_what_is_there_may_be_named(text: str):
    assert findings(f'- sms: a\n  text: "{text}"') == []


WRONG = (
    ("{{ contact.fristname }}", "error unknown-field: 'contact' has no field 'fristname': did you mean 'firstname'?"),
    ("{{ contcat.firstname }}", "error unknown-variable: there is no variable 'contcat': did you mean 'contact'?"),
    ("{{ firstname }}", "error unknown-variable: there is no variable 'firstname': did you mean 'contact.firstname'?"),
    ("{{ secrets.TOKEN }}", "error out-of-scope: 'secrets' is there only in a webhook's url, headers and body"),
    ("{{ order.currency.code }}", "error no-object: 'order.currency' is a text, it has no field 'code'"),
    ("{{ order.products.name }}", "error list-field: 'order.products' is a list, it has no field 'name': loop over it, take order.products.first.name, or ask order.products | has: 'name', 'x'"),
    ("{% for p in order.products %}{{ p.nam }}{% endfor %}", "error unknown-field: 'p' has no field 'nam': did you mean 'name'?"),
    ("{% if order.totl_price > 3 %}x{% endif %}", "error unknown-field: 'order' has no field 'totl_price': did you mean 'total_price'?"),
    ("{{ order.channel }}", "warning unknown-field: 'order' has no field 'channel', unless the engine sends one"),
)  # fmt: skip


@pytest.mark.parametrize(("text", "finding"), WRONG, ids=[text for text, _ in WRONG])
def test_what_is_not_there_is_reported(text: str, finding: str):
    assert findings(f'- sms: a\n  text: "{text}"') == [finding]


def test_every_place_of_a_wrong_name_is_reported():
    text = "scenario: a\ntrigger: order\nsteps:\n- sms: a\n  text: |\n    {{ contact.emial }}\n      {{ contact . emial }}\n"
    assert [(finding.line, finding.column) for finding in check(text).findings] == [(6, 16), (7, 20)]


NO_EVENT = "error out-of-scope: 'event' is there only with the trigger event, and after a 'wait_for'"
ASK = "ask {% if event %}, or give each value a default, {{ event.… | default: '-' }}"
LATE = (
    "warning may-be-missing: 'event' may be missing here: the 'wait_for' on line {} can end without it. Move the step into its 'then', "
    + ASK.replace("{", "{{").replace("}", "}}")
)
PAST = (
    "warning may-be-missing: 'event' may be missing here: not every way here passes a 'wait_for'. For those that do not, "
    + ASK
)
READ = "{sms: a, text: '{{ event.x }}'}"
TIMED = "- wait_for: e\n  for: 1d\n"
EVENT: tuple[tuple[str, str | None], ...] = (
    ("- sms: a\n  text: '{{ event.x }}'", NO_EVENT),
    ("- wait_for: e\n- " + READ, None),
    (TIMED + f"  then: [{READ}]", None),
    (TIMED + f"  else: [{READ}]", NO_EVENT),
    (TIMED + "- " + READ, LATE.format(4)),
    (TIMED + "  else: [{exit: x}]\n- " + READ, None),
    (TIMED + "  then: [{exit: x}]\n- " + READ, NO_EVENT),
    ("- wait_for: f\n" + TIMED + "- " + READ, None),
    (TIMED + TIMED.replace("e", "f", 1) + f"  else: [{READ}]", LATE.format(6)),
    ("- if: order.total_price\n  then: [{wait_for: e}]\n- " + READ, PAST),
    ("- wait_for: e\n  if: event.x == order.external_id", None),
    ("- if: event.x\n  then: [{wait: 1d}]", NO_EVENT),
    # A condition is asked about what may be missing, and tells.
    (TIMED + "- if: event.x == 1 or event.tags contains 'a'\n  then: [{wait: 1d}]", None),
    (TIMED + f"- if: event\n  then: [{READ}]", None),
    (TIMED + f"- if: event\n  else: [{READ}]", LATE.format(4)),
    (TIMED + f"- if: event.x != blank\n  then: [{READ}]", None),
    (TIMED + f"- if: event.x == 'a' or order.total_price > 1\n  then: [{READ}]", LATE.format(4)),
    (TIMED + f"- if: event.x | number >= 1\n  then: [{READ}]", None),
    (TIMED + f"- if: \"event.lines | map: 'sku' contains 'a'\"\n  then: [{READ}]", None),
    (TIMED + f"- if: not (event == nil or order.total_price == 1)\n  then: [{READ}]", None),
    (TIMED + f"- if: event.x | size >= 0\n  then: [{READ}]", LATE.format(4)),
    (TIMED + "- if: event == nil\n  then: [{exit: x}]\n- " + READ, None),
    (TIMED + f"- if: event.x !\n  then: [{READ}]", "error foreign-word: '!' is written 'not' here"),
    # So does a template.
    (TIMED + "- sms: a\n  text: '{% if event.x %}{{ event.y }}{% endif %}'", None),
    (TIMED + "- sms: a\n  text: '{% case event.x %}{% when 1 %}{{ event.y }}{% endcase %}'", None),
    (TIMED + "- sms: a\n  text: '{{ event.x | default: 1 }}{% assign event = 1 %}{{ event }}'", None),
    (TIMED + "- sms: a\n  text: '{{ event.x | upcase | default: 1 }}'", LATE.format(4)),
    (TIMED + "- sms: a\n  text: '{% for x in event.items %}{{ x }}{% endfor %}'", LATE.format(4)),
    (TIMED + "- wait: {until: '{{ event.at }}'}", LATE.format(4)),
    (TIMED + "- webhook: a\n  to: b\n  body: {a: {$if: event.x > 1, $then: {b: '{{ event.x }}'}, $else: '{{ event.y }}'}}", LATE.format(4)),
    # One that only mentions it, and comes out so without it, does not.
    (TIMED + "- sms: a\n  text: '{% if event or contact.id %}{{ event.b }}{% endif %}'", LATE.format(4)),
    (TIMED + "- sms: a\n  text: '{% if event == nil %}a{% elsif contact.id %}{{ event.y }}{% else %}{{ event.z }}{% endif %}'", None),
    (TIMED + "- sms: a\n  text: '{% case event.x %}{% when 1 %}a{% else %}{{ event.y }}{% endcase %}'", LATE.format(4)),
    (TIMED + "- sms: a\n  text: '{% case event.x %}{% when nil %}a{% else %}{{ event.y }}{% endcase %}'", None),
)  # fmt: skip


@pytest.mark.parametrize(("steps", "finding"), EVENT, ids=[steps for steps, _ in EVENT])
def test_an_event_is_there_on_the_ways_on_which_one_has_come(steps: str, finding: str | None):
    assert findings(steps) == ([] if finding is None else [finding])


def test_where_an_event_let_the_contact_in_there_is_one():
    assert "may-be-missing" not in str(findings(TIMED + "- " + READ, trigger="event"))


ASKED = ("event", "event.x", "event == nil", "event.x != blank", "event.x == empty", "event.x != empty", "event.x == 1", "event.x != 1", "event.x == false", "event.x > 1", "event.tags contains 'a'", "1 == 1", "1 == 2")  # fmt: skip
FILTERED = ("event.x | number", "event.x | number > 1", "event.x | number == 1", "event.x | map: 'a' contains 'b'", "event.x | map: 'a' == nil", "event.x | where: 'a'", "event.x | where: 'a' | first", "event.x | has: 'a'", "event.x | has: 'a' == false", "event.x | size == 0", "event.x | downcase == ''", "event.x | default: 1", "not event", "not event.x == 1", "not (event.x | number > 1 or event.y)", "(event.x) == 1")  # fmt: skip
JOINED = [f"{left} {word} {right}" for left in ASKED for right in ASKED for word in ("and", "or")]


def test_the_answer_without_an_event_never_tells_that_there_is_one():
    conditions = [*ASKED, *FILTERED, *JOINED]
    told = [
        one
        for one in conditions
        if ("event",) in liquid.find_proven_paths(one, outcome=liquid.evaluate_condition(one, {}))
    ]
    assert told == []


WAX = "- webhook: wax\n  to: wax\n  save: {as: wax}\n"
REQUIRED = WAX.replace("wax}", "wax, required: true}")
TYPED = """\
- webhook: wax
  to: wax
  save:
    as: wax
    schema:
      type: object
      required: [id]
      properties:
        id: {type: string}
        queued: {type: [boolean, "null"]}
        at: {type: string, format: date-time}
        tries: {type: integer}
        lines: {type: array, items: {$ref: '#/$defs/line'}}
        more: {type: object}
        one: {anyOf: [{type: 'null'}, {properties: {name: {type: string}}}]}
        any: {anyOf: [{type: string}, {type: integer}]}
        colour: {enum: [red, green]}
      $defs:
        line: {properties: {sku: {type: string}}, additionalProperties: true}
"""
READ_WAX = "{sms: a, text: '{{ responses.wax.id }}'}"
SMS = f"- {READ_WAX}"
ASKED_SMS = "- sms: a\n  text: '{% if responses.wax %}{{ responses.wax.id }}{% endif %}'"
NONE = "error unknown-response: no step before this one saves a response as 'wax'"
LATER = "error unknown-response: no step before this one saves a response as 'wax': the one on line {} comes later, or on another way"
OWN = "error unknown-response: a step begins without 'responses.wax', which it saves: only later steps have it"
UNSURE = (
    "warning may-be-missing: 'responses.wax' may be missing here: the step on line {} keeps only a response that fits. "
    "For others, ask {{% if responses.wax %}}, give a default, {{{{ responses.wax.… | default: '-' }}}}, "
    "or hold the journey with 'required: true' in its 'save'"
)
RESPONSES: tuple[tuple[str, str | None], ...] = (
    (SMS, NONE),
    (WAX + SMS.replace("wax", "waxx"), "error unknown-response: no step before this one saves a response as 'waxx': did you mean 'wax'?"),
    (SMS + "\n" + WAX, LATER.format(5)),
    ("- webhook: wax\n  to: wax\n  body: {a: '{{ responses.wax.id }}'}\n  save: {as: wax}", OWN),
    (WAX + "- webhook: b\n  to: wax\n  body: {a: '{{ responses.wax.id }}'}\n  save: {as: wax}", OWN),
    ("- repeat: {every: 1d, times: 2}\n  steps: [{webhook: b, to: wax, body: {a: '{{ responses.wax }}'}, save: {as: wax}}]", OWN),
    ("- if: contact.id\n  then: [{webhook: wax, to: wax, save: {as: wax}}]\n" + SMS, UNSURE.format(5)),
    ("- if: contact.id\n  then: [{webhook: wax, to: wax, save: {as: wax}}, {exit: x}]\n" + SMS, LATER.format(5)),
    ("- wait_for: a\n  else: []\n  then: [{webhook: wax, to: wax, save: {as: wax}}]\n" + SMS, UNSURE.format(6)),
    ("- wait_for: a\n  for: 1d\n  else: [{webhook: wax, to: wax, save: {as: wax}}]\n" + SMS, UNSURE.format(6)),
    (WAX + "- if: responses.wax.ok\n  then: [{exit: x}]", None),
    (WAX + "- wait_for: a\n  if: event.id == responses.wax.id", None),
    (WAX + "- wait: {until: '{{ responses.wax.at }}'}", UNSURE.format(4)),
    (WAX + "- webhook: b\n  to: wax\n  body: {a: {$if: responses.wax.id, $then: '{{ responses.wax.id }}', $else: '{{ responses.wax.no }}'}}", UNSURE.format(4)),
    # A condition proves that there is one, and so does a template.
    (WAX + f"- if: responses.wax != blank\n  then: [{READ_WAX}]", None),
    (WAX + f"- if: responses.wax.id\n  then: [{READ_WAX}]", None),
    (WAX + f"- if: responses.wax.n > 5 and contact.id\n  then: [{READ_WAX}]", None),
    (WAX + f"- if: responses.wax.n > 5 or contact.id\n  then: [{READ_WAX}]", UNSURE.format(4)),
    (WAX + f"- if: responses.wax.id\n  else: [{READ_WAX}]", UNSURE.format(4)),
    (WAX + "- if: responses.wax == blank\n  then: [{exit: x}]\n" + SMS, None),
    (WAX + f"- switch: responses.wax.id\n  cases: {{a: [{READ_WAX}]}}", None),
    (WAX + "- sms: a\n  text: '{% if responses.wax %}{{ responses.wax.id }}{% endif %}{{ responses.wax.id | default: 1 }}'", None),
    (WAX + "- sms: a\n  text: '{% assign wax = responses.wax %}{{ wax.id }}'", UNSURE.format(4)),
    (WAX + "- sms: a\n  text: '{% for line in responses.wax.lines %}{{ line }}{% endfor %}'", UNSURE.format(4)),
    # One is proven only until its step begins again, and one that proves another proves nothing of it.
    (WAX + WAX.replace(": wax\n", ": again\n", 1) + SMS, UNSURE.format(4)),
    (WAX + "- if: responses.wax.id\n  else: [{exit: x}]\n" + WAX.replace(": wax\n", ": again\n", 1) + SMS, UNSURE.format(4)),
    (WAX + WAX.replace("wax", "b") + f"- if: responses.b.id\n  then: [{READ_WAX}]", UNSURE.format(4)),
    (WAX + "- if: responses.wax.id\n  else: [{exit: x}]\n- repeat: {every: 1d, times: 2}\n  steps: [{sms: b, text: hi}]\n" + SMS, None),
    (WAX + f"- if: responses.wax.id\n  else: [{{exit: x}}]\n- repeat: {{every: 1d, times: 2}}\n  steps: [{READ_WAX}, {{webhook: c, to: wax, save: {{as: wax}}}}]", UNSURE.format(4)),
    # A step that requires one ends without it only if it says so.
    (REQUIRED + SMS, None),
    (REQUIRED.replace("}", "}\n  on_failure: exit") + SMS, None),
    (REQUIRED.replace("}", "}\n  on_failure: continue") + SMS, UNSURE.format(4)),
    (REQUIRED.replace("}", "}\n  on_unknown: continue") + SMS, UNSURE.format(4)),
    (REQUIRED.replace("}", "}\n  expires: 2d") + SMS, UNSURE.format(4)),
    (TYPED + ASKED_SMS, None),
    (TYPED + SMS, UNSURE.format(4)),
    (TYPED + ASKED_SMS.replace(".id", ".idd"), "error unknown-field: 'responses.wax' has no field 'idd': did you mean 'id'?"),
    (TYPED + ASKED_SMS.replace(".id", ".nowhere"), "warning unknown-field: 'responses.wax' has no field 'nowhere' by its schema"),
    (TYPED + ASKED_SMS.replace(".id", ".id.value"), "error no-object: 'responses.wax.id' is a text, it has no field 'value'"),
    (TYPED + ASKED_SMS.replace(".id", ".queued.x"), "error no-object: 'responses.wax.queued' is true or false, it has no field 'x'"),
    (TYPED + ASKED_SMS.replace(".id", ".lines.sku"), "error list-field: 'responses.wax.lines' is a list, it has no field 'sku': loop over it, take responses.wax.lines.first.sku, or ask responses.wax.lines | has: 'sku', 'x'"),
    (TYPED + ASKED_SMS.replace(".id", ".more.anything"), None),
    (TYPED + ASKED_SMS.replace(".id", ".any.anything"), None),
    (TYPED + ASKED_SMS.replace(".id", ".one.nam"), "error unknown-field: 'responses.wax.one' has no field 'nam': did you mean 'name'?"),
    (TYPED + WAX.replace(": wax\n", ": again\n", 1) + ASKED_SMS.replace(".id", ".idd"), None),
    ("- if: contact.id\n  then:\n" + "".join(f"  {line}\n" for line in TYPED.splitlines()) + "  else: [{webhook: b, to: b, save: {as: wax, schema: {properties: {ref: {}}}}}]\n" + ASKED_SMS.replace(".id", ".ref"), None),
)  # fmt: skip


@pytest.mark.parametrize(("steps", "finding"), RESPONSES, ids=[steps for steps, _ in RESPONSES])
def test_a_response_is_there_behind_the_step_that_keeps_it(steps: str, finding: str | None):
    assert findings(steps) == ([] if finding is None else [finding])


def test_the_check_of_many_responses_takes_time_in_proportion(monkeypatch: pytest.MonkeyPatch):
    lines: list[Path] = []
    find = Report.line

    def count(report: Report, path: Path) -> int:
        lines.append(path)
        return find(report, path)

    monkeypatch.setattr(Report, "line", count)
    asked = "".join(
        WAX.replace("wax", f"wax{n}") + ASKED_SMS.replace("wax", f"wax{n}").replace(": a", f": a{n}") + "\n"
        for n in range(100)
    )
    assert findings(asked) == []
    assert len(lines) <= 200


def test_an_exit_rule_may_ask_for_any_response_and_an_entry_rule_for_none():
    def report(head: str) -> list[str]:
        text = f"scenario: a\ntrigger: order\n{head}\nsteps:\n{WAX}"
        return [str(finding).removeprefix("scenario.yaml:") for finding in check(text).findings]

    assert report("exit: [{event: x, if: responses.wax.id == event.id}]") == []
    assert report("exit: [{event: x, if: responses.wix.id == event.id}]") == [
        "3:33: error unknown-response: no step saves a response as 'wix': did you mean 'wax'?"
    ]
    assert report("entry: {if: responses.wax.id}") == [
        "3:23: error unknown-response: no step before this one saves a response as 'wax': the one on line 5 comes later, or on another way"
    ]


OUT_OF_SCOPE = "error out-of-scope: 'journey.{}' is there only in {}"
NO_CALLBACK = OUT_OF_SCOPE.format("callback_url", "an email, sms or webhook step")
NO_UNSUBSCRIBING = OUT_OF_SCOPE.format("unsubscribe_url", "an email or sms step of a marketing scenario")
NOT_MADE = "warning unknown-field: 'j' has no field '{0}': an address is made only where 'journey.{0}' is written out"
URLS = (
    ("- email: a\n  subject: s\n  html: '{{ journey.callback_url }} {{ journey.unsubscribe_url }}'", "", None),
    ("- sms: a\n  text: '{{ journey.callback_url }} {{ journey.unsubscribe_url }}'", "", None),
    ("- webhook: a\n  to: b\n  headers: {X-Back: '{{ journey.callback_url }}'}\n  body: {a: '{{ journey.callback_url }}'}", "", None),
    ("- if: journey.callback_url\n  then: [{exit: x}]", "", NO_CALLBACK),
    ("- sms: a\n  text: '{% assign j = journey %}{{ j.callback_url }}'", "", NOT_MADE.format("callback_url")),
    ("- webhook: a\n  to: b\n  body: {$let: {j: '{{ journey }}'}, $in: {id: '{{ j.id }}', back: '{{ j.callback_url }}'}}", "", NOT_MADE.format("callback_url")),
    ("- sms: a\n  text: '{% assign u = journey.callback_url %}{{ u }}{{ journey[\"callback_url\"] }}'", "", None),
    ("- sms: a\n  text: '{{ journey.callback }}'", "", "error unknown-field: 'journey' has no field 'callback': did you mean 'callback_url'?"),
    ("- sms: a\n  text: '{{ journey.zzz }}'", "", "error unknown-field: 'journey' has no field 'zzz'"),
    ("- sms: a\n  text: '{{ journey.unsubscribe_url }}'", "purpose: transactional", NO_UNSUBSCRIBING),
    ("- webhook: a\n  to: b\n  body: {a: '{{ journey.unsubscribe_url }}'}", "", NO_UNSUBSCRIBING),
    ("- if: journey.unsubscribe_url\n  then: [{exit: x}]", "", NO_UNSUBSCRIBING),
    ("- sms: a\n  text: '{% assign j = journey %}{{ j.unsubscribe_url }}'", "", NOT_MADE.format("unsubscribe_url")),
)  # fmt: skip


@pytest.mark.parametrize(("steps", "head", "finding"), URLS)
def test_only_messages_have_a_callback_url_and_only_marketing_an_unsubscribe_url(
    steps: str, head: str, finding: str | None
):
    assert findings(steps, head=head) == ([] if finding is None else [finding])
