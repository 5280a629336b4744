"""The way that a contact would take; made-up contacts and responses, and which failures count."""

import json
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import pytest

from activities.webhook.channel import RenderedRequest
from activities.webhook.destinations.reading import read
from authoring.errors import BadInput
from authoring.preview import worst
from authoring.preview.contact import PreviewInputs, preview
from authoring.preview.rendering import MessageRenderer
from authoring.preview.responses import Replies, keep
from authoring.preview.samples import MANY, Samples
from authoring.preview.trial import attempt, simplest
from authoring.preview.walk import GivenEvent
from scenario.entry.entry import parse_entry
from scenario.entry.values import PlatformDates
from scenario.errors import EntryError
from scenario.model.parts import Save
from scenario.policies.draw import Holdout
from scenario.policies.policies import Policies
from scenario.responses import misfit
from scenario.source.source import Source
from tests.authoring.preview.conftest import AT, Drafts, Follow, Reported
from tests.factories import present

CASES: dict[str, dict[str, Any]] = Source(Path(__file__).with_name("trials.yaml").read_text("utf-8")).data


@pytest.mark.parametrize("name", CASES, ids=[*CASES])
def test_what_is_told_of_made_up_contacts(drafted: Drafts, name: str):
    case = CASES[name]
    wanted, step, fails = case.get("wanted", 30), case.get("step"), case.get("fails")
    given = PreviewInputs(at=AT, responses=case.get("responses", {}))
    made = drafted(case["scenario"])
    trial = attempt(made, wanted, seed=0, given=given, step=step, each=lambda: None)
    if fails is not None:
        failure = present(trial.failure)
        told = {"step": failure.step, "fields": [*failure.fields], "contact": [*failure.entry["contact"]]}
        told |= {"events": {one.name: [*one.properties] for one in failure.events}, "responses": failure.responses}
        assert {key: told[key] for key in fails} == fails
        # Whoever previews that contact with that response sees the same.
        given = PreviewInputs(at=AT, events=failure.events, responses=failure.responses)
        (seen,) = (one for one in preview(made, failure.entry, given).steps if one.id == failure.step)
        assert (seen.problem is None, seen.reachable) == (False, True)
        return
    assert (trial.failure, trial.rendered + trial.refused) == (None, wanted)
    assert trial.refused <= case.get("most", wanted - case.get("rendered", 0))
    missed = {name: finding and finding.message for name, finding in trial.missed.items()}
    assert missed == case.get("missed", {} if "rendered" in case else missed)
    assert trial.untaken.items() >= case.get("untaken", {}).items()
    assert trial.unmade == case.get("unmade", [])


def test_the_first_contact_that_fails_is_told_with_no_more_than_it_needs_to_fail(drafted: Drafts):
    made = drafted(CASES["a message with a mistake fails whatever follows it"]["scenario"])
    trial = attempt(made, 30, seed=0, given=PreviewInputs(at=AT), step=None, each=lambda: None)
    failure = present(trial.failure)
    assert (failure.error.line, failure.error.column, trial.rendered) == (7, 25, failure.number - 1)
    assert "a header cannot contain" in failure.error.message
    assert failure.entry.keys() == {"scenario", "contact", "trigger"}
    assert failure.entry["contact"].keys() == {"id", "firstname"}
    assert failure.entry["trigger"] == {"type": "order", "order": {}}


def test_the_same_seed_gives_the_same_and_another_one_another(drafted: Drafts):
    made = drafted(CASES["a message with a mistake fails whatever follows it"]["scenario"])
    first, again, other = ([Samples(made, seed).entry(number) for number in range(4, 12)] for seed in (0, 0, 1))
    assert first == again != other


def flat(data: Any) -> list[Any]:
    if isinstance(data, dict):
        return [item for value in cast("dict[str, Any]", data).values() for item in flat(value)]
    if isinstance(data, list):
        return [item for value in cast("list[Any]", data) for item in flat(value)]
    return [data]


