"""Every example has cases, and does in them what they say."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.cases.compare import compare
from gateway.cases.file import case_files, read
from gateway.cases.run import Circumstances, run
from tests.examples.scenarios import CAMPAIGNS, SCENARIOS

AROUND = Circumstances(platform_zone="Europe/Paris")


@pytest.mark.parametrize("scenario", [*SCENARIOS, *CAMPAIGNS], ids=lambda path: path.stem)
def test_an_example_does_what_its_cases_say(scenario: Path) -> None:
    (path,) = case_files(scenario)
    cases, findings = read(path)
    assert cases is not None, findings
    differences = {name: compare(case, run(cases, name, AROUND)) for name, case in cases.file.cases.items()}
    assert not any(differences.values()), differences
    sent = {got.id for name in cases.file.cases for got in run(cases, name, AROUND).steps if got.tried}
    assert sent == {name for name, step in cases.draft.steps.items() if step.sends}, "each message is in some case"
