"""The command that runs the case files of scenarios: test."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from shutil import copymode
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gateway.cli.configuration import DestinationsOption, PoliciesOption
from gateway.cli.output import count
from gateway.cli.preview import renderer
from gateway.errors import BadInput, why
from gateway.terminal import dump, note, say

if TYPE_CHECKING:
    from gateway.cases.compare import Result
    from gateway.cases.file import Cases
    from gateway.cases.run import Circumstances

FilesArgument = Annotated[
    list[Path], typer.Argument(metavar="FILE...", help="scenarios, their case files, or folders", show_default=False)
]

CasesFormat = Literal["text", "json", "junit"]


def cases(
    files: FilesArgument,
    case: Annotated[
        str | None, typer.Option(metavar="TEXT", help="only cases with this in their names", show_default=False)
    ] = None,
    update: Annotated[bool, typer.Option("--update", help="write the results into the case files")] = False,
    destinations: DestinationsOption = None,
    policies: PoliciesOption = None,
    form: Annotated[
        CasesFormat, typer.Option("--format", help="text for people, json for programs, junit (XML) for CI")
    ] = "text",
) -> None:
    """Run the cases of scenarios in virtual time. Nothing is sent. No server is needed.

    The cases of post-purchase.yaml are in post-purchase.test.yaml in the same folder. Differences are shown as expected
    and got, with their line. The exit status is 1 if there is a difference or an error.
    """
    from gateway.cases.compare import unread
    from gateway.cases.file import DefaultFiles, case_files, read
    from gateway.cases.run import Circumstances
    from runtime.settings import Settings

    settings = Settings()
    around = Circumstances(platform_zone=settings.platform_timezone, renderer=renderer(settings))
    paths = list(dict.fromkeys(found for file in files for found in case_files(file)))
    results: list[Result] = []
    broken: list[Result] = []
    for path in paths:
        read_cases, findings = read(path, DefaultFiles(destinations, policies))
        for finding in findings:
            note(str(finding))
        if read_cases is None:
            broken.append(unread(str(path), findings))
            continue
        done = _run(read_cases, case, around)
        if update:
            done = _update(read_cases, case, around, done)
        if form == "text" and done:
            _show(path, done)
        results += done
    if case is not None and not results and not broken:
        raise BadInput(f"no case has '{case}' in its name")
    _summarise(results, broken, form)
    if broken or any(not one.passed for one in results):
        raise typer.Exit(1)


def _run(cases: Cases, wanted: str | None, around: Circumstances) -> list[Result]:
    from gateway.cases.compare import compare, result
    from gateway.cases.run import run

    results: list[Result] = []
    for name, case in cases.file.cases.items():
        if wanted is None or wanted in name:
            began = perf_counter()
            differences = compare(case, run(cases, name, around))
            results.append(result(cases.source, name, differences, perf_counter() - began))
    return results


def _update(cases: Cases, wanted: str | None, around: Circumstances, done: list[Result]) -> list[Result]:
    from gateway.cases.update import updated

    if all(one.passed for one in done):
        return done
    changed = updated(cases, {one.name for one in done if not one.passed}, around)
    if changed is None:
        note(f"{cases.path}: nothing was written: these differences can only be changed by hand")
        return done
    _write(cases.path, changed.source.text)
    note(f"{cases.path}: the results were written")
    refused = [name for name, case in changed.file.cases.items() if case.expect and case.expect.refused is not None]
    if any((expect := cases.file.cases[name].expect) is None or expect.refused is None for name in refused):
        of_all = f"{len(refused)} of {len(changed.file.cases)} cases {'is' if len(refused) == 1 else 'are'} refused"
        note(f"{cases.path}: {of_all}, and nothing is sent there: {', '.join(refused)}")
    return _run(changed, wanted, around)


def _write(path: Path, text: str) -> None:
    """Replace a file's text atomically, so that an error loses nothing."""
    target = path.resolve()  # where a link leads: it stays a link
    beside = target.with_name(f".{target.name}.new")
    try:
        beside.write_bytes(text.encode())
        copymode(target, beside)
        beside.replace(target)
    except OSError as error:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise BadInput(f"{path} cannot be written: {why(error)}") from None


def _show(path: Path, results: list[Result]) -> None:
    from gateway.cases.compare import lines

    say(str(path))
    for one in results:
        for line in lines(one):
            say(line)


def _summarise(results: list[Result], broken: list[Result], form: CasesFormat) -> None:
    from gateway.cases.compare import as_json, junit

    if form == "json":
        dump([as_json(one) for one in (*broken, *results)])
    elif form == "junit":
        say(junit((*broken, *results)))
    failed = sum(not one.passed for one in results)
    if results or not broken:
        note(f"{count(len(results), 'case')}, {f'{failed} failed' if failed else 'all as expected'}")