def test_the_worst_values_of_every_kind_are_tried_and_let_in(drafted: Drafts):
    made = drafted("steps:\n  - sms: s\n    text: '{{ contact.custom.any }} {{ contact.shoe_size }}'\n")
    entries = [Samples(made, 0).entry(number) for number in range(1, 301)]
    trial = attempt(made, 300, seed=0, given=PreviewInputs(at=AT), step="none", each=lambda: None)
    assert (trial.rendered, trial.refused) == (300, 0)
    values = {repr(value) for entry in entries for value in flat(entry)}
    for pool in (worst.TEXTS, worst.NUMBERS, worst.IDS, worst.MOMENTS, worst.FLAGS):
        assert {repr(value) for value in pool} <= values
    assert all(parse_entry(entry).contact_id for entry in entries)
    assert any("shoe_size" in entry["contact"] for entry in entries), "unknown fields that templates name"
    lines = {len(entry["trigger"]["order"].get("products") or ()) for entry in entries}
    assert {0, 1, 2, MANY} <= lines
    assert entries[1]["contact"] == {"id": 2}, "one with nothing but an id"


REACHED = """
order.products.first.category == 'make-up'
order.products.size > 4
order.products | where: 'category', 'make-up' | size > 1
order.products | has: 'category', 'make-up'
order.products | map: 'quantity' | sum >= 12345
order.products[1].extid == 'Z9'
contact.lists | map: 'name' contains 'Newsletter'
contact.language | downcase == 'kl'
contact.custom.points | number | minus: 3 > 1000000
contact.custom.code | slice: 0, 3 == 'VIP'
contact.custom.code | size == 13
contact.custom.colours.of_the_year == 'red'
order.total_price | times: 2 | round == 98765
ticket.currency == 'XAF'
not (contact.custom.vip == 'gold' or contact.language == 'fr')
contact.custom.vip == 'gold' and (order.currency == 'XAF' or order.products | has: 'brand', 'Zz')
event.score | number >= 9
event.product.category == 'hats'
event.properties.colour == 'red' and event.properties.maker.name == 'Zz'
event.lines | map: 'sku' contains 'A'
responses.wax.user.name == 'Zoe'
responses.wax.lines.first.sku == 'A'
responses.wax.lines.size > 5
""".strip().splitlines()


def test_every_way_that_a_condition_opens_is_gone(drafted: Drafts):
    steps = ["steps:\n  - {webhook: ask, url: https://x.example/, save: {as: wax}}\n", "  - wait_for: e\n"]
    steps += [f"  - if: {json.dumps(condition)}\n    then: [{{wait: 1d}}]\n" for condition in REACHED]
    made = drafted("".join(steps))
    samples, replies = Samples(made, 0), Replies(made, 0, {})
    gone: set[tuple[str | None, str]] = set()
    for number in range(1, 100):
        entry = samples.entry(number)
        given = PreviewInputs(at=AT, events=samples.events(number, entry), responses=replies.made(number))
        gone |= {(passed.row.asked, passed.outcome) for passed in preview(made, entry, given).steps}
    assert {(condition, way) for condition in REACHED for way in ("then", "else")} - gone == set()


ENTRY: dict[str, Any] = {
    "scenario": "a",
    "contact": {"id": 1, "firstname": "aaaa'bbbb", "custom": {"x": [1, 2, {"y": "z"}]}, "lists": [{"id": 3}]},
    "trigger": {"type": "order", "order": {"products": [{"name": "plain"}, {"name": 'with "quotes"'}]}},
}
BARE: dict[str, Any] = {"scenario": "a", "contact": {"id": 1}, "trigger": {"type": "order"}}


def names(entry: dict[str, Any]) -> list[str]:
    return [row["name"] for row in entry["trigger"].get("order", {}).get("products", ()) if "name" in row]


