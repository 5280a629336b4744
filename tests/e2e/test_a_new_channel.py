"""A channel that is added by the registry alone: previewed, run as a case and a journey, verified, sent as a test."""

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from activities.channel_registry import CHANNELS
from activities.dependencies import channels_of
from activities.webhook.route import Direct
from authoring.cases.compare import compare
from authoring.cases.file import read
from authoring.cases.run import Circumstances
from authoring.cases.run import run as run_case
from authoring.preview.contact import PreviewInputs, preview, report
from authoring.preview.draft import Draft, draft
from authoring.preview.rendering import TemplateLocator
from authoring.publishing import ScenarioFile
from cli.local.demo import arrivals
from cli.local.stack import local
from runtime.settings import Settings
from scenario.entry.values import PlatformDates
from scenario.steps import registry
from service.sending import Means, Trials, send
from tests.e2e.push.channel import PUSH, Alert, Folder, Push

SCENARIO = """\
scenario: pings
trigger: order
timezone: Europe/Paris
steps:
  - push: hello
    text: "Hello {{ contact.firstname }}"
  - alert: again
    text: "{{ order.external_id }}"
"""
CASES = """\
entry:
  {scenario: pings, contact: {id: 7, firstname: Zoé, device: d1}, trigger: {type: order, order: {external_id: CGX}}}
at: 2026-03-02T09:00
cases:
  both arrive:
    expect: {ends: finished}
  the first one fails:
    answers: {hello: [{status: 404}]}
    expect: {ends: held, reason: the folder refused it}
"""
ENTRY: dict[str, Any] = {
    "scenario": "pings",
    "contact": {"id": 7, "firstname": "Zoé", "device": "d1"},
    "trigger": {"type": "order", "order": {"external_id": "CGX"}},
}
GIVEN = PreviewInputs(at=datetime.fromisoformat("2026-03-03T09:00:00+01:00"))


@pytest.fixture(autouse=True)
def push() -> Iterator[None]:
    CHANNELS["push"] = PUSH
    registry.add("push", Push)
    registry.add("alert", Alert)
    yield
    registry.remove("alert")
    registry.remove("push")
    del CHANNELS["push"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "pings.yaml"
    path.write_text(SCENARIO, "utf-8")
    return path


@pytest.fixture
def drafted(file: Path) -> Draft:
    made, findings = draft(file)
    assert made is not None, findings
    return made


def test_a_preview_shows_its_messages(drafted: Draft, file: Path) -> None:
    steps = report(preview(drafted, ENTRY, GIVEN), TemplateLocator(ScenarioFile.at(file)))["steps"]
    assert [(step["id"], step["kind"], step["outcome"], step["message"]) for step in steps] == [
        ("hello", "push", "sent", {"to": "d1", "text": "Hello Zoé"}),
        ("again", "alert", "sent", {"to": "d1", "text": "CGX"}),
    ]


def test_its_cases_are_compared(file: Path) -> None:
    path = file.with_name("pings.test.yaml")
    path.write_text(CASES, "utf-8")
    cases, findings = read(path)
    assert cases is not None, findings
    around = Circumstances(platform=PlatformDates("Europe/Paris"))
    for name, case in cases.file.cases.items():
        assert compare(case, run_case(cases, name, around)) == []


async def test_a_test_message_goes_out(drafted: Draft, tmp_path: Path) -> None:
    channels = channels_of(Settings(), tmp_path / "inbox")
    assert isinstance(channels.connection("push"), Folder)
    assert "push" in channels.sentence.partition(";")[0]
    means = Means(channels=channels, routes=Direct(), secrets={}, sender="me", trials=Trials())
    sent = await send(drafted, ENTRY, GIVEN, "hello", means)
    assert (sent.answer.delivered, sent.answer.said) == (True, "the folder has it")
    kept = json.loads((tmp_path / "inbox" / f"{sent.id}.push").read_text())
    assert kept == {"to": "d1", "text": "Hello Zoé"}


@pytest.mark.usefixtures("temporal_program")
async def test_a_journey_delivers_by_it(file: Path, tmp_path: Path) -> None:
    async with local(tmp_path / "state") as place:
        await place.client.publish(file)
        journey = await place.client.enter(ENTRY)
        result = await journey.result()
        assert [(step["kind"], step["outcome"]) for step in result["steps"]] == [
            ("push", "delivered"),
            ("alert", "delivered"),
        ]
        found = await arrivals(place, ENTRY, journey, result)
        assert [(arrival.step, arrival.to, arrival.what, arrival.problem) for arrival in found] == [
            ("hello", "d1", "Hello Zoé", ""),
            ("again", "d1", "CGX", ""),
        ]
