"""The dashboard: what Grafana takes, without holes, every expression one that Prometheus can read."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any, Final

import yaml

from tests.deploy.expressions import DASHBOARD, filled, panels
from tests.deploy.test_prometheus import promtool

SHOWN: Final[list[dict[str, Any]]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def test_every_expression_can_be_read(tmp_path: Path) -> None:
    rules = [{"record": f"panel:{number}", "expr": text} for number, (_, text) in enumerate(panels())]
    rules.append({"record": "panel:notes", "expr": DASHBOARD["annotations"]["list"][0]["expr"]})
    path = tmp_path / "panels.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}), encoding="utf-8")
    done = promtool("check", "rules", path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_panel_asks_the_prometheus_that_was_chosen() -> None:
    names = [variable["name"] for variable in DASHBOARD["templating"]["list"]]
    assert names == ["datasource", "destination", "scenario"]
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    for panel in SHOWN:
        assert panel["datasource"] == chosen
        assert panel["targets"]
        assert all(target["datasource"] == chosen for target in panel["targets"])
        assert "$" not in "".join(filled(target["expr"]) for target in panel["targets"])


def test_panels_have_numbers_titles_and_sentences_of_their_own() -> None:
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    titles = [panel["title"] for panel in DASHBOARD["panels"]]
    assert len(set(numbers)) == len(numbers)
    assert len(set(titles)) == len(titles)
    assert all(panel["description"].endswith(".") for panel in SHOWN)


def test_no_panel_lies_on_another() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        columns, lines = range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
        for cell in itertools.product(columns, lines):
            assert taken.setdefault(cell, panel["title"]) == panel["title"]