def one_product(name: str) -> dict[str, Any]:
    return {**BARE, "trigger": {"type": "order", "order": {"products": [{"name": name}]}}}


NEEDS: list[tuple[Callable[[dict[str, Any]], bool], dict[str, Any]]] = [
    (bool, BARE),
    (lambda entry: "'" in entry["contact"].get("firstname", ""), {**BARE, "contact": {"id": 1, "firstname": "'"}}),
    (lambda entry: any('"' in name for name in names(entry)), one_product('"')),
    (lambda entry: bool(names(entry)), one_product("x")),
]


@pytest.mark.parametrize(("fails", "expected"), NEEDS)
def test_what_is_not_needed_is_left_out(fails: Callable[[dict[str, Any]], bool], expected: dict[str, Any]):
    assert simplest(ENTRY, fails, 400) == expected


def test_the_search_has_an_end():
    looked: list[dict[str, Any]] = []

    def fails(entry: dict[str, Any]) -> bool:
        looked.append(entry)
        return False

    assert simplest(ENTRY, fails, 5) == ENTRY
    assert len(looked) <= 7


SCHEMAS: dict[str, dict[str, Any]] = Source(Path(__file__).with_name("schemas.yaml").read_text("utf-8")).data


def replies(
    drafts: Drafts, schema: dict[str, Any] | None, behind: str = "", seed: int = 0, count: int = 200
) -> list[dict[str, Any]]:
    made = made_by(drafts, schema, behind, seed)
    return [made.made(number) for number in range(1, count + 1)]


def made_by(drafts: Drafts, schema: dict[str, Any] | None, behind: str = "", seed: int = 0) -> Replies:
    said = "" if schema is None else f", schema: {json.dumps(schema)}"
    text = f"steps:\n  - webhook: ask\n    url: https://x.example/\n    save: {{as: wax{said}}}\n{behind}  - wait: 1d\n"
    return Replies(drafts(text), seed, {})


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_response_fits_its_schema(drafted: Drafts, name: str):
    made = replies(drafted, SCHEMAS[name], count=80)
    values = [reply["wax"] for reply in made if reply]
    assert len(values) > 40, "some are lost, most are not"
    assert "wax" in made[0], "an ordinary one"
    assert made[1] == {}, "none"
    assert [value for value in values if misfit(value, SCHEMAS[name]) is not None] == []
    assert len({repr(value) for value in values}) > 2


def test_every_response_is_one_that_a_worker_keeps(drafted: Drafts):
    made = made_by(drafted, None, "  - sms: s\n    text: '{{ responses.wax.a.b }} {{ responses.wax.c }}'\n")
    save = Save.model_validate({"as": "wax"})
    values = [reply["wax"] for number in range(1, 201) if (reply := made.made(number))]
    assert [value for value in values if keep(save, value).value != value] == []


def test_the_worst_is_among_them(drafted: Drafts):
    schema = {
        "type": "object",
        "properties": {"text": {"type": "string"}, "list": {"type": "array", "items": {"type": "string"}}},
    }
    values = [cast("dict[str, Any]", reply["wax"]) for reply in replies(drafted, schema) if reply]
    assert {} in values, "optional fields that are missing"
    assert any(value.get("list") == [] for value in values)
    assert any(len(value.get("list", ())) > 30 for value in values)
    texts = {value["text"] for value in values if "text" in value}
    assert {"", 'Ann "Bo"'} <= texts
    assert len(texts) > len(worst.JSON) // 4
    assert values[0].keys() == {"text", "list"}, "the first has everything"
    assert replies(drafted, schema) == replies(drafted, schema) != replies(drafted, schema, seed=1)


