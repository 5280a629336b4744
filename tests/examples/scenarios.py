"""The examples: those that everybody sees, and campaigns as marketers and integrators write them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from authoring.publishing import CASES

EXAMPLES: Final = Path(__file__).parents[2] / "examples"


def _scenarios(folder: Path) -> list[Path]:
    """The scenarios of a folder, without their cases."""
    return sorted(path for path in folder.glob("*.yaml") if not path.name.endswith(CASES))


SCENARIOS: Final = _scenarios(EXAMPLES)
CAMPAIGNS: Final = _scenarios(EXAMPLES / "campaigns")
