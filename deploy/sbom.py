"""Lists the packages in the image: `sbom.cdx.json` (CycloneDX 1.6) and `deploy/licences.md`.

    uv run --all-groups python deploy/sbom.py                  after requirements.lock has changed
    python deploy/sbom.py --release 0.1.0 dist/sbom.cdx.json   the same list, for a release of that version

The packages are those of the production section of `requirements.lock`, for the image's Python on Linux, and the script
of the pages. A licence that is not in `ALLOWED` is an error. The output is reproducible: it contains no time or random
number.

Needs `uv` in PATH and a package index, except with --release.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
SBOM: Final = ROOT / "deploy" / "sbom.cdx.json"
LICENCES: Final = ROOT / "deploy" / "licences.md"
LOCK: Final = ROOT / "requirements.lock"
LOCAL: Final = "# Local:"
"""End of the lock's production section."""
HTMX: Final = ROOT / "gateway" / "pages" / "static" / "htmx.min.js"
PLATFORM: Final = "x86_64-manylinux_2_28"

ALLOWED: Final = {
    "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MIT-0", "PSF-2.0", "Unlicense",
    "LGPL-3.0-only", "MPL-2.0",
}  # fmt: skip
"""SPDX ids of accepted licences. `deploy/licences.md` lists the obligations of the last two."""

READ: Final = {  # SPDX expressions of packages without one in their metadata, from their licence files
    "aiohappyeyeballs": "PSF-2.0",
    "aiosignal": "Apache-2.0",
    "jinja2": "BSD-3-Clause",
    "protobuf": "BSD-3-Clause",
    "python-dateutil": "Apache-2.0 OR BSD-3-Clause",
}

_TABLE: Final = "| package | version | licence |\n|---|---|---|\n"


def name_of(component: dict[str, Any]) -> str:
    """Return a component's normalised name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", component["name"]).lower() if "pypi" in component["purl"] else component["name"]


def licence_of(component: dict[str, Any]) -> str:
    """Return the SPDX expression of a component."""
    (found,) = component["licenses"]
    return found.get("expression") or found["license"]["id"]


def allowed(expression: str) -> bool:
    """Return True if a licence is accepted, given as an SPDX expression without parentheses."""
    return any(all(one in ALLOWED for one in all_of.split(" AND ")) for all_of in expression.split(" OR "))


def page(before: str, sbom: dict[str, Any]) -> str:
    """Return the text of `deploy/licences.md` with a new table."""
    rows = sorted((name_of(one), one["version"], licence_of(one)) for one in sbom["components"])
    return before.partition(_TABLE)[0] + _TABLE + "".join(f"| {' | '.join(row)} |\n" for row in rows)


def released(sbom: dict[str, Any], version: str) -> dict[str, Any]:
    """Return the list for a release: the committed one cannot contain the tag."""
    component = sbom["metadata"]["component"] | {"version": version}
    return sbom | {"metadata": sbom["metadata"] | {"component": component}}


def text_of(sbom: dict[str, Any]) -> str:
    return json.dumps(sbom, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def made() -> dict[str, Any]:
    """List the packages of the lock. Raise ValueError if a licence is unknown or not accepted."""
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
    image = re.search(r"^FROM python:(\d+\.\d+)", dockerfile, re.MULTILINE)
    if image is None:
        raise ValueError("deploy/Dockerfile begins with no image of Python: say here which Python it has")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        production = LOCK.read_text(encoding="utf-8").partition(LOCAL)[0]
        (place / "production.lock").write_text(production, encoding="utf-8")
        target = ("--python-version", image[1], "--python-platform", PLATFORM)
        _run("uv", "venv", "--quiet", "environment", cwd=place)
        _run(
            *("uv", "pip", "install", "--quiet", "--python", "environment", *target, "--no-deps"),
            *("--require-hashes", "--only-binary", ":all:", "--requirement", "production.lock"),
            cwd=place,
        )
        _run(
            *(sys.executable, "-m", "cyclonedx_py", "environment", "--output-reproducible", "--short-PURLs"),
            *("--pyproject", str(ROOT / "pyproject.toml"), "--output-file", "sbom.json", "environment"),
            cwd=place,
        )
        sbom: dict[str, Any] = json.loads((place / "sbom.json").read_text(encoding="utf-8"))
    sbom["metadata"].pop("tools", None)  # which program wrote it, with its own addresses
    for component in sbom["components"]:
        component.pop("externalReferences", None)
        component["licenses"] = [_licence(component)]
    sbom["components"].append(_htmx())
    return sbom


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Writes deploy/sbom.cdx.json and deploy/licences.md.")
    parser.add_argument("--release", metavar="VERSION", help="only write the list of this release to FILE")
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE")
    given = parser.parse_args(arguments)
    if (given.release is None) != (given.file is None):
        parser.error("--release VERSION and FILE go together")
    if given.release:
        listed = json.loads(SBOM.read_text(encoding="utf-8"))
        given.file.write_text(text_of(released(listed, given.release)), encoding="utf-8")
        return 0
    try:
        sbom = made()
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except subprocess.CalledProcessError as error:
        return int(error.returncode)
    SBOM.write_text(text_of(sbom), encoding="utf-8")
    LICENCES.write_text(page(LICENCES.read_text(encoding="utf-8"), sbom), encoding="utf-8")
    sys.stdout.write(f"{len(sbom['components'])} packages\n")
    return 0


def _licence(component: dict[str, Any]) -> dict[str, Any]:
    name = name_of(component)
    given = component.get("licenses", [])
    exact = {one.get("expression") or one["license"].get("id") for one in given} - {None}
    if not (expression := READ.get(name)):
        if len(exact) != 1:
            raise ValueError(f"{name} names no one licence exactly: read its licence file, and add it to READ")
        (expression,) = exact
    if not allowed(expression):
        raise ValueError(f"{name} is under {expression}, which ALLOWED has not: do without it, or allow it")
    return {"expression": expression} if " " in expression else {"license": {"id": expression}}


def _htmx() -> dict[str, Any]:
    content = HTMX.read_bytes()
    version = re.match(rb"/\*! htmx\.org (\S+)\s+Zero-Clause BSD", content)
    if version is None:
        raise ValueError(f"{HTMX.name} does not begin with its version and licence")
    number = version[1].decode()
    return {
        "bom-ref": f"htmx.org@{number}",
        "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(content).hexdigest()}],
        "licenses": [{"license": {"id": "0BSD"}}],
        "name": "htmx.org",
        "purl": f"pkg:npm/htmx.org@{number}",
        "type": "library",
        "version": number,
    }


def _run(*words: str, cwd: Path) -> None:
    subprocess.run(words, cwd=cwd, check=True)  # noqa: S603 - the words are ours


if __name__ == "__main__":
    sys.exit(main())
