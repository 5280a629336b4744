"""A scenario file as a worker would have it after publishing, without a store."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gateway.publishing import check_file
from gateway.scenario_file import ScenarioFile
from scenario.http.destinations import Listing
from scenario.model.document import document, load
from scenario.model.scenario import Scenario
from scenario.plan.compile import compile_plan, named_steps
from scenario.plan.plan import Plan, dump_plan, load_plan
from scenario.policies.hours import QuietHours
from scenario.source.findings import Finding
from scenario.steps.base import BaseStep as Step

VERSION = 1
"""The version that templates see as `journey.version` where the entry pins none: nobody has counted yet."""

_OF_PUBLISHING: Final = frozenset({"secret", "no-unsubscribe"})
"""What is for whoever publishes to know: nothing that is shown depends on it."""


@dataclass(frozen=True)
class Draft:
    """A scenario that was checked and compiled.

    Attributes:
        file: As it was written.
        scenario: As it would be read back after publishing.
        plan: What journeys would follow.
        steps: Steps by id, in the order of the file.
        warnings: What the check found that does not stand in the way.
    """

    file: ScenarioFile
    scenario: Scenario
    plan: Plan
    steps: Mapping[str, Step]
    warnings: tuple[Finding, ...] = ()


def draft(
    file: ScenarioFile | Path, destinations: Listing | None = None, quiet_hours: Sequence[QuietHours] = ()
) -> tuple[Draft | None, tuple[Finding, ...]]:
    """Checks and compiles a scenario file; see `gateway.publishing.check_file`.

    Returns:
        The draft, or None where the file has a mistake; and what the check found.

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
    """A published version as a draft. What was written is gone: places are those in its document, laid out as JSON.

    Args:
        version: ``post-purchase@3``.
        stored: Its document, from the store.
        plan: Its plan, from the store.

    Raises:
        ScenarioError: A newer program has stored it.
    """
    scenario = load(stored)
    written = json.dumps(document(scenario), ensure_ascii=False, indent=2)
    return Draft(ScenarioFile.sent(written, name=version), scenario, load_plan(plan), dict(named_steps(scenario)))
