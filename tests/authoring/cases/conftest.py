"""Small scenarios with their cases."""

from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

import pytest

from authoring.cases.compare import Mismatch, compare
from authoring.cases.file import Cases, read
from authoring.cases.run import Circumstances, run
from scenario.entry.values import PlatformDates

AROUND = Circumstances(platform=PlatformDates("Europe/Paris"))
TOP = """
entry: {scenario: s, contact: {id: 7, email: a@example.com, cellphone: "+33612345678"}, trigger: {type: birthday}}
at: 2026-03-02T09:00
cases:
"""
Written = Callable[..., Path]
Make = Callable[..., Cases]


def differences(cases: Cases) -> Mapping[str, list[Mismatch]]:
    return {name: compare(case, run(cases, name, AROUND)) for name, case in cases.file.cases.items()}


@pytest.fixture
def written(tmp_path: Path) -> Written:
    """Writes a scenario of some steps, and a case of it, or several by name; gives the case file."""

    def write(
        steps: str,
        case: str | Mapping[str, str],
        *,
        head: str = "trigger: birthday",
        top: str = TOP,
        name: str = "s",
    ) -> Path:
        cases = {"one": case} if isinstance(case, str) else case
        steps = indent(dedent(steps).strip(), "  ")
        text = f"scenario: {name}\ntimezone: Europe/Paris\n{dedent(head).strip()}\nsteps:\n{steps}\n"
        (tmp_path / f"{name}.yaml").write_text(text, "utf-8")
        path = tmp_path / f"{name}.test.yaml"
        text = "".join(f"  {name}:\n{indent(dedent(case).strip(), '    ')}\n" for name, case in cases.items())
        path.write_text(f"{top.strip()}\n{text}", "utf-8")
        return path

    return write


@pytest.fixture
def made(written: Written) -> Make:
    """Reads a scenario of some steps and its cases, which have no mistakes."""

    def make(*texts: Any, **more: str) -> Cases:
        cases, findings = read(written(*texts, **more))
        assert cases is not None, findings
        return cases

    return make
