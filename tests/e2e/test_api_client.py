"""A client that a generator made of the API's description lets two hundred contacts in."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import httpx
import pytest
from temporalio.client import Client

from gateway.client import ScenarioClient
from runtime.store import Store
from tests.e2e.apis import api
from tests.e2e.conftest import Server, sealing
from tests.nodes import environment, node, project

CONFIG = """
export default {
  input: "openapi.json",
  output: { path: "api", module: { extension: ".ts" } },
  logs: { level: "silent" },
};
"""


async def run(folder: Path, *arguments: str, **variables: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *(str(node()), *arguments), cwd=folder, env=environment(**variables), stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(100):
        out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()
    return out.decode()


async def started(temporal: Client) -> int:
    async with asyncio.timeout(60):
        while (found := (await temporal.count_workflows("ScenarioName = 'many'")).count) < 200:
            await asyncio.sleep(0.05)
    return found


@pytest.mark.nightly
async def test_a_generated_client_enters_contacts(server: Server, tmp_path: Path) -> None:
    folder = project(tmp_path)
    async with Store.open(f"sqlite:///{tmp_path / 'store.db'}") as store:
        temporal = await server.connect()
        async with api(ScenarioClient(sealing(temporal, store), store)) as place:
            async with httpx.AsyncClient(base_url=place.url, trust_env=False) as http:
                description = (await http.get("/v1/openapi.json")).text
            (folder / "openapi.json").write_text(description)
            (folder / "openapi-ts.config.mjs").write_text(CONFIG)
            shutil.copy(Path(__file__).with_name("client.ts"), folder)
            await run(folder, "node_modules/@hey-api/openapi-ts/bin/run.js")
            said = await run(folder, "client.ts", SCENARIO_API=place.url, SCENARIO_API_KEY=place.key)
            assert said.split() == ["1", "many", "200"]
        assert await started(temporal) == 200
