"""Checks and previews over HTTP."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from gateway.preview.contact import PreviewInputs, preview, report
from gateway.preview.draft import draft
from gateway.preview.places import TemplateLocator
from gateway.publishing import ScenarioFile, publish
from tests.gateway.api.doors import Door

EXAMPLES = Path(__file__).parents[3] / "examples"
POST_PURCHASE = EXAMPLES / "post-purchase.yaml"
FILES = {"mails/thank-you.html": (EXAMPLES / "mails" / "thank-you.html").read_text()}
ENTRY: dict[str, Any] = json.loads((EXAMPLES / "entries" / "post-purchase.json").read_text())
AT = "2026-03-03T10:00:00+01:00"


async def test_a_check_finds_what_the_command_finds(door: Door):
    text = (
        "scenario: hello\ntrigger: order\nsteps:\n  - sms: hello\n    text: '{{ contact.firstnam }}'\n    retries: 1\n"
    )
    found = await door.call("POST", "/check", json={"source": text})
    assert found["ok"] is False
    _, findings = draft(ScenarioFile.sent(text))
    assert found["findings"] == [finding.as_json() for finding in findings]
    assert {(one["file"], one["line"]) for one in found["findings"]} == {("scenario.yaml", 5), ("scenario.yaml", 6)}
    yaml = {"content-type": "application/yaml; charset=utf-8"}
    assert await door.call("POST", "/check", content=text, headers=yaml) == found
    good = await door.call("POST", "/check", json={"source": POST_PURCHASE.read_text(), "files": FILES})
    assert good["ok"] is True
    await door.call("POST", "/check", json={"source": "", "newest": True}, status=422)


async def test_a_preview_shows_what_the_command_shows(door: Door):
    body: dict[str, Any] = {"source": POST_PURCHASE.read_text(), "files": FILES, "entry": ENTRY, "at": AT}
    body["events"] = [{"name": "order.delivered", "properties": {"order_id": "CGX0094"}}]
    body["responses"] = {"whatsapp": {"id": "7"}}
    shown = await door.call("POST", "/preview", json=body)
    assert [step["id"] for step in shown["steps"] if step["taken"]][:2] == ["thank-you", "wait-2"]
    made, _ = draft(POST_PURCHASE)
    assert made is not None
    expected = report(
        preview(made, ENTRY, PreviewInputs(at=datetime.fromisoformat(AT), platform_zone="Europe/Paris")),
        TemplateLocator(made.file),
    )
    plain = await door.call("POST", "/preview", json={**body, "events": [], "responses": {}})
    assert {key: plain[key] for key in expected} == expected
    only = await door.call("POST", "/preview", json={**body, "step": "thank-you"})
    assert [step["id"] for step in only["steps"]] == ["thank-you"]


async def test_what_is_published_is_previewed_as_the_file_is(door: Door):
    await publish(POST_PURCHASE, door.store)
    sent = {"source": POST_PURCHASE.read_text(), "files": FILES, "entry": ENTRY, "at": AT}
    for name in ("post-purchase", "post-purchase@1"):
        shown = await door.call("POST", "/preview", json={"scenario": name, "entry": ENTRY, "at": AT})
        assert shown["steps"] == (await door.call("POST", "/preview", json=sent))["steps"]
    for name in ("post-purchase@2", "nobody"):
        await door.call("POST", "/preview", json={"scenario": name, "entry": ENTRY}, status=404)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"source": "a: 1", "scenario": "b"}, "give either 'source' or 'scenario'"),
    ({}, "give either 'source' or 'scenario'"),
    ({"source": POST_PURCHASE.read_text(), "files": FILES, "entry": {}}, '"pointer": "/entry'),
    ({"source": POST_PURCHASE.read_text(), "files": FILES, "step": "thank-yuo"}, "did you mean 'thank-you'?"),
    ({"scenario": "post-purchase@0"}, "must be the name of a scenario, or name and version"),
    ({"source": "a", "at": "yesterday"}, "'at' must be a date and time such as"),
    ({"source": "a", "at": "0001-01-01T00:00:00+14:00"}, "between the years 1970 and 9000"),
]


async def test_what_cannot_be_shown_is_said(door: Door):
    for change, said in WRONG:
        problem = await door.call("POST", "/preview", json={"entry": ENTRY, **change}, status=422)
        assert said in json.dumps(problem)


async def test_a_scenario_with_mistakes_has_findings_and_no_steps(door: Door):
    shown = await door.call("POST", "/preview", json={"source": "scenario: hello\n", "entry": ENTRY})
    assert shown["steps"] == []
    assert {finding["severity"] for finding in shown["findings"]} == {"error"}
