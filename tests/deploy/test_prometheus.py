"""The alert rules and the dashboard: right, tried both ways, about metrics and commands that there are."""

from __future__ import annotations

import importlib.util
import itertools
import os
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
import typer
import yaml

from cli.app import app
from runtime.errors import NotInstalled
from runtime.local.devserver import find_program
from runtime.telemetry import metrics
from tests.deploy.expressions import ALERTS, DASHBOARD, GROUPS, RECORDS, RULES, filled, panels, selectors
from tests.docs.test_names import anchors
from tests.documents import DOCS
from tests.factories import present
from tests.servers import find

FOLDER: Final = RULES.parent
TESTS: Final = sorted(FOLDER.glob("*_test.yaml"))
RUNBOOKS: Final = (DOCS / "run/slo.md").read_text("utf-8")
EXPRESSIONS: Final = [*RECORDS.values(), *(alert["expr"] for alert in ALERTS.values()), *(text for _, text in panels())]
OF_OTHERS: Final = {
    *("up", "ALERTS", "process_cpu_seconds_total", "process_resident_memory_bytes", "process_start_time_seconds"),
    "scenario_history_used_bucket",
}
"""What Prometheus and its client tell, and journeys by the SDK; `python -m benchmarks.dashboard` sees that they do."""
OF_THE_SCRAPE: Final = {"le", "job", "instance"}


@cache
def tried() -> list[dict[str, Any]]:
    return [yaml.safe_load(path.read_text("utf-8")) for path in TESTS]


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    # It is short-lived: collecting its garbage would take a third of its time.
    environ = {**os.environ, "GOGC": "400"}
    return subprocess.run(
        [find("promtool"), *map(str, arguments)], env=environ, capture_output=True, text=True, timeout=120
    )


def asked(expression: str) -> set[str]:
    """The metrics that an expression asks for, by way of records too."""
    direct = {selector.metric for selector in selectors(expression)}
    return direct.union(*(asked(RECORDS[name]) for name in direct & RECORDS.keys()))


