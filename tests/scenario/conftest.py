"""What the tests of the language share: a platform's samples."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

_SAMPLES = Path(__file__).resolve().parents[3] / "shared" / "data" / "platform"


@pytest.fixture(scope="session")
def sample() -> Callable[[str], dict[str, Any]]:
    """Gives one of the objects that a customer platform sends, by its name; each time again."""
    if not _SAMPLES.is_dir():
        pytest.skip("the samples of a customer platform are not here")
    return lambda name: json.loads((_SAMPLES / f"{name}.json").read_text(encoding="utf-8"))
