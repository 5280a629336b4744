"""What the page about the API shows is right: its commands are run, as are the engines beside it; so are clients."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any, Final, cast

import httpx
import pytest

from gateway.local.demo import EXAMPLES
from tests.e2e.apis import Api, api
from tests.e2e.conftest import ROOT, Server, Stands, environment, opened, until_found
from tests.nodes import node, project

PAGE: Final = (ROOT / "docs" / "integrate/api.md").read_text(encoding="utf-8")
BLOCK: Final = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


CONFIG = """
export default {
  input: "openapi.json",
  output: { path: "api", module: { extension: ".ts" } },
  logs: { level: "silent" },
};
"""


def shown(got: Any, said: Any, place: str = "answer") -> None:
    """Makes sure that an answer has what the page says: all of its fields, with values that are not ids or times."""
    match said:
        case dict():
            assert isinstance(got, dict), place
            for name, value in cast("dict[str, Any]", said).items():
                assert name in got, f"{place} has no {name}: {got}"
                if name != "run":
                    shown(got[name], value, f"{place}.{name}")
        case list():
            items = cast("list[Any]", said)
            assert len(got) >= len(items), f"{place}: {got}"
            for index, value in enumerate(items):
                shown(got[index], value, f"{place}[{index}]")
        case _:
            assert got == said, place


def last(text: str) -> Any:
    value, at = None, 0
    while at < len(text):
        value, at = json.JSONDecoder().raw_decode(text, at)
    return value


async def run(*command: str, place: Api, folder: Path) -> str:
    variables = {"API": f"{place.url}/v1", "KEY": place.key, "SCENARIO_API": place.url, "SCENARIO_API_KEY": place.key}
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, env=environment(**variables), stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(120):
        out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()
    return out.decode()


async def test_what_the_page_shows_is_so(stand: Stands, tmp_path: Path) -> None:
    blocks = BLOCK.findall(PAGE)
    answer = ""
    async with stand() as stood, api(stood.client) as place:
        for kind, text in blocks:
            if kind == "sh":
                answer = await run("bash", "-ec", text, place=place, folder=tmp_path)
                if entered := re.search(r'"journey":"thank-you/(\d+)/', answer):
                    async with asyncio.timeout(60):
                        while not await stood.client.store.has_entered(entered[1]):  # a reader is slower than this
                            await asyncio.sleep(0.02)
            elif kind == "json":
                shown(last(answer), json.loads(text))
    assert len([kind for kind, _ in blocks if kind == "sh"]) > 10


async def test_an_engine_needs_only_http(stand: Stands, tmp_path: Path) -> None:
    scenario = tmp_path / "scenario.yaml"
    scenario.write_text(
        """
        scenario: post-purchase
        trigger: order
        entry: {key: "{{ order.external_id }}", again: always}
        steps:
          - wait_for: order.delivered
            if: event.order_id == order.external_id
        """,
        "utf-8",
    )
    async with stand() as stood, api(stood.client) as place:
        await stood.client.publish(scenario)
        out = await run(sys.executable, str(EXAMPLES / "engine_http.py"), place=place, folder=tmp_path)
        identifier, *told = out.splitlines()
        assert identifier == "post-purchase/3028687/CGX0094"
        assert told
        result = await stood.client.temporal.get_workflow_handle(identifier, result_type=dict).result()
    assert (result["outcome"], [step["outcome"] for step in result["steps"]]) == ("finished", ["event"])


@pytest.mark.nightly
async def test_a_client_that_a_generator_made_of_the_description_enters_contacts(
    server: Server, tmp_path: Path
) -> None:
    folder = project(tmp_path)
    async with opened(await server.connect(), tmp_path) as site, api(site.client) as place:
        async with httpx.AsyncClient(base_url=place.url, trust_env=False) as http:
            (folder / "openapi.json").write_text((await http.get("/v1/openapi.json")).text)
        (folder / "openapi-ts.config.mjs").write_text(CONFIG)
        shutil.copy(Path(__file__).with_name("client.ts"), folder)
        await run(str(node()), "node_modules/@hey-api/openapi-ts/bin/run.js", place=place, folder=folder)
        said = await run(str(node()), "client.ts", place=place, folder=folder)
        assert said.split() == ["1", "many", "200"]
        await until_found(site.temporal, "ScenarioName = 'many'", 200)
