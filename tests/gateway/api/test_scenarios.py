"""Scenarios over HTTP: checked, previewed, published, listed, looked at, closed and opened."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from authoring.preview.contact import PreviewInputs, preview, report
from authoring.preview.draft import draft
from authoring.preview.rendering import TemplateLocator
from authoring.publishing import ScenarioFile, publish
from gateway.api.authoring import Previewed
from scenario.entry.values import PlatformDates
from tests.factories import present
from tests.gateway.api.conftest import HELLO, Door

EXAMPLES = Path(__file__).parents[3] / "examples"
POST_PURCHASE = EXAMPLES / "post-purchase.yaml"
MAIL = """
scenario: welcome
trigger: contact_created
steps:
  - email: welcome
    subject: Welcome
    html: {file: mails/welcome.html}
    text: Hello
"""
YAML = {"content-type": "application/yaml"}


def scenario(name: str, text: str = "Hello") -> str:
    return HELLO.replace("hello", name, 1).replace("Hello", text)


async def put(door: Door, name: str, text: str = "Hello", query: str = ""):
    return await door.call("PUT", f"/scenarios/{name}{query}", content=scenario(name, text), headers=YAML)


async def test_what_is_put_is_published(door: Door):
    for text, query, version, newest, before, difference in (
        ("Hello", "", 1, 1, None, None),
        ("Hello", "", 1, 1, None, None),
        ("Good day", "", 2, 2, 1, "changed: hello (text)"),
        ("Hello", "", 1, 2, None, None),
        ("Hello", "?newest=true", 3, 3, 2, "changed: hello (text)"),
        ("Hello", "?journeys=follow", 4, 4, 3, "nothing is different for a journey"),
    ):
        made = await put(door, "hello", text, query)
        expected = ("hello", version, newest, before, difference)
        assert tuple(made[name] for name in ("scenario", "version", "newest", "before", "difference")) == expected


async def test_a_file_makes_the_same_version_over_http_as_by_the_command(door: Door):
    await publish(POST_PURCHASE, door.store)
    mails = {f"mails/{file.name}": file.read_text() for file in (EXAMPLES / "mails").glob("*")}
    body = {"source": POST_PURCHASE.read_text(), "files": mails}
    made = await door.call("PUT", "/scenarios/post-purchase", json=body)
    assert (made["version"], made["newest"]) == (1, 1)


async def test_files_come_with_the_request(door: Door):
    body = {"source": MAIL, "files": {"./mails/welcome.html": "\ufeff<p>Hello\r\n{{ contact.firstname }}</p>"}}
    await door.call("PUT", "/scenarios/welcome", json=body)
    shown = await door.call("GET", "/scenarios/welcome")
    assert shown["document"]["steps"][0]["html"] == "<p>Hello\n{{ contact.firstname }}</p>"
    problem = await door.call("PUT", "/scenarios/welcome", json={"source": MAIL}, status=422)
    detail = "'mails/welcome.html' cannot be read: it is not among the files that were sent"
    place = {"pointer": "/source", "file": "welcome.yaml", "line": 7, "column": 18}
    assert problem["errors"] == [{"code": "file", "detail": detail, **place}]


async def test_no_file_of_the_server_is_read(door: Door, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(EXAMPLES)
    files = {"../../etc/passwd": "x", "/etc/passwd": "x"}
    for path in (*files, "mails/thank-you.html", "pyproject.toml"):
        body = {"source": MAIL.replace("mails/welcome.html", path), "files": files}
        problem = await door.call("PUT", "/scenarios/welcome", json=body, status=422)
        assert [error["code"] for error in problem["errors"]] == ["file"]
        found = await door.call("POST", "/check", json=body)
        assert [one["code"] for one in found["findings"] if one["severity"] == "error"] == ["file"]


async def test_mistakes_have_places(door: Door):
    text = HELLO.replace("sms:", "smss:")
    problem = await door.call("PUT", "/scenarios/hello", content=text, headers=YAML, status=422)
    assert problem["detail"] == "the scenario has 1 mistake: nothing was published"
    [error] = problem["errors"]
    assert (error["pointer"], error["line"], error["column"], error["code"]) == ("", 4, 5, "unknown-step")
    body = {"source": MAIL, "files": {"mails/welcome.html": "<p>{{ contact.firstname </p>"}}
    [error] = (await door.call("PUT", "/scenarios/welcome", json=body, status=422))["errors"]
    assert (error["pointer"], error["file"]) == ("/files/mails~1welcome.html", "mails/welcome.html")
    assert await door.store.scenarios() == []


async def test_bodies_of_other_forms_are_refused(door: Door):
    json_ = {"content-type": "application/json"}
    for headers, content, status in (
        ({"content-type": "text/plain"}, "scenario: x", 415),
        ({}, "scenario: x", 415),
        (YAML, b"\xff\xfe", 400),
        (json_, "{", 400),
        (json_, '{"source": 1, "file": {}}', 422),
        (json_, '{"source": "a: \\ud800"}', 400),
    ):
        await door.call("PUT", "/scenarios/hello", content=content, headers=headers, status=status)


async def test_lists_go_on_where_the_page_ended(door: Door):
    for name in ("a-b", "a", "ab", "b"):
        await put(door, name)
    pages = await door.pages("/scenarios", limit=3)
    assert [[item["scenario"] for item in page] for page in pages] == [["a", "a-b", "ab"], ["b"]]
    await put(door, "b", "Other")
    listed = await door.call("GET", "/scenarios?scenario=b")
    assert [(item["version"], item["newest"], item["published_by"][:4]) for item in listed["items"]] == [
        (2, True, "key "),
        (1, False, "key "),
    ]


async def test_a_version_is_shown_with_its_plan(door: Door):
    await put(door, "hello")
    await put(door, "hello", "Other")
    shown = await door.call("GET", "/scenarios/hello?version=1")
    assert shown["version"]["newest"] is False
    assert shown["document"]["steps"][0]["text"] == "Hello"
    assert shown["steps"] == [{"id": "hello", "kind": "sms", "what": "sms"}]
    assert [item["version"] for item in shown["versions"]] == [2, 1]
    problem = await door.call("GET", "/scenarios/hello?version=3", status=404)
    assert problem["detail"] == "there is no version 3 of hello: its newest is hello@2"


async def test_a_scenario_is_closed_and_opened(door: Door):
    await put(door, "hello")
    closed = await door.call("POST", "/scenarios/hello/close", json={"reason": "sold out"})
    assert (closed["changed"], closed["closed"]["reason"]) == (True, "sold out")
    again = await door.call("POST", "/scenarios/hello/close", json={"reason": "again"})
    assert (again["changed"], again["closed"]) == (False, closed["closed"])
    assert (await door.call("GET", "/scenarios/hello"))["version"]["closed"] == closed["closed"]
    assert await door.call("POST", "/scenarios/hello/open") == {"scenario": "hello", "changed": True, "closed": None}
    assert (await door.call("POST", "/scenarios/hello/open"))["changed"] is False


FILES = {"mails/thank-you.html": (EXAMPLES / "mails" / "thank-you.html").read_text()}
SOURCE: dict[str, Any] = {"source": POST_PURCHASE.read_text(), "files": FILES}
ENTRY: dict[str, Any] = json.loads((EXAMPLES / "entries" / "post-purchase.json").read_text())
AT = "2026-03-03T10:00:00+01:00"


async def test_a_check_finds_what_the_command_finds(door: Door):
    text = HELLO.replace("Hello", "'{{ contact.firstnam }}'\n    retries: 1")
    found = await door.call("POST", "/check", json={"source": text})
    assert found["ok"] is False
    _, findings = draft(ScenarioFile.sent(text))
    assert found["findings"] == [finding.as_json() for finding in findings]
    assert {(one["file"], one["line"]) for one in found["findings"]} == {("scenario.yaml", 5), ("scenario.yaml", 6)}
    yaml = {"content-type": "application/yaml; charset=utf-8"}
    assert await door.call("POST", "/check", content=text, headers=yaml) == found
    assert (await door.call("POST", "/check", json=SOURCE))["ok"] is True


async def test_a_preview_shows_what_the_command_shows(door: Door):
    body: dict[str, Any] = {**SOURCE, "entry": ENTRY, "at": AT}
    events = [{"name": "order.delivered", "properties": {"order_id": "CGX0094"}}]
    told = {"events": events, "responses": {"whatsapp": {"id": "7"}}}
    shown = await door.call("POST", "/preview", json=body | told)
    assert [step["id"] for step in shown["steps"] if step["taken"]][:2] == ["thank-you", "wait-2"]
    made = present(draft(POST_PURCHASE)[0])
    inputs = PreviewInputs(at=datetime.fromisoformat(AT), platform=PlatformDates("Europe/Paris"))
    expected = report(preview(made, ENTRY, inputs), TemplateLocator(made.file))
    plain = await door.call("POST", "/preview", json=body)
    assert {key: plain[key] for key in expected} == expected
    only = await door.call("POST", "/preview", json={**body, "step": "thank-you"})
    assert [step["id"] for step in only["steps"]] == ["thank-you"]
    await publish(POST_PURCHASE, door.store)
    for name in ("post-purchase", "post-purchase@1"):
        shown = await door.call("POST", "/preview", json={"scenario": name, "entry": ENTRY, "at": AT})
        assert shown["steps"] == plain["steps"], "what is published is previewed as the file is"
    for name in ("post-purchase@2", "nobody"):
        await door.call("POST", "/preview", json={"scenario": name, "entry": ENTRY}, status=404)


async def test_a_preview_names_the_outputs_that_printed_nothing(door: Door):
    steps = "  - sms: hi\n    text: 'Hello {{ contact.nickname }}!'\n"
    source = f"scenario: post-purchase\ntrigger: order\npurpose: transactional\nsteps:\n{steps}"
    entry = {**ENTRY, "contact": {**ENTRY["contact"], "cellphone": "+33612345678"}}
    shown = await door.call("POST", "/preview", json={"source": source, "entry": entry, "at": AT})
    (step,) = shown["steps"]
    assert step["message"]["text"] == "Hello !"
    assert Previewed.model_validate(shown).steps[0].message == step["message"], "the reference describes it"
    assert step["empty"] == [{"output": "contact.nickname", "file": "scenario.yaml", "line": 6, "column": 21}]


async def test_what_cannot_be_shown_is_said(door: Door):
    wrong: list[tuple[str, Any, str]] = [("entry", {}, '"pointer": "/entry'), ("step", "thank-yuo", "'thank-you'?")]
    for name, value, said in wrong:
        problem = await door.call("POST", "/preview", json={**SOURCE, "entry": ENTRY, name: value}, status=422)
        assert said in json.dumps(problem)
    shown = await door.call("POST", "/preview", json={"source": "scenario: hello\n", "entry": ENTRY})
    assert (shown["steps"], {one["severity"] for one in shown["findings"]}) == ([], {"error"})
