"""Scenarios given as YAML, and what a preview makes of them."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from authoring.preview.contact import Preview, PreviewInputs, preview, report
from authoring.preview.draft import Draft, draft
from authoring.preview.rendering import TemplateLocator
from authoring.publishing import ScenarioFile
from scenario.entry.values import PlatformDates

Drafts = Callable[[str], Draft]
Follow = Callable[..., Preview]
Reported = Callable[[Preview], dict[str, Any]]
AT = datetime.fromisoformat("2026-03-03T09:00:00+01:00")
"""A Tuesday."""


@pytest.fixture
def drafted(tmp_path: Path) -> Drafts:
    """Drafts a scenario from its steps, or from its whole text."""

    def make(text: str) -> Draft:
        path = tmp_path / "scenario.yaml"
        whole = text if text.startswith("scenario:") else f"scenario: a\ntrigger: order\ntimezone: Europe/Paris\n{text}"
        path.write_text(whole, "utf-8")
        made, findings = draft(path)
        assert made is not None, findings
        return made

    return make


@pytest.fixture
def follow(drafted: Drafts) -> Follow:
    """Previews a scenario for a contact with an order."""

    def make(
        text: str, *, order: dict[str, Any] | None = None, given: PreviewInputs | None = None, **contact: Any
    ) -> Preview:
        entry = {
            "scenario": "a",
            "contact": {"id": 7, "email": "zoe@example.com", "cellphone": "+33612345678", **contact},
            "trigger": {"type": "order", "order": {"external_id": "X1", **(order or {})}},
        }
        return preview(drafted(text), entry, given or PreviewInputs(at=AT, platform=PlatformDates("Europe/Paris")))

    return make


@pytest.fixture
def reported(tmp_path: Path) -> Reported:
    """Gives a preview of the scenario as JSON."""
    return lambda shown: report(shown, TemplateLocator(ScenarioFile.at(tmp_path / "scenario.yaml")))
