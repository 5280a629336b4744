"""The store's tables are made, and brought up to date, by a command of their own."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from runtime.store import Store
from runtime.store.migrations import HEAD
from tests.gateway.cli.conftest import Run


def revision(file: Path) -> str:
    engine = create_engine(f"sqlite:///{file}")
    try:
        with engine.connect() as connection:
            return str(connection.execute(text("SELECT version_num FROM scenario_store_version")).scalar())
    finally:
        engine.dispose()


def test_it_makes_the_tables_and_does_nothing_the_second_time(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    file = tmp_path / "store.db"
    monkeypatch.setenv("SCENARIO_STORE", f"sqlite:///{file}")
    for _ in range(2):
        ran = run("store", "upgrade")
        assert (ran.status, ran.out, ran.err) == (0, f"the store {file} has the tables of this release\n", "")
    assert revision(file) == HEAD

    async def look() -> list[object]:
        async with Store.open(f"sqlite:///{file}", migrate=False) as store:
            return list(await store.scenarios())

    assert asyncio.run(look()) == []


def test_a_database_that_is_away_is_one_sentence(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SCENARIO_STORE", "postgresql://user:s3cr3t@127.0.0.1:1/scenario")
    ran = run("store", "upgrade")
    assert (ran.status, ran.out) == (1, "")
    assert ran.err.startswith("scenario: the store 127.0.0.1:1/scenario cannot be used now (nothing listens there)")
    assert "s3cr3t" not in ran.err
