"""What is shown of secrets, destinations and ids: everything else is compared with real journeys in `tests/e2e`."""

import json
import re
from pathlib import Path

import pytest

from activities.webhook.channel import RenderedRequest
from activities.webhook.destinations.reading import read
from gateway.errors import BadInput
from gateway.preview.contact import PreviewInputs, preview
from gateway.preview.rendering import MessageRenderer
from scenario.errors import EntryError
from tests.gateway.preview.conftest import AT, Drafts, Follow

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
def test_a_secret_is_shown_by_its_name_wherever_it_stands(follow: Follow, content: str) -> None:
    made = request(follow(WEBHOOK % content).steps[0].result)
    assert made.url == "wax:/~~OTHER~~/messages"
    assert made.headers["x-other"] == "k ~~OTHER~~"
    assert b"~~OTHER~~" in made.body


def test_a_destination_brings_its_url_and_headers(follow: Follow, tmp_path: Path) -> None:
    (tmp_path / "destinations.yaml").write_text(BOOK)
    given = PreviewInputs(at=AT, renderer=MessageRenderer(book=read(tmp_path / "destinations.yaml")))
    made = request(follow(WEBHOOK % "json", given=given).steps[0].result)
    assert made.url == "https://api.wax.example/v1/~~OTHER~~/messages"
    assert made.headers["authorization"] == "Bearer ~~WAX_TOKEN~~"
    assert made.attempt_headers == ("webhook-timestamp", "webhook-signature", "traceparent")


def test_ids_and_callback_addresses_are_as_long_as_real_ones_and_open_nothing(follow: Follow) -> None:
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
def test_a_url_is_shown_as_it_is_called_or_why_it_is_not(follow: Follow, url: str, shown: str) -> None:
    (step,) = follow(f"steps:\n  - webhook: w\n    url: {url}\n").steps
    assert (step.reason or request(step.result).url).startswith(shown)
    assert step.outcome == ("sent" if step.problem is None else "held")


def test_an_entry_that_cannot_be_read_is_no_preview(drafted: Drafts) -> None:
    made = drafted("steps: [{wait: 1d}]\n")
    with pytest.raises(EntryError, match=r"needs its data under 'trigger\.order'"):
        preview(made, {"scenario": "a", "contact": {"id": 1}, "trigger": {"type": "order"}}, PreviewInputs())
    with pytest.raises(BadInput, match="a is entered by 'order', and the entry's trigger is 'birthday'"):
        preview(made, {"scenario": "a", "contact": {"id": 1}, "trigger": {"type": "birthday"}}, PreviewInputs())


def test_a_contact_that_would_be_refused_is_shown_all_the_same(follow: Follow) -> None:
    shown = follow("entry: {key: '{{ order.currency }}'}\nsteps:\n  - sms: s\n    text: hello\n")
    assert shown.refused == "the key of a is empty for this entry"
    assert [step.outcome for step in shown.steps] == ["sent"]


def test_an_entry_for_another_scenario_is_shown_as_one_for_this(follow: Follow) -> None:
    shown = follow("scenario: b\ntrigger: order\nsteps:\n  - sms: s\n    text: '{{ journey.id }}'\n")
    assert shown.journey == "b/7"
    assert shown.notes == ("the entry is for 'a': shown as if it were for 'b'",)
