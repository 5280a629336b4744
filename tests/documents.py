"""Files that are made from the code.

``python -m tests.documents``, from the project's root, writes them again; tests compare.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from authoring.map.map import ScenarioMap
from authoring.preview.draft import draft

DOCS: Final = Path(__file__).parents[1] / "docs"
COMMAND: Final = "python -m tests.documents"


def _map() -> str:
    path = DOCS.parent / "examples" / "post-purchase.yaml"
    made, findings = draft(path)
    if made is None:
        raise ValueError(findings)
    return ScenarioMap(made.plan, path.stem, made.scenario.trigger).svg(standalone=True)


def _rules() -> str:
    """The alert rules as the Prometheus operator takes them: kustomize cannot put one file into another."""
    rules = (DOCS.parent / "deploy" / "prometheus" / "alerts.yaml").read_text(encoding="utf-8")
    lines = rules[rules.index("groups:\n") :].splitlines()
    return RULES_HEAD + "".join(f"  {line}".rstrip() + "\n" for line in lines)


RULES: Final = "../deploy/kubernetes/components/monitoring/rules.yaml"
RULES_HEAD: Final = f"""---
# Written by {COMMAND}, of deploy/prometheus/alerts.yaml: change that.
# yamllint disable rule:line-length
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: scenario-runner
spec:
"""
DRAWN: Final[Mapping[str, Callable[[], str]]] = {"write/map.svg": _map, RULES: _rules}
"""Files that are generated as a whole."""


if __name__ == "__main__":
    for name, drawn in DRAWN.items():
        (DOCS / name).write_text(drawn(), encoding="utf-8")
