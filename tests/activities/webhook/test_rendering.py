"""A webhook is rendered as its step says: its address, its headers and the kind of its body."""

from typing import Any

import pytest

from activities.webhook.rendering import render
from scenario.errors import LimitExceeded, MissingVariable, TemplateError
from scenario.steps.webhook import Webhook

DATA: dict[str, Any] = {
    "contact": {"id": "7/8", "lastname": 'O"Neil & Söhne', "tags": ["a b", "c"], "notes": None, "long": "x" * 1000},
    "order": {"total_price": 12.5},
}


def webhook(**keys: Any) -> Webhook:
    return Webhook.model_validate({"webhook": "a", **keys}, by_alias=True, by_name=False)


BODIES = (
    ("json", {"n": "{{ order.total_price }}"}, b'{"n":12.5}', "application/json"),
    ("json", '{"n": "{{ contact.lastname }}"}', '{"n": "O\\"Neil & Söhne"}'.encode(), "application/json"),
    (
        "form",
        {"n": "{{ contact.lastname }}", "tags": "{{ contact.tags }}", "none": "{{ contact.notes }}", "x": 1},
        b"n=O%22Neil+%26+S%C3%B6hne&tags=a+b&tags=c&none=&x=1",
        "application/x-www-form-urlencoded",
    ),
    ("form", {"a": {"$if": "order.total_price > 20", "$then": "b"}}, b"", "application/x-www-form-urlencoded"),
    ("text", "{{ contact.lastname }}\n", 'O"Neil & Söhne\n'.encode(), "text/plain; charset=utf-8"),
)


@pytest.mark.parametrize(("content", "body", "sent", "kind"), BODIES)
def test_a_body_is_written_as_its_content_says(content: str, body: Any, sent: bytes, kind: str):
    rendered = render(webhook(to="crm", content=content, body=body), DATA, "msg_1")

    assert rendered.body == sent
    assert rendered.headers["content-type"] == kind


def test_without_a_body_nothing_is_said_of_it_and_who_says_otherwise_is_heard():
    assert "content-type" not in render(webhook(to="crm"), DATA, "msg_1").headers
    step = webhook(to="crm", content="text", body="<a/>", headers={"Content-Type": "application/xml"})
    assert {name.lower(): value for name, value in render(step, DATA, "msg_1").headers.items()}[
        "content-type"
    ] == "application/xml"


@pytest.mark.parametrize(
    ("content", "body"),
    [
        ("json", {"$for": "i in (1..300)", "$each": "{{ contact.long }}"}),
        ("form", {"a": "{% for i in (1..300) %}{{ contact.long }}{% endfor %}"}),
        ("form", {"a": "{% for i in (1..100) %}ééééééééééééééééééééééééééééééééééééééé{% endfor %}" * 15}),
        ("text", "{% for i in (1..300) %}{{ contact.long }}{% endfor %}"),
    ],
)
def test_a_body_of_more_than_256_kb_is_refused_before_it_is_sent(content: str, body: Any):
    with pytest.raises((LimitExceeded, TemplateError), match="the body is larger than 256 KB"):
        render(webhook(to="crm", content=content, body=body), DATA, "msg_1")


@pytest.mark.parametrize("name", ["Host", "X-Goog-Thing"])
def test_a_scenario_s_header_that_is_ours_to_set_goes_nowhere(name: str):
    with pytest.raises(TemplateError):
        render(webhook(to="crm", headers={name: "x"}), DATA, "msg_1")


ADDRESSES = (
    ({"url": "https://x.example/a/{{ contact.id }}"}, None, "https://x.example/a/7%2F8"),
    ({"to": "crm"}, None, ""),
    ({"to": "crm"}, "https://crm.example/v1/", "https://crm.example/v1/"),
    ({"to": "crm", "path": "/a/{{ contact.id }}?q={{ contact.tags[0] }}"}, None, "/a/7%2F8?q=a%20b"),
    ({"to": "crm", "path": "/a"}, "https://crm.example/v1", "https://crm.example/v1/a"),
    ({"to": "crm", "path": "/a"}, "https://crm.example/v1/", "https://crm.example/v1/a"),
)


@pytest.mark.parametrize(("keys", "base", "url"), ADDRESSES)
def test_an_address_is_the_steps_own_or_a_path_behind_its_destinations(
    keys: dict[str, str], base: str | None, url: str
):
    assert render(webhook(**keys), DATA, "msg_1", base).url == url


def test_data_cannot_lead_a_path_elsewhere():
    for segment in ("", "..", "."):
        with pytest.raises(TemplateError, match=r"empty, '\.' or '\.\.'"):
            render(webhook(to="crm", path="/a/{{ contact.id }}/b"), {"contact": {"id": segment}}, "msg_1")


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"headers": {"X-Name": "{{ contact.nobody }}"}}, "the header 'X-Name': there is no 'contact.nobody'"),
        ({"path": "/a/{{ contact.nobody }}"}, "the path: there is no 'contact.nobody'"),
        ({"to": None, "url": "https://x.example/{{ contact.nobody }}"}, "the url: there is no 'contact.nobody'"),
        ({"body": {"a": [{"b": "{{ contact.nobody }}"}]}}, "the body: a[0].b: there is no 'contact.nobody'"),
        ({"body": '{"a": "{{ contact.nobody }}"}'}, "the body: there is no 'contact.nobody'"),
    ],
)
def test_what_cannot_be_rendered_says_of_which_text_its_line_is(keys: dict[str, Any], said: str):
    with pytest.raises(MissingVariable) as caught:
        render(webhook(**{name: value for name, value in ({"to": "crm"} | keys).items() if value}), DATA, "msg_1")
    assert str(caught.value).startswith(said)
    assert caught.value.path == ("contact", "nobody")


PEOPLE = {"people": {"$for": "person in contacts", "$each": {"id": "{{ person.contact.id }}", "at": "{{ now }}"}}}
NOW: dict[str, Any] = {"now": "2026-03-02T10:00:00+00:00", "today": "2026-03-02", "secrets": {}}


def test_a_batch_of_one_is_rendered_like_any_batch_and_a_large_one_has_room():
    step = webhook(to="crm", batch={"size": 10_000, "within": "1m"}, body=PEOPLE)
    item = {"contact": {"id": "7"}, "journey": {}}
    alone = render(step, {**item, **NOW}, "msg_1").body
    assert alone == b'{"people":[{"id":"7","at":"2026-03-02T10:00:00+00:00"}]}'
    assert render(step, {"contacts": [item], **NOW}, "msg_1").body == alone
    many = render(step, {"contacts": [item] * 10_000, **NOW}, "msg_1").body
    assert len(many) > 400_000
    large = {"contact": {"id": "x" * 1_000}}
    with pytest.raises(LimitExceeded, match=r"8,192 KB|8,388,608 characters"):
        render(step, {"contacts": [large] * 10_000, **NOW}, "msg_1")
