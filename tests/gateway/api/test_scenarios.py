"""Scenarios over HTTP: published, listed, looked at, closed and opened."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.publishing import publish
from tests.gateway.api.doors import Door

EXAMPLES = Path(__file__).parents[3] / "examples"
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
    return f"scenario: {name}\ntrigger: order\nsteps:\n  - sms: hello\n    text: {text}\n"


async def put(door: Door, name: str, text: str = "Hello", *, status: int = 200, query: str = ""):
    return await door.call(
        "PUT", f"/scenarios/{name}{query}", content=scenario(name, text), headers=YAML, status=status
    )


async def test_what_is_put_is_published(door: Door):
    made = await put(door, "hello")
    assert (made["scenario"], made["version"], made["newest"], made["before"]) == ("hello", 1, 1, None)
    assert (await put(door, "hello"))["version"] == 1
    made = await put(door, "hello", "Good day")
    assert (made["version"], made["before"], made["difference"]) == (2, 1, "changed: hello (text)")
    made = await put(door, "hello")
    assert (made["version"], made["newest"]) == (1, 2)
    made = await put(door, "hello", query="?newest=true")
    assert (made["version"], made["newest"]) == (3, 3)
    made = await put(door, "hello", query="?journeys=follow")
    assert made["version"] == 4


async def test_a_file_makes_the_same_version_over_http_as_by_the_command(door: Door):
    path = EXAMPLES / "post-purchase.yaml"
    await publish(path, door.store)
    mails = {f"mails/{file.name}": file.read_text() for file in (path.parent / "mails").glob("*")}
    made = await door.call("PUT", "/scenarios/post-purchase", json={"source": path.read_text(), "files": mails})
    assert (made["version"], made["newest"]) == (1, 1)


async def test_files_come_with_the_request(door: Door):
    body = {"source": MAIL, "files": {"./mails/welcome.html": "\ufeff<p>Hello\r\n{{ contact.firstname }}</p>"}}
    await door.call("PUT", "/scenarios/welcome", json=body)
    shown = await door.call("GET", "/scenarios/welcome")
    assert shown["document"]["steps"][0]["html"] == "<p>Hello\n{{ contact.firstname }}</p>"
    problem = await door.call("PUT", "/scenarios/welcome", json={"source": MAIL}, status=422)
    assert problem["errors"] == [
        {
            "pointer": "/source",
            "code": "file",
            "detail": "'mails/welcome.html' cannot be read: it is not among the files that were sent",
            "file": "welcome.yaml",
            "line": 7,
            "column": 18,
        }
    ]


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
    text = "scenario: hello\ntrigger: order\nsteps:\n  - smss: hello\n    text: Hello\n"
    problem = await door.call("PUT", "/scenarios/hello", content=text, headers=YAML, status=422)
    assert problem["detail"] == "the scenario has 1 mistake: nothing was published"
    assert [(error["pointer"], error["line"], error["column"], error["code"]) for error in problem["errors"]] == [
        ("", 4, 5, "unknown-step")
    ]
    html = "<p>{{ contact.firstname </p>"
    body = {"source": MAIL, "files": {"mails/welcome.html": html}}
    problem = await door.call("PUT", "/scenarios/welcome", json=body, status=422)
    assert [(error["pointer"], error["file"]) for error in problem["errors"]] == [
        ("/files/mails~1welcome.html", "mails/welcome.html")
    ]
    assert await door.store.scenarios() == []


async def test_the_name_in_the_path_is_the_scenarios(door: Door):
    problem = await door.call("PUT", "/scenarios/other", content=scenario("hello"), headers=YAML, status=422)
    assert problem["errors"][0]["pointer"] == "path:name"
    assert problem["detail"] == "the file is the scenario 'hello': put it to /v1/scenarios/hello"


async def test_bodies_of_other_forms_are_refused(door: Door):
    for headers, content, status in (
        ({"content-type": "text/plain"}, "scenario: x", 415),
        ({}, "scenario: x", 415),
        (YAML, b"\xff\xfe", 400),
        ({"content-type": "application/json"}, "{", 400),
        ({"content-type": "application/json"}, '{"source": 1, "file": {}}', 422),
        ({"content-type": "application/json"}, '{"source": "a: \\ud800"}', 400),
    ):
        await door.call("PUT", "/scenarios/hello", content=content, headers=headers, status=status)


async def test_lists_go_on_where_the_page_ended(door: Door):
    names = ["a-b", "a", "ab", "b"]
    for name in names:
        await put(door, name)
    seen: list[str] = []
    query = "?limit=3"
    while query:
        page = await door.call("GET", f"/scenarios{query}")
        seen += [item["scenario"] for item in page["items"]]
        query = page["next"] and f"?limit=3&cursor={page['next']}"
    assert seen == sorted(names)
    await put(door, "b", "Other")
    listed = await door.call("GET", "/scenarios?scenario=b")
    assert [(item["version"], item["newest"], item["published_by"][:4]) for item in listed["items"]] == [
        (2, True, "key "),
        (1, False, "key "),
    ]
    await door.call("GET", "/scenarios?cursor=x", status=422)
    await door.call("GET", "/scenarios?scenario=nobody", status=404)


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
    await door.call("GET", "/scenarios/nobody", status=404)


async def test_a_scenario_is_closed_and_opened(door: Door):
    await put(door, "hello")
    closed = await door.call("POST", "/scenarios/hello/close", json={"reason": "sold out"})
    assert (closed["changed"], closed["closed"]["reason"]) == (True, "sold out")
    again = await door.call("POST", "/scenarios/hello/close", json={"reason": "again"})
    assert (again["changed"], again["closed"]) == (False, closed["closed"])
    assert (await door.call("GET", "/scenarios/hello"))["version"]["closed"] == closed["closed"]
    assert await door.call("POST", "/scenarios/hello/open") == {"scenario": "hello", "changed": True, "closed": None}
    assert (await door.call("POST", "/scenarios/hello/open"))["changed"] is False
    await door.call("POST", "/scenarios/hello/close", json={"reason": ""}, status=422)
    await door.call("POST", "/scenarios/nobody/close", json={"reason": "x"}, status=404)
