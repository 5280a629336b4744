"""The way that a contact would take, and what is shown of secrets, destinations and ids.

Everything else is compared with real journeys in `tests/e2e`.
"""

import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from activities.webhook.channel import RenderedRequest
from activities.webhook.destinations.reading import read
from gateway.errors import BadInput
from gateway.preview.contact import PreviewInputs, preview
from gateway.preview.rendering import MessageRenderer
from gateway.preview.walk import GivenEvent
from scenario.errors import EntryError
from scenario.policies.draw import Holdout
from scenario.policies.policies import Policies
from scenario.source.source import Source
from tests.gateway.preview.conftest import AT, Drafts, Follow, Reported

CASES: dict[str, dict[str, Any]] = Source(Path(__file__).with_name("walks.yaml").read_text("utf-8")).data
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


@pytest.mark.parametrize("name", CASES, ids=[*CASES])
def test_the_way_of_a_contact(follow: Follow, reported: Reported, name: str):
    case = CASES[name]
    given = PreviewInputs(
        at=datetime.fromisoformat(case["at"]) if "at" in case else AT,
        events=[GivenEvent(**event) for event in case.get("events", ())],
        responses=case.get("responses", {}),
        platform_zone="Europe/Paris",
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
    given = PreviewInputs(at=AT, platform_zone="Europe/Paris", policies=Policies(holdout=holdout))
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
