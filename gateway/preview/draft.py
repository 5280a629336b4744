"""A scenario as it would be after publishing, without a store."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gateway.errors import BadInput
from gateway.publishing import ScenarioFile, check_file
from scenario.http.destinations import KnownDestinations
from scenario.model.document import document, load
from scenario.model.scenario import Scenario
from scenario.plan.compile import compile_plan, named_steps
from scenario.plan.plan import Plan, dump_plan, load_plan
from scenario.policies.hours import QuietHours
from scenario.source.findings import Finding, listed, near
from scenario.steps.base import BaseStep as Step

VERSION = 1
"""The version in `journey.version` if the entry pins none."""

_OF_PUBLISHING: Final = frozenset({"secret", "no-unsubscribe"})
"""Findings that do not affect a preview."""


@dataclass(frozen=True)
class Draft:
    """A checked and compiled scenario."""

    file: ScenarioFile
    scenario: Scenario
    """The scenario as it would be read back after publishing."""
    plan: Plan
    steps: Mapping[str, Step]
    """Steps by id, in the order of the file."""
    warnings: tuple[Finding, ...] = ()

    def require(self, step: str | None) -> None:
        """Raise BadInput if a step is named that does not exist."""
        if step is None or step in self.steps:
            return
        guess = near(step, self.steps) or near(step, [name.replace("-", "_") for name in self.steps])
        hint = f"did you mean '{guess}'?" if guess in self.steps else f"there are {listed(self.steps, 'and')}"
        raise BadInput(f"there is no step '{step}': {hint}")


def draft(
    file: ScenarioFile | Path, destinations: KnownDestinations | None = None, quiet_hours: Sequence[QuietHours] = ()
) -> tuple[Draft | None, tuple[Finding, ...]]:
    """Check and compile a scenario file. Return the draft, or None if it has a mistake, and the check's findings.

    Raises:
        BadInput: The file cannot be read.
    """
    file = file if isinstance(file, ScenarioFile) else ScenarioFile.at(file)
    checked = check_file(file, destinations, quiet_hours)
    if checked.scenario is None:
        return None, checked.findings
    # By way of the stored form, in case that changes anything.
    scenario = load(json.loads(json.dumps(document(checked.scenario))))
    plan = load_plan(dump_plan(compile_plan(scenario)))
    steps = dict(named_steps(scenario))
    findings = tuple(finding for finding in checked.findings if finding.code not in _OF_PUBLISHING)
    return Draft(file, scenario, plan, steps, findings), findings


def published(version: str, stored: Mapping[str, Any], plan: Mapping[str, Any]) -> Draft:
    """Return a published version as a draft. Places are those in its document as JSON, since the file is not stored.

    Raises:
        ScenarioError: A newer program has stored it.
    """
    scenario = load(stored)
    written = json.dumps(document(scenario), ensure_ascii=False, indent=2)
    return Draft(ScenarioFile.sent(written, name=version), scenario, load_plan(plan), dict(named_steps(scenario)))
