"""Every example has cases, does in them what they say, and is free of findings."""

from pathlib import Path

import pytest

from gateway.cases.compare import compare
from gateway.cases.file import case_files, read
from gateway.cases.run import Circumstances, run
from gateway.preview.draft import draft
from gateway.publishing import CASES
from tests.examples.scenarios import CAMPAIGNS, EXAMPLES, SCENARIOS

FINDINGS = {path: {"secret"} for path in SCENARIOS}
"""Of those with secrets of their own, that there is no destinations.yaml here to say where they may go."""
AROUND = Circumstances(platform_zone="Europe/Paris")


@pytest.mark.parametrize("scenario", [*SCENARIOS, *CAMPAIGNS], ids=lambda path: path.stem)
def test_an_example_does_what_its_cases_say(scenario: Path) -> None:
    (path,) = case_files(scenario)
    cases, findings = read(path)
    assert cases is not None, findings
    assert {finding.code for finding in draft(scenario)[1]} <= FINDINGS.get(scenario, set())
    ran = {name: run(cases, name, AROUND) for name in cases.file.cases}
    differences = {name: compare(case, ran[name]) for name, case in cases.file.cases.items()}
    assert not any(differences.values()), differences
    sent = {got.step for result in ran.values() for got in result.steps if got.tried}
    assert sent == {name for name, step in cases.draft.steps.items() if step.sends}, "each message is in some case"


def test_each_case_file_is_of_an_example() -> None:
    examples = {path.with_name(path.stem + CASES) for path in (*SCENARIOS, *CAMPAIGNS)}
    assert {*case_files(EXAMPLES)} == examples
    assert len(examples) == 25