def narrowed(path: Path, folder: Path) -> list[Path]:
    """Write a file for each test, with only the rules that it names and those about its series, and return them.

    promtool evaluates all rules at each step of each test. The others find nothing, which takes most of its time.
    """
    metrics_of = {
        rule.get("alert") or rule["record"]: asked(rule["expr"]) for group in GROUPS for rule in group["rules"]
    }
    text, files = path.read_text("utf-8"), list[Path]()
    given, as_text = yaml.safe_load(text), yaml.load(text, yaml.BaseLoader)  # 0x20 is no number
    for number, test in enumerate(given["tests"]):
        test["input_series"] = as_text["tests"][number]["input_series"]
        series = {re.split(r"[{ ]", one["series"])[0] for one in test["input_series"]}
        kept = {one["alertname"] for one in test.get("alert_rule_test", ())}
        kept |= {name for name, metrics in metrics_of.items() if metrics & series}
        kept |= set[str]().union(*(asked(one["expr"]) for one in test.get("promql_expr_test", ())))
        kept = kept.union(*(metrics_of[name] for name in kept & metrics_of.keys()))
        groups = [
            {**group, "rules": rules}
            for group in GROUPS
            if (rules := [rule for rule in group["rules"] if kept & {rule.get("alert"), rule.get("record")}])
        ]
        order = [group["name"] for group in groups]
        rules, file = f"{number}.yaml", folder / f"{number}_test.yaml"
        (folder / rules).write_text(yaml.safe_dump({"groups": groups}), "utf-8")
        file.write_text(
            yaml.safe_dump({**given, "rule_files": [rules], "group_eval_order": order, "tests": [test]}), "utf-8"
        )
        files.append(file)
    return files


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_the_alerts_fire_where_they_have_to_and_only_there(path: Path, tmp_path: Path) -> None:
    done = promtool("test", "rules", *narrowed(path, tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_alert_is_tried_with_what_makes_it_fire_and_with_what_does_not() -> None:
    cases = [case for one in tried() for test in one["tests"] for case in test["alert_rule_test"]]
    for name in ALERTS:
        mine = [case["exp_alerts"] for case in cases if case["alertname"] == name]
        fired = [alert for alerts in mine for alert in alerts]
        assert fired, name
        assert [] in mine, name
        assert all(set(alert["exp_annotations"]) == {"summary", "description", "runbook_url"} for alert in fired), name


def test_an_alert_says_how_bad_it_is_and_what_to_do() -> None:
    assert all(one["group_eval_order"] == [group["name"] for group in GROUPS] for one in tried())
    runbooks = anchors(DOCS / "run/slo.md")
    for name, alert in ALERTS.items():
        labels, annotations = alert["labels"], alert["annotations"]
        assert (labels["service"], annotations["runbook_url"]) == ("scenario-runner", f"slo.md#{name.lower()}")
        assert labels["severity"] in {"critical", "warning"}, name
        assert name.lower() in runbooks
    after = RUNBOOKS.partition("## What to do")[2]
    assert re.findall(r"^### (\w+)$", after, re.MULTILINE) == list(ALERTS), "no runbook is about one that is gone"


def test_a_runbooks_commands_are_ours() -> None:
    commands: Any = typer.main.get_command(app)
    lines: list[str] = re.findall(r"^    scenario (.+?)(?: \|.*)?$", RUNBOOKS, re.MULTILINE)
    assert lines
    for line in set(lines):
        name, *arguments = re.findall(r'"[^"]*"|\S+', line)
        commands.commands[name].make_context(name, arguments)  # raises what is wrong


def test_a_runbooks_commands_of_temporal_are_its() -> None:
    try:
        program = find_program()
    except NotInstalled as missing:
        pytest.skip(str(missing))

    @cache
    def printed(*words: str) -> str:
        return subprocess.run([program, *words], capture_output=True, text=True, timeout=60).stdout

    lines: list[str] = re.findall(r"^    temporal (.+?)$", RUNBOOKS, re.MULTILINE)
    assert lines
    for line in set(lines):
        words = re.findall(r'"[^"]*"|\S+', line)
        first = next(number for number, word in enumerate(words) if word.startswith("--"))
        told = printed(*words[:first], "--help")
        assert f"temporal {' '.join(words[:first])}" in told, line
        told += printed("options")
        options = [word for word in words if word.startswith("--")]
        assert [option for option in options if not re.search(rf"\s{option}[\s,]", told)] == [], line


def exported() -> dict[str, set[str]]:
    """Names of our metrics as Prometheus has them, with their labels."""
    found: dict[str, set[str]] = {}
    for metric in (*metrics.OF_EACH, *metrics.OF_ALL):
        name = metric.name.replace(".", "_") + ("_seconds" if metric.unit == "s" else "")
        labels = {label.replace(".", "_") for label in metric.labels}
        if isinstance(metric, metrics.Histogram):
            found |= {f"{name}_{part}": labels for part in ("bucket", "count", "sum")}
        else:
            found[f"{name}_total" if isinstance(metric, metrics.Counter) else name] = labels
    return found


def test_every_metric_that_is_asked_for_is_exported() -> None:
    # The SDK lists its metrics nowhere, but its compiled part holds their names.
    compiled = present(importlib.util.find_spec("temporalio.bridge.temporal_sdk_bridge"))
    assert compiled.origin is not None
    ours, native = exported(), Path(compiled.origin).read_bytes()
    jobs = {job["job_name"] for job in yaml.safe_load((FOLDER / "prometheus.yml").read_text("utf-8"))["scrape_configs"]}
    assert {job for text in EXPRESSIONS for job in re.findall(r'job="([^"]+)"', text)} == {"scenario-worker"} <= jobs
    for expression in EXPRESSIONS:
        found = [*selectors(expression)]
        assert found, expression
        for selector in found:
            name = selector.metric
            if name in OF_OTHERS or name in RECORDS:
                continue
            if name.startswith("temporal_"):
                word = re.sub(r"^temporal_|_seconds_(bucket|count|sum)$|_total$", "", name)
                assert word.encode() in native, name
            else:
                assert name in ours, name
                assert selector.labels - OF_THE_SCRAPE <= ours[name], selector.text


SHOWN: Final[list[dict[str, Any]]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def test_rules_configuration_and_every_expression_can_be_read(tmp_path: Path) -> None:
    rules = [{"record": f"panel:{number}", "expr": text} for number, (_, text) in enumerate(panels())]
    rules.append({"record": "panel:notes", "expr": DASHBOARD["annotations"]["list"][0]["expr"]})
    path = tmp_path / "panels.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}), encoding="utf-8")
    config = FOLDER / "prometheus.yml"
    for words in (("rules", path), ("rules", "--lint-fatal", RULES), ("config", "--lint-fatal", config)):
        done = promtool("check", *words)
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


def test_no_panel_lies_on_another_or_is_called_like_one() -> None:
    for key in ("id", "title"):
        named = [panel[key] for panel in DASHBOARD["panels"]]
        assert len(set(named)) == len(named)
    assert all(panel["description"].endswith(".") for panel in SHOWN)
    taken: dict[tuple[int, int], str] = {}
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        columns, lines = range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
        for cell in itertools.product(columns, lines):
            assert taken.setdefault(cell, panel["title"]) == panel["title"]
