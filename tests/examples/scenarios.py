"""The examples."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from gateway.publishing import CASES

EXAMPLES: Final = Path(__file__).parents[2] / "examples"
SCENARIOS: Final = sorted(path for path in EXAMPLES.glob("*.yaml") if not path.name.endswith(CASES))
"""The scenarios among them, without their cases."""
