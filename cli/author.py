"""Commands for authors of scenarios: check, schema, sample, map, publish, test."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from shutil import copymode
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from authoring.errors import BadInput, why
from cli import session
from cli.configuration import DestinationsOption, PoliciesOption, book_in, known_in, policies_in
from cli.entry_files import STDIN, writing
from cli.options import FormatOption, argument, flag, login, option
from cli.output import count, print_line
from cli.preview import FileArgument, draft_of, renderer
from cli.terminal import console, dump, note, say, styled, text
from service.caller import TERMINAL

if TYPE_CHECKING:
    from activities.content import LoadedVersion
    from authoring.cases.compare import Result
    from authoring.cases.file import Cases
    from authoring.cases.run import Circumstances
    from authoring.publishing import Publication
    from scenario.model.scenario import Scenario
    from scenario.source.findings import Finding

FilesArgument = Annotated[list[Path], argument("FILE...", "scenario files, in YAML")]
_SCHEMAS: Final = {  # the functions that make schemas, by the kind of file
    "scenario": "scenario.model.json_schema:schema",
    "entry": "scenario.model.json_schema:entry_schema",
    "destinations": "activities.webhook.destinations.form:schema",
    "cases": "authoring.cases.model:schema",
    "policies": "scenario.policies.policies:schema",
}
SchemaArgument = Annotated[
    Literal["scenario", "entry", "destinations", "cases", "policies"],
    argument("[KIND]", "scenario, entry, destinations, policies or cases"),
]


def check(
    files: FilesArgument,
    form: FormatOption = "text",
    destinations: DestinationsOption = None,
    policies: PoliciesOption = None,
) -> None:
    """Report all errors and warnings in scenario files or their case files, with line and column.

    With a destinations.yaml, also report webhook destinations that it does not list, and headers that it sets itself.

    Text output has one finding per line: file:line:column: severity code: message. JSON is a list of objects with the
    same names. The exit status is 1 if there is an error. Warnings do not change it.
    """
    from authoring.cases.file import DefaultFiles, read
    from authoring.publishing import CASES, check_file

    known, rules = known_in(destinations), policies_in(policies)
    findings: list[Finding] = []
    unread: list[BadInput] = []
    for path in files:
        try:
            if path.name.endswith(CASES):
                findings += read(path, DefaultFiles(destinations, policies))[1]
            else:
                findings += check_file(path, known, rules).findings
        except BadInput as error:
            unread.append(error)
    if form == "json":
        dump(findings)
    else:
        _list_findings(findings)
    for error in unread:
        note(f"scenario: {error}")
    if read := len(files) - len(unread):
        note(_summary(findings, read))
    if unread or _has_error(findings):
        raise typer.Exit(1)


def schema(of: SchemaArgument = "scenario") -> None:
    """Print a JSON Schema, for editors: of scenarios, entries, destinations.yaml, policies.yaml or case files."""
    from pkgutil import resolve_name

    dump(resolve_name(_SCHEMAS[of])())


def sample(file: FileArgument, destinations: DestinationsOption = None) -> None:
    """Print a generated entry that has exactly the fields that the scenario's templates and conditions use.

    Edit its values, then use it: scenario sample a.yaml > entry.json, then scenario preview a.yaml --entry entry.json.
    """
    from authoring.preview.samples import first_entry

    entry = first_entry(draft_of(file, book_in(destinations), "text"))
    if entry is None:
        raise BadInput(f"no generated contact is admitted by 'entry.if' of {file}: write an entry by hand")
    dump(entry)


def publish(
    files: FilesArgument,
    destinations: DestinationsOption = None,
    policies: PoliciesOption = None,
    newest: Annotated[
        bool, flag("--newest", "roll back: make it the newest version again if a later one exists")
    ] = False,
    journeys: Annotated[
        Literal["pin", "follow"] | None,
        typer.Option(
            help="follow: journeys of this version move to newer ones as soon as they can; pin: they stay (the default)"
        ),
    ] = None,
) -> None:
    """Check scenario files and store them. Print name@version.

    If one of them has an error, none is stored. Case files are ignored. Content that was published before keeps its
    version. If a newer version exists, new journeys keep using the newer one, and the command says so: --newest makes
    this version the newest again. The same content with another value of --journeys is a new version.

    Standard error gets the differences from the previous version, and what happens to the running journeys of earlier
    versions: 'scenario migrate' moves them to this one.
    """
    from authoring.publishing import CASES, check_file, publish_checked

    files = [path for path in files if not path.name.endswith(CASES)]
    if not files:
        raise BadInput("these files hold no scenario: 'scenario test' runs cases, which are not published")
    known, rules = known_in(destinations), policies_in(policies)
    scenarios: dict[Path, Scenario] = {}
    findings: list[Finding] = []
    for path in files:
        checked = check_file(path, known, rules)
        findings += checked.findings
        if checked.scenario is not None:
            scenarios[path] = checked.scenario
    _list_findings(findings, err=True)
    if _has_error(findings):
        note(f"scenario: nothing was published: {_summary(findings, len(files))}")
        raise typer.Exit(1)
    # Of two files with the same scenario name, chance would decide which becomes the newest version.
    first: dict[str, Path] = {}
    for path, scenario in scenarios.items():
        if (other := first.setdefault(scenario.scenario, path)) != path:
            raise BadInput(f"{other} and {path} are both the scenario '{scenario.scenario}': publish one of them")

    async def store_all() -> None:
        async with session.stored(migrate=True, writes=True) as store:
            for scenario in scenarios.values():
                _tell_published(await publish_checked(scenario, store, login(), newest=newest, journeys=journeys))

    asyncio.run(store_all())


def _tell_published(published: Publication) -> None:
    """Print the differences from the previous version, and what happens to running journeys."""
    name = published.scenario
    say(str(published))
    if published.before is not None and published.difference is not None:
        note(f"scenario: {published} after {name}@{published.before}: {published.difference}")
        for draw in published.difference.redrawn:
            note(f"scenario: {draw.since(f'{name}@{published.before}')}")
    for earlier in published.under_way:
        running = f"{count(earlier.journeys, 'journey')} of {name}@{earlier.version}"
        s = "s" if earlier.journeys == 1 else ""
        stays = f"stay{s} there: see 'scenario migrate {name} --from {earlier.version} --dry-run'"
        note(f"scenario: {running} {f'move{s} to it' if earlier.follows else stays}")
    if published.newest > published.version:
        newer = f"{name}@{published.newest}"
        note(
            f"scenario: {published} is published already, and new journeys use {newer}, which is newer: "
            "to roll back, publish the file with --newest"
        )


def _list_findings(findings: Iterable[Finding], *, err: bool = False) -> None:
    stream = sys.stderr if err else sys.stdout
    for one in findings:
        if stream.isatty():
            from rich.text import Text

            place, what = text(f"{one.file}:{one.line}:{one.column}: ", "bold"), styled(one.severity)
            print_line(console(err=err), Text.assemble(place, what, text(f" {one.code}: ", "dim"), text(one.message)))
        else:
            (note if err else say)(str(one))


def _has_error(findings: Iterable[Finding]) -> bool:
    return any(finding.severity == "error" for finding in findings)


def _summary(findings: Sequence[Finding], files: int) -> str:
    """Return a summary such as ``2 errors and 1 warning in 3 files``."""
    counts = Counter(finding.severity for finding in findings)
    found = [count(counts[severity], severity) for severity in ("error", "warning") if counts[severity]]
    return f"{' and '.join(found) or 'nothing wrong'} in {count(files, 'file')}"


def draw(
    what: Annotated[str, argument("FILE|NAME[@VERSION]", "a scenario file, or one that is published")],
    form: Annotated[
        Literal["svg", "mermaid"], typer.Option("--format", help="svg: a drawing; mermaid: text for documents")
    ] = "svg",
    output: Annotated[Path | None, option("FILE", "where to write it", show_default="standard output")] = None,
    since: Annotated[int | None, option("VERSION", "mark differences from this version", min=1)] = None,
    destinations: DestinationsOption = None,
) -> None:
    """Draw a map of a scenario: its steps, and the ways between them.

    A name without a version means the newest published version. With --since, steps added or changed since a published
    version are marked, and removed steps are listed. GitHub draws a Mermaid map that is in a code block named mermaid.
    """
    from authoring.map import outline
    from authoring.map.map import ScenarioMap
    from scenario.plan.migration import difference
    from service.scenarios import ScenarioService

    def opened(name: str, number: int | None) -> LoadedVersion:
        return session.ask_store(lambda store: ScenarioService(store).opened(TERMINAL, name, number))

    path = Path(what)
    if path.suffix in (".yaml", ".yml") or len(path.parts) > 1 or path.exists():
        made = draft_of(path, book_in(destinations), "text")
        name = title = made.scenario.scenario
        plan = made.plan
    else:
        name, at, number = what.partition("@")
        if at and not (number.isascii() and number.isdecimal()):
            raise BadInput(f"'{what}' is neither a file nor a version: write post-purchase.yaml or post-purchase@3")
        made = opened(name, int(number) if at else None)
        title, plan = f"{name}@{made.version}", made.table
    earlier = None if since is None else opened(name, since).scenario
    changes = outline.since(difference(earlier, made.scenario)) if earlier else outline.Overlay()
    drawn = ScenarioMap(plan, title, made.scenario.trigger, changes)
    with writing(output or Path(STDIN)) as file:
        file.write(drawn.svg(standalone=True) if form == "svg" else drawn.mermaid())


def cases(
    files: Annotated[list[Path], argument("FILE...", "scenarios, their case files, or folders", show_default=False)],
    case: Annotated[str | None, option("TEXT", "only cases with this in their names", show_default=False)] = None,
    update: Annotated[bool, flag("--update", "write the results into the case files")] = False,
    destinations: DestinationsOption = None,
    policies: PoliciesOption = None,
    form: Annotated[
        Literal["text", "json", "junit"],
        typer.Option("--format", help="text for people, json for programs, junit (XML) for CI"),
    ] = "text",
) -> None:
    """Run the cases of scenarios in virtual time. Nothing is sent. No server is needed.

    The cases of post-purchase.yaml are in post-purchase.test.yaml in the same folder. Differences are shown as expected
    and got, with their line. The exit status is 1 if there is a difference or an error.
    """
    from authoring.cases.compare import as_json, junit, lines, unread
    from authoring.cases.file import DefaultFiles, case_files, read
    from authoring.cases.run import Circumstances
    from runtime.settings import Settings

    settings = Settings()
    around = Circumstances(platform=settings.platform, renderer=renderer(settings))
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
        done = _run_cases(read_cases, case, around)
        if update:
            done = _update_cases(read_cases, case, around, done)
        if form == "text" and done:
            say("\n".join((str(path), *(line for one in done for line in lines(one)))))
        results += done
    if case is not None and not results and not broken:
        raise BadInput(f"no case has '{case}' in its name")
    if form == "json":
        dump([as_json(one) for one in (*broken, *results)])
    elif form == "junit":
        say(junit((*broken, *results)))
    failed = sum(not one.passed for one in results)
    if results or not broken:
        note(f"{count(len(results), 'case')}, {f'{failed} failed' if failed else 'all as expected'}")
    if broken or failed:
        raise typer.Exit(1)


def _run_cases(cases: Cases, wanted: str | None, around: Circumstances) -> list[Result]:
    from authoring.cases.compare import compare, result
    from authoring.cases.run import run

    results: list[Result] = []
    for name, case in cases.file.cases.items():
        if wanted is None or wanted in name:
            began = perf_counter()
            differences = compare(case, run(cases, name, around))
            results.append(result(cases.source, name, differences, perf_counter() - began))
    return results


def _update_cases(cases: Cases, wanted: str | None, around: Circumstances, done: list[Result]) -> list[Result]:
    from authoring.cases.update import updated

    if all(one.passed for one in done):
        return done
    changed = updated(cases, {one.name for one in done if not one.passed}, around)
    if changed is None:
        note(f"{cases.path}: nothing was written: these differences can only be changed by hand")
        return done
    _write_atomically(cases.path, changed.source.text)
    note(f"{cases.path}: the results were written")
    refused = [name for name, case in changed.file.cases.items() if case.expect and case.expect.refused is not None]
    if any((expect := cases.file.cases[name].expect) is None or expect.refused is None for name in refused):
        of_all = f"{len(refused)} of {len(changed.file.cases)} cases {'is' if len(refused) == 1 else 'are'} refused"
        note(f"{cases.path}: {of_all}, and nothing is sent there: {', '.join(refused)}")
    return _run_cases(changed, wanted, around)


def _write_atomically(path: Path, text: str) -> None:
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
