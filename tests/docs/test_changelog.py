"""What operators are told of an upgrade is what there is."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_it_names_every_marker_of_changed_workflow_code() -> None:
    sources = [
        path.read_text(encoding="utf-8") for name in ("workflows", "scenario") for path in (ROOT / name).rglob("*.py")
    ]
    markers = {marker for source in sources for marker in re.findall(r"\bpatched\(\"([^\"]+)\"\)", source)}
    assert "released" in markers
    assert {marker for marker in markers if f"`{marker}`" not in CHANGELOG} == set()
