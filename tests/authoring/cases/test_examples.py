"""Every example has cases, does what they say, and is free of findings; mistakes anywhere in cases are told."""

import json
import random
from pathlib import Path

import pytest

from authoring.cases.compare import compare, junit, result
from authoring.cases.file import case_files, parsed, read
from authoring.cases.run import run
from authoring.cases.update import updated
from authoring.preview.draft import draft
from authoring.publishing import CASES
from scenario.source.source import Source
from tests.authoring.cases.conftest import AROUND
from tests.authoring.preview.test_mutants import mutant
from tests.examples.scenarios import CAMPAIGNS, EXAMPLES, SCENARIOS

FINDINGS = {path: {"secret"} for path in SCENARIOS}
"""Of those with secrets of their own, that there is no destinations.yaml here to say where they may go."""


@pytest.mark.parametrize("scenario", [*SCENARIOS, *CAMPAIGNS], ids=lambda path: path.stem)
def test_an_example_does_what_its_cases_say(scenario: Path):
    (path,) = case_files(scenario)
    cases, findings = read(path)
    assert cases is not None, findings
    assert {finding.code for finding in draft(scenario)[1]} <= FINDINGS.get(scenario, set())
    ran = {name: run(cases, name, AROUND) for name in cases.file.cases}
    differences = {name: compare(case, ran[name]) for name, case in cases.file.cases.items()}
    assert not any(differences.values()), differences
    sent = {got.step for result in ran.values() for got in result.steps if got.tried}
    assert sent == {name for name, step in cases.draft.steps.items() if step.sends}, "each message is in some case"


def test_each_case_file_is_of_an_example():
    examples = {path.with_name(path.stem + CASES) for path in (*SCENARIOS, *CAMPAIGNS)}
    assert {*case_files(EXAMPLES)} == examples
    assert len(examples) == 26


MUTANTS = 3
"""Of each file."""


@pytest.mark.parametrize("path", case_files(EXAMPLES), ids=lambda path: path.name)
def test_no_mistake_in_a_file_of_cases_is_one_of_ours(path: Path):
    written, chance = Source(path.read_text("utf-8"), path.name).data, random.Random(path.name)
    for _ in range(MUTANTS):
        text = json.dumps(mutant(written, chance))  # JSON is YAML
        try:
            cases, findings = parsed(text, path)
            if cases is None:
                assert findings
                continue
            found = {name: compare(case, run(cases, name, AROUND)) for name, case in cases.file.cases.items()}
            junit([result(cases.source, name, differences, 0.0) for name, differences in found.items()])
            failing = [name for name, differences in found.items() if differences]
            if failing and (changed := updated(cases, failing, AROUND)):
                for name in failing:
                    left = compare(changed.file.cases[name], run(changed, name, AROUND))
                    assert {difference.kind for difference in left} <= {"case"}
        except Exception as error:
            raise AssertionError(text) from error
