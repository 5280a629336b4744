"""The example of an engine that knows nothing but Temporal starts a journey that goes its way."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from tests.workflows.conftest import Stage, environment, stage

__all__ = ["environment", "stage"]

EXAMPLES = Path(__file__).parents[2] / "examples"


async def test_an_engine_needs_only_temporal(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    specification = importlib.util.spec_from_file_location("engine", EXAMPLES / "engine.py")
    assert specification is not None
    assert specification.loader is not None
    engine = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(engine)
    monkeypatch.setenv("TEMPORAL_ADDRESS", stage.client.service_client.config.target_host)
    await stage.publish(
        """
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
    )
    await engine.main(json.loads(engine.SAMPLE.read_text(encoding="utf-8")))
    identifier = capsys.readouterr().out.strip()
    assert identifier == "post-purchase/3028687/CGX0094"
    result = await stage.client.get_workflow_handle(identifier, result_type=dict).result()
    assert (result["outcome"], [step["outcome"] for step in result["steps"]]) == ("finished", ["delivered", "event"])
