"""Case files with a mistake anywhere: each is told, or the case is run, and nothing of ours breaks."""

import json
import random
from pathlib import Path

import pytest

from gateway.cases.compare import compare, junit, result
from gateway.cases.file import case_files, parsed
from gateway.cases.run import run
from gateway.cases.update import updated
from scenario.source.source import Source
from tests.examples.scenarios import EXAMPLES
from tests.gateway.cases.conftest import AROUND
from tests.gateway.preview.test_mutants import mutant

MUTANTS = 3
"""Of each file."""


@pytest.mark.parametrize("path", case_files(EXAMPLES), ids=lambda path: path.name)
def test_no_mistake_in_a_file_is_one_of_ours(path: Path) -> None:
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
