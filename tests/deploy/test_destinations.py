"""The files of destinations that operators begin with: good, tidy, and without a secret."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from activities.webhook.destinations import form
from activities.webhook.destinations.reading import examine, read
from scenario.check.check import check
from scenario.http.urls import Access
from scenario.model.parts import Retry

DEPLOY = Path(__file__).parent.parent.parent / "deploy"
EXAMPLE = DEPLOY / "destinations.example.yaml"
PRESETS = sorted((DEPLOY / "destinations").glob("*.yaml"))
SCENARIO = "scenario: tried\ntrigger: order\nsteps:\n"


def test_nothing_is_wrong_with_them_and_other_readers_of_yaml_see_the_same() -> None:
    for path in (EXAMPLE, *PRESETS):
        findings, book = examine(path)
        assert findings == (), path.name
        assert book is not None
        assert set(yaml.safe_load(path.read_text("utf-8"))["destinations"]) == set(book.names), path.name
        assert book.names, path.name


def test_a_preset_is_one_destination_of_its_file_s_name() -> None:
    for path in PRESETS:
        _, book = examine(path)
        assert book is not None
        assert book.names == (path.stem,)
        found = book.destinations[path.stem]
        assert found.header_secrets, path.name
        assert found.access == Access(), path.name
        assert found.timeout is not None, path.name
        assert found.timeout <= 15, f"{path.name}: an attempt ends while a stopping worker still waits for it"


def test_the_step_in_a_preset_s_comment_can_be_published() -> None:
    for path in PRESETS:
        lines = [line[1:] for line in path.read_text("utf-8").splitlines() if line.startswith("#")]
        step = [line for line in lines if line.startswith("   ") or not line.strip()]
        text = SCENARIO + "\n".join(step)
        assert f"to: {path.stem}" in text
        checked = check(text, destinations=read(path).listing)
        assert [finding for finding in checked.findings if finding.severity == "error"] == [], path.name


def test_the_example_shows_every_key_and_the_reference_describes_it() -> None:
    shown = set(re.findall(r"([a-z_]+):", EXAMPLE.read_text("utf-8")))
    forms = (form.DestinationsForm, form.DefaultForm, form.LimitsForm, form.DestinationForm, form.BreakerForm)
    for model in (*forms, form.SigningForm, form.SuppressionsForm, form.TlsFiles, Retry):
        for key, field in model.model_fields.items():
            assert key in shown or key in ("allow_private", "allow_http"), key
            assert field.description, key
