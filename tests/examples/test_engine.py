"""The examples of engines that know nothing but Temporal start journeys that go their way."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import shutil
from pathlib import Path

import pytest

from tests.nodes import environment as node_environment
from tests.nodes import node, project
from tests.stage import Stage, deserted, environment, stage

__all__ = ["deserted", "environment", "stage"]

EXAMPLES = Path(__file__).parents[2] / "examples"
SCENARIO = """
scenario: post-purchase
trigger: order
entry: {key: "{{ order.external_id }}", again: always}
steps:
  - email: thank-you
    subject: Thank you
    text: "{{ order.products.size }}"
  - wait_for: order.delivered
    if: event.order_id == order.external_id
"""


async def test_an_engine_needs_only_temporal(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    specification = importlib.util.spec_from_file_location("engine", EXAMPLES / "engine.py")
    assert specification is not None
    assert specification.loader is not None
    engine = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(engine)
    for name, value in connection(stage).items():
        monkeypatch.setenv(name, value)
    await stage.publish(SCENARIO)
    await engine.main(json.loads(engine.SAMPLE.read_text(encoding="utf-8")))
    identifier = capsys.readouterr().out.strip()
    assert identifier == "post-purchase/3028687/CGX0094"
    await went(stage, identifier)


async def test_an_engine_in_javascript_does_the_same(stage: Stage, tmp_path: Path) -> None:
    await stage.publish(SCENARIO)
    shutil.copy(EXAMPLES / "engine.mjs", project(tmp_path))
    process = await asyncio.create_subprocess_exec(
        *(node(), "engine.mjs", EXAMPLES / "entries" / "post-purchase.json"),
        cwd=tmp_path,
        env=node_environment(**connection(stage)),
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, _ = await process.communicate()
    assert (process.returncode, out.decode().strip()) == (0, "post-purchase/3028687/CGX0094")
    await went(stage, out.decode().strip())


def connection(stage: Stage) -> dict[str, str]:
    """The variables by which an engine finds the stage's journeys."""
    client = stage.client
    return {"TEMPORAL_ADDRESS": client.service_client.config.target_host, "TEMPORAL_NAMESPACE": client.namespace}


async def went(stage: Stage, journey: str) -> None:
    """Makes sure that a journey went its way, and heard of the event."""
    result = await stage.client.get_workflow_handle(journey, result_type=dict).result()
    assert (result["outcome"], [step["outcome"] for step in result["steps"]]) == ("finished", ["delivered", "event"])