def test_without_a_schema_there_is_what_the_scenario_names(drafted: Drafts):
    behind = """  - if: responses.wax.state == 'refused'
    then:
      - sms: s
        text: "{{ responses.wax.data.id }} {% for m in responses.wax.messages %}{{ m.body }}{% endfor %}"
"""
    values = [reply["wax"] for reply in replies(drafted, None, behind) if reply]
    first = values[0]
    assert first.keys() == {"state", "data", "messages"}
    assert [item.keys() for item in first["messages"]] == [{"body"}, {"body"}]
    objects = [cast("dict[str, Any]", value) for value in values if isinstance(value, dict)]
    assert sum(value.get("state") == "refused" for value in objects) > 20, "what is compared with comes often"
    assert any(value.get("messages") == [] for value in objects)
    assert {"[]", "'ok'", "{}"} <= {repr(value) for value in values}, "and what nobody expects"


@pytest.mark.parametrize(
    "schema", [{"not": {}}, {"type": "string", "minLength": 4, "maxLength": 3}, {"anyOf": [False]}]
)
def test_where_nothing_fits_there_is_none(drafted: Drafts, schema: dict[str, Any]):
    made = made_by(drafted, schema)
    assert [made.made(number) for number in range(1, 10)] == [{}] * 9
    assert made.unmade == ["wax"]


WALKS: dict[str, dict[str, Any]] = Source(Path(__file__).with_name("walks.yaml").read_text("utf-8")).data
MARKS = {(True, True): "{}", (False, True): "({}?)", (False, False): "({})"}


def seen(step: dict[str, Any], key: str) -> Any:
    """Return what a case says of a step."""
    match key:
        case "outcome":
            return MARKS[step["taken"], step["reachable"]].format(step["outcome"])
        case "text" | "subject":
            return step["message"][key].strip()
        case "error":
            return step["error"]["message"]
        case "place":
            return f"{step['error']['line']}:{step['error']['column']}"
        case _:
            return step.get(key)


@pytest.mark.parametrize("name", WALKS, ids=[*WALKS])
def test_the_way_of_a_contact(follow: Follow, reported: Reported, name: str):
    case = WALKS[name]
    given = PreviewInputs(
        at=datetime.fromisoformat(case["at"]) if "at" in case else AT,
        events=[GivenEvent(**event) for event in case.get("events", ())],
        responses=case.get("responses", {}),
        platform=PlatformDates("Europe/Paris"),
    )
    walked = follow(case["scenario"], given=given, order=case.get("order"), **case.get("contact", {}))
    shown = reported(walked)
    steps = {step["id"]: step for step in shown["steps"]}
    for step, said in case.get("steps", {}).items():
        wanted = {"outcome": said} if isinstance(said, str) else said
        assert {key: seen(steps[step], key) for key in wanted} == wanted, step
    assert {key: shown[key] for key in case.get("shown", ())} == case.get("shown", {})
    assert shown["notes"] == case.get("notes", shown["notes"])
    exits = {rule.event: met for rule, met in walked.exits}
    assert exits == case.get("exits", exits)


def test_who_is_held_out_is_told_so(follow: Follow, reported: Reported):
    holdout = Holdout.model_validate({"share": 99, "seed": "q4"})
    given = PreviewInputs(at=AT, platform=PlatformDates("Europe/Paris"), policies=Policies(holdout=holdout))
    text = "steps:\n  - sms: offer\n    text: hi\n"
    assert reported(follow(text, given=given))["withheld"]["outcome"] == "holdout"


def test_a_text_of_another_file_is_pointed_at_in_that_file(follow: Follow, reported: Reported, tmp_path: Path):
    (tmp_path / "body.json").write_text('{"a": 1,\n "b": "{{ contact.shoe_size }}"}')
    shown = follow("steps:\n  - webhook: w\n    url: https://x.example/\n    body: {file: body.json}\n")
    error = reported(shown)["steps"][0]["error"]
    assert (error["file"], error["line"], error["column"]) == (str(tmp_path / "body.json"), 2, 11)


