"""The API as engines meet it: it answers as declared, its page of the docs is right, and so are programs beside it."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import asyncio
import json
import re
import shutil
import sys
from functools import partial
from pathlib import Path
from typing import Any, Final, cast
from warnings import catch_warnings, simplefilter

import httpx
import pytest
from hypothesis import HealthCheck, given, settings

from cli.local.demo import EXAMPLES as PROGRAMS
from tests.e2e.conftest import ROOT, Api, Server, Stands, api, entry, environment, opened, publish, until, until_found
from tests.nodes import node, project

LONG = "scenario: long\ntrigger: segment\nsteps: [{wait_for: order.delivered, for: 1h}]\n"
NEVER = "scenario: never\ntrigger: segment\nentry: {if: contact.email != blank}\nsteps: [{exit: done}]\n"
EXAMPLES = 2
"""Requests of each kind that are tried at each address: with more, the suite takes longer and finds no more."""
KNOWN = (
    (202, "POST", "/v1/entries", entry("long", 11), ""),
    (409, "POST", "/v1/entries", entry("long", 11), ""),
    (422, "POST", "/v1/entries", entry("log", 11), ""),
    (201, "POST", "/v1/entries", entry("long", 12), "wait=30"),
    (200, "POST", "/v1/entries", entry("never", 12), "wait=30"),
    (200, "POST", "/v1/entries/batch", [entry("long", 13), entry("long", 12), entry("log", 14)], ""),
    (202, "POST", "/v1/events", {"contact": 11, "name": "order.delivered"}, ""),
    (404, "POST", "/v1/events", {"journey": "long/99", "name": "order.delivered"}, ""),
    (200, "POST", "/v1/events/batch", [{"contact": "12", "name": "order.delivered"}, {"name": "x"}], ""),
    (200, "PATCH", "/v1/contacts/{contact}", {"language": "fr"}, ""),
)
"""Requests whose answers are known: status, request, and its header Prefer."""


@pytest.mark.encrypted
@pytest.mark.parametrize("mode", ["positive", pytest.param("negative", marks=pytest.mark.nightly)])
async def test_whatever_is_asked_is_answered_as_declared(stand: Stands, tmp_path: Path, mode: str) -> None:
    async with stand() as up, api(up.client) as here:
        for scenario in (LONG, NEVER):
            await publish(up.client, tmp_path, scenario)
        await asyncio.to_thread(ask_all, here, mode)


def ask_all(here: Api, mode: str) -> None:
    # Imported here: it takes half a second, in each process of the tests.
    import schemathesis
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi import checks

    responses = [
        not_a_server_error,
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_headers_conformance,
        checks.response_schema_conformance,
    ]
    with catch_warnings():
        simplefilter("ignore")  # of what others do in the description's name
        schema: Any = schemathesis.openapi.from_url(f"{here.url}/v1/openapi.json")
        for status, method, path, body, prefer in KNOWN:
            case = schema[path][method].Case(
                body=body, path_parameters={"contact": "11"}, media_type="application/json"
            )
            answer = case.call(headers={**here.headers, **({"prefer": prefer} if prefer else {})}, timeout=120)
            assert answer.status_code == status, answer.text
            case.validate_response(answer, checks=responses)
        asked = 0
        for found in schema.get_all_operations():
            operation = found.ok()

            @settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
            @given(case=operation.as_strategy(schemathesis.GenerationMode(mode)))
            def ask(case: Any) -> None:
                answer = case.call(headers=here.headers, timeout=120)
                if answer.status_code != 431:  # too long for the server, which has not asked the API
                    case.validate_response(answer, checks=responses)

            ask()
            asked += 1
        assert asked > 10


# ---- what the page about the API shows

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
                    await until(partial(stood.client.store.has_entered, entered[1]))  # a reader is slower than this
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
        out = await run(sys.executable, str(PROGRAMS / "engine_http.py"), place=place, folder=tmp_path)
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
