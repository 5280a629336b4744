"""What a person has to set to use the servers that `scenario dev` started."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.local.dev import exports


@pytest.mark.parametrize(
    ("address", "state", "lines"),
    [
        ("127.0.0.1:7233", ".scenario", []),
        ("127.0.0.1:7999", ".scenario", ["export TEMPORAL_ADDRESS=127.0.0.1:7999"]),
        ("127.0.0.1:7233", "my state", ["export SCENARIO_STORE='sqlite:///FOLDER/my state/store.db'"]),
    ],
)
def test_it_says_what_is_not_as_usual(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, state: str, lines: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert exports(address, Path(state)) == [line.replace("FOLDER", str(tmp_path.resolve())) for line in lines]
