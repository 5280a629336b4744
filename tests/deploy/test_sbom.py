"""The list of what the image ships, and its licences."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import Marker

from tests.servers import load

ROOT = Path(__file__).parent.parent.parent
IMAGE = {
    "implementation_name": "cpython",
    "platform_python_implementation": "CPython",
    "python_full_version": "3.13.0",
    "python_version": "3.13",
    "sys_platform": "linux",
}


sbom = load(ROOT / "deploy" / "sbom.py")
LISTED: dict[str, Any] = json.loads(sbom.SBOM.read_text(encoding="utf-8"))
COMPONENTS: list[dict[str, Any]] = LISTED["components"]
AGAIN = "run deploy/sbom.py: requirements.lock has changed"


def test_it_lists_what_the_image_installs_and_nothing_else() -> None:
    production = sbom.LOCK.read_text(encoding="utf-8").partition(f"\n{sbom.LOCAL}")[0]
    pins = re.findall(r"^([a-z0-9-]+)==([^ ;\\]+)(?: ; ([^\\]+?))? \\$", production, re.MULTILINE)
    shipped = {name: version for name, version, marker in pins if not marker or Marker(marker).evaluate(IMAGE)}
    assert len(shipped) > 50
    assert "colorama" not in shipped, "for Windows alone"
    listed = {sbom.name_of(one): one["version"] for one in COMPONENTS if one["purl"].startswith("pkg:pypi/")}
    assert listed == shipped, AGAIN
    assert all(one["purl"].endswith(f"@{one['version']}") for one in COMPONENTS)


def test_what_browsers_are_served_is_listed_as_it_is() -> None:
    (htmx,) = (one for one in COMPONENTS if one["name"] == "htmx.org")
    content = sbom.HTMX.read_bytes()
    assert htmx["hashes"] == [{"alg": "SHA-256", "content": hashlib.sha256(content).hexdigest()}]
    assert content.startswith(f"/*! htmx.org {htmx['version']}\n\nZero-Clause BSD\n".encode())
    ours = {"pages.css", "icon.svg"}
    assert {path.name for path in sbom.HTMX.parent.iterdir()} == {*ours, sbom.HTMX.name}


@pytest.mark.parametrize("expression", ["GPL-3.0-only", "MIT AND GPL-3.0-only", "AGPL-3.0-only OR SSPL-1.0", "", "BSD"])
def test_another_licence_is_none_of_those_that_may_be_shipped(expression: str) -> None:
    assert [one["name"] for one in COMPONENTS if not sbom.allowed(sbom.licence_of(one))] == []
    assert not sbom.allowed(expression)
    assert sbom.allowed(f"MIT OR {expression}")


@pytest.mark.parametrize(
    ("licenses", "said"),
    [
        ([], "odd names no one licence exactly"),
        ([{"license": {"name": "License :: OSI Approved :: BSD License"}}], "odd names no one licence exactly"),
        ([{"license": {"id": "MIT"}}, {"license": {"id": "ISC"}}], "odd names no one licence exactly"),
        ([{"license": {"id": "GPL-3.0-only"}}], "odd is under GPL-3.0-only, which ALLOWED has not"),
    ],
)
def test_what_is_not_known_or_not_allowed_is_not_listed(licenses: list[Any], said: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(said)}"):
        sbom._licence({"name": "Odd", "purl": "pkg:pypi/odd@1", "licenses": licenses})


def test_the_page_says_the_same() -> None:
    assert set(sbom.READ) <= {sbom.name_of(one) for one in COMPONENTS}, "read in licence files"
    before = sbom.LICENCES.read_text(encoding="utf-8")
    assert sbom.page(before, LISTED) == before, AGAIN
    assert before.count("\n| ") == len(COMPONENTS) + 1


def test_nothing_in_it_is_of_when_or_where_it_was_made() -> None:
    text = sbom.SBOM.read_text(encoding="utf-8")
    assert text == sbom.text_of(LISTED)
    assert not {"serialNumber"} & set(LISTED)
    assert not {"timestamp", "tools"} & set(LISTED["metadata"])
    assert re.findall(r"\w+://[^\s\"]*", text) == [LISTED["$schema"]]


def test_a_release_has_its_version(tmp_path: Path) -> None:
    file = tmp_path / "sbom.cdx.json"
    assert sbom.main(["--release", "1.2.3", str(file)]) == 0
    told = json.loads(file.read_text(encoding="utf-8"))
    assert told["metadata"]["component"].pop("version") == "1.2.3"
    assert told == LISTED


def test_it_is_cyclonedx() -> None:
    validation = pytest.importorskip("cyclonedx.validation.json", reason="cyclonedx-bom comes with the group release")
    schema = pytest.importorskip("cyclonedx.schema")
    text = sbom.text_of(sbom.released(LISTED, "1.2.3"))
    assert validation.JsonStrictValidator(schema.SchemaVersion.V1_6).validate_str(text) is None
