"""What a step keeps of a response, or requires of it, is the same in previews, cases and journeys."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from activities.interface import Delivery, Sent
from activities.redaction import KnownSecrets
from activities.webhook.http.exchange import Response
from activities.webhook.outcome import save_response
from authoring.cases.file import read
from authoring.cases.run import Circumstances, run
from authoring.preview.contact import preview
from authoring.preview.draft import Draft, draft
from authoring.preview.walk import PreviewInputs
from tests.stage import Stage

SCENARIO = """
scenario: asks
trigger: segment
steps:
  - webhook: ask
    url: https://shop.example.com/
    save: {{as: r, required: {required}, schema: {{required: [code]}}}}
    on_failure: {on_failure}
  - webhook: tell
    url: https://tell.example.com/
    body: {{code: "{{{{ responses.r.code | default: 'none' }}}}"}}
"""
ENTRY: dict[str, Any] = {"scenario": "asks", "contact": {"id": 1}, "trigger": {"type": "segment"}}
Course = tuple[str, str | None]
"""The outcome of the step that asks, and the code that the next one tells, if the contact comes so far."""


@pytest.mark.parametrize(
    ("body", "required", "on_failure", "expected"),
    [
        ({"code": "A"}, "false", "hold", ("delivered", "A")),
        ({"code": "A"}, "true", "hold", ("delivered", "A")),
        ({"error": "none left"}, "false", "hold", ("delivered", "none")),
        ({"error": "none left"}, "true", "hold", ("held", None)),
        ({"error": "none left"}, "true", "continue", ("failed", "none")),
        ({"error": "none left"}, "true", "exit", ("failed", None)),
        (None, "false", "hold", ("delivered", "none")),
        (None, "true", "hold", ("held", None)),
    ],
)
async def test_all_hosts_do_the_same_with_a_response(
    stage: Stage, tmp_path: Path, body: Any, required: str, on_failure: str, expected: Course
) -> None:
    path = tmp_path / "asks.yaml"
    path.write_text(SCENARIO.format(required=required, on_failure=on_failure), "utf-8")
    made, findings = draft(path)
    assert made is not None, findings
    assert shown(made, body) == expected
    assert tried(path, body) == expected
    text, is_held = path.read_text("utf-8"), expected[0] == "held"
    assert await went(stage, made, text, body, is_held=is_held) == expected


def shown(made: Draft, body: Any) -> Course:
    ask, tell = preview(made, ENTRY, PreviewInputs(responses={"r": body})).steps
    outcome = {"sent": "delivered"}.get(ask.outcome, ask.outcome)
    return outcome, code_in(tell.result) if tell.taken and outcome != "held" else None


def tried(path: Path, body: Any) -> Course:
    case = {"answers": {"ask": [{"body": json.dumps(body)}]}, "expect": {"ends": "finished"}}
    file = path.with_name("asks.test.yaml")
    file.write_text(json.dumps({"entry": ENTRY, "at": "2026-03-02T09:00", "cases": {"one": case}}), "utf-8")
    cases, findings = read(file)
    assert cases is not None, findings
    ask, *others = run(cases, "one", Circumstances()).steps
    return ask.outcome, code_in(others[0].message) if others else None


async def went(stage: Stage, made: Draft, text: str, body: Any, *, is_held: bool) -> Course:
    save = made.steps["ask"].saved
    assert save is not None

    def answer(delivery: Delivery, attempt: int) -> Sent:
        """Answer as the activity does; see `tests/activities/webhook/test_activity.py`."""
        saved, note = save_response(save, Response(200, {}, json.dumps(body).encode()), KnownSecrets())
        outcome = "refused_answer" if save.required and saved is None else "delivered"
        return Sent(outcome=outcome, status=200, attempt=attempt, saved=saved, note=note)

    stage.channels.scripts["ask"] = answer
    await stage.publish(text)
    handle = await stage.start("asks")
    if is_held:
        await stage.until(handle, "held")
        await handle.terminate()
        return "held", None
    outcome = (await stage.result(handle))["steps"][0]["outcome"]
    told = [one.delivery.data["responses"] for one in stage.channels.of("tell")]
    return outcome, told[0].get("r", {}).get("code", "none") if told else None


def code_in(result: Any) -> str:
    return json.loads(result.describe()["request"]["body"])["code"]