WEBHOOK = """steps:
  - webhook: w
    to: wax
    path: /{{ secrets.OTHER }}/messages
    content: %s
    headers: {X-Other: "k {{ secrets.OTHER }}"}
    body: {token: "{{ secrets.OTHER }}", back: "{{ journey.callback_url }}"}
"""
BOOK = """destinations:
  wax:
    url: https://api.wax.example/v1
    headers: {Authorization: "Bearer {{ secrets.WAX_TOKEN }}"}
    signing: [{key: WAX_SIGNING_KEY}]
"""


def request(shown: object) -> RenderedRequest:
    assert isinstance(shown, RenderedRequest)
    return shown


@pytest.mark.parametrize("content", ["json", "form"])
def test_a_secret_is_shown_by_its_name_wherever_it_stands(follow: Follow, content: str):
    made = request(follow(WEBHOOK % content).steps[0].result)
    assert made.url == "wax:/~~OTHER~~/messages"
    assert made.headers["x-other"] == "k ~~OTHER~~"
    assert b"~~OTHER~~" in made.body


def test_a_destination_brings_its_url_and_headers(follow: Follow, tmp_path: Path):
    (tmp_path / "destinations.yaml").write_text(BOOK)
    given = PreviewInputs(at=AT, renderer=MessageRenderer(book=read(tmp_path / "destinations.yaml")))
    made = request(follow(WEBHOOK % "json", given=given).steps[0].result)
    assert made.url == "https://api.wax.example/v1/~~OTHER~~/messages"
    assert made.headers["authorization"] == "Bearer ~~WAX_TOKEN~~"
    assert made.attempt_headers == ("webhook-timestamp", "webhook-signature", "traceparent")


def test_ids_and_callback_addresses_are_as_long_as_real_ones_and_open_nothing(follow: Follow):
    made = request(follow(WEBHOOK % "json").steps[0].result)
    assert re.fullmatch(r"msg_preview[0-9a-f]{25}", made.headers["webhook-id"])
    token = json.loads(made.body)["back"].rpartition("/")[2]
    assert re.fullmatch(r"preview0{60,}", token)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://X.example?a=100%", "https://x.example/?a=100%25"),
        (
            "https://x.example/?{% for i in (1..9999) %}x{% endfor %}",
            "the URL may not be called: it is longer than 8000",
        ),
    ],
)
def test_a_url_is_shown_as_it_is_called_or_why_it_is_not(follow: Follow, url: str, shown: str):
    (step,) = follow(f"steps:\n  - webhook: w\n    url: {url}\n").steps
    assert (step.reason or request(step.result).url).startswith(shown)
    assert step.outcome == ("sent" if step.problem is None else "held")


def test_an_entry_that_cannot_be_read_is_no_preview(drafted: Drafts):
    made = drafted("steps: [{wait: 1d}]\n")
    with pytest.raises(EntryError, match=r"needs its data under 'trigger\.order'"):
        preview(made, {"scenario": "a", "contact": {"id": 1}, "trigger": {"type": "order"}}, PreviewInputs())
    with pytest.raises(BadInput, match="a is entered by 'order', and the entry's trigger is 'birthday'"):
        preview(made, {"scenario": "a", "contact": {"id": 1}, "trigger": {"type": "birthday"}}, PreviewInputs())


def test_a_contact_that_would_be_refused_is_shown_all_the_same(follow: Follow):
    shown = follow("entry: {key: '{{ order.currency }}'}\nsteps:\n  - sms: s\n    text: hello\n")
    assert shown.refused == "the key of a is empty for this entry"
    assert [step.outcome for step in shown.steps] == ["sent"]


def test_an_entry_for_another_scenario_is_shown_as_one_for_this(follow: Follow):
    shown = follow("scenario: b\ntrigger: order\nsteps:\n  - sms: s\n    text: '{{ journey.id }}'\n")
    assert shown.journey == "b/7"
    assert shown.notes == ("the entry is for 'a': shown as if it were for 'b'",)
