"""Maps on the command line."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from gateway.publishing import publish
from runtime.store import Store
from tests.examples.scenarios import EXAMPLES
from tests.fakes import Ran
from tests.gateway.cli.conftest import Run, Stored

FIRST = "scenario: sale\ntrigger: order\nsteps:\n- wait: 1d\n- wait: 2d\n  id: second\n- exit: done\n"
SECOND = FIRST.replace("wait: 1d", "wait: 3d").replace("- wait: 2d\n  id: second\n", "- wait: 5d\n  id: third\n")


@pytest.fixture
def published(run: Run, stored: Stored, tmp_path: Path) -> Run:
    """Commands beside a store with two versions of a scenario."""

    async def fill(store: Store) -> None:
        for text in (FIRST, SECOND):
            (tmp_path / "sale.yaml").write_text(text, "utf-8")
            await publish(tmp_path / "sale.yaml", store)

    stored(fill)
    return run


def steps(text: str) -> dict[str, str]:
    found = ElementTree.fromstring(text).iter()
    return {one.attrib["data-step"]: one.attrib["class"] for one in found if "data-step" in one.attrib}


def test_a_file_is_drawn_without_any_server(run: Run, tmp_path: Path):
    ran, file = run("map", EXAMPLES / "reward.yaml"), tmp_path / "map.svg"
    assert (ran.status, ran.err) == (0, "")
    assert list(steps(ran.out)) == ["you-earned-it", "if-2", "wallet", "if-3", "wait-3.then.1", "last-days"]
    assert run("map", EXAMPLES / "reward.yaml", "--format", "mermaid").out.startswith("flowchart TD\n")
    assert run("map", EXAMPLES / "reward.yaml", "--output", file) == Ran(0, "", "")
    assert file.read_text("utf-8") == ran.out


def test_a_published_version_is_drawn_by_its_name(published: Run):
    for name, version, second in (("sale", 2, "third"), ("sale@1", 1, "second")):
        drawn = published("map", name).out
        assert (list(steps(drawn)), f"Map of sale@{version}" in drawn) == (["wait-1", second, "exit-3"], True)


def test_what_is_different_from_an_earlier_version_is_marked(published: Run, tmp_path: Path):
    for what in ("sale", "sale@2", tmp_path / "sale.yaml"):
        ran = published("map", what, "--since", "1")
        assert steps(ran.out) == {"wait-1": "step waits changed", "third": "step waits added", "exit-3": "step ends"}
        assert "removed: second" in ran.out
