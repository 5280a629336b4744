"""The command line as a process: sentences, exit statuses, what it loads."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cli import program, session
from cli.app import COMMANDS
from tests.cli.conftest import Run
from tests.fakes import Ran

ROOT = Path(__file__).parents[2]
MAIN = "from cli import main; main()"


def process(*arguments: str, code: str = MAIN, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_each_command_has_its_help(run: Run):
    assert run("--version").out.startswith("scenario 0.")
    shown = run().out
    for command in COMMANDS:
        ran = run(command, "--help")
        assert (ran.status, ran.err, f"scenario {command}" in ran.out, f" {command} " in shown) == (0, "", True, True)


def test_a_help_text_has_no_line_breaks_but_the_terminals(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = [line.strip() for line in run("erase", "--help").out.splitlines()]
    first = next(index for index, line in enumerate(lines) if line.startswith("A worker finishes"))
    paragraph = lines[first : lines.index("", first)]
    assert len(paragraph) > 2
    assert all(len(line) > 60 for line in paragraph[:-1])


def test_a_shell_is_told_what_a_word_may_become():
    asked = {"_SCENARIO_COMPLETE": "complete_bash", "COMP_WORDS": "scenario ret", "COMP_CWORD": "1"}
    ran = process(**asked)
    assert (ran.returncode, ran.stdout.split()) == (0, ["retry", "retune"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("The store x is old: run y.", "the store x is old: run y"),
        ("SCENARIO_STORE is wrong", "SCENARIO_STORE is wrong"),
        ("two\n lines", "two lines"),
        ("\x1b[2Jcleared", "\ufffd[2Jcleared"),
    ],
)
def test_every_message_becomes_one_harmless_line(text: str, said: str):
    assert program.sentence(text) == said


def broken(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def connected() -> None:
        raise error

    monkeypatch.setattr(session, "connected", connected)


def test_what_nobody_expected_is_a_sentence_without_data_and_status_70(run: Run, monkeypatch: pytest.MonkeyPatch):
    broken(monkeypatch, KeyError("zoe@example.com"))
    said = (
        "scenario: something went wrong that should not (KeyError): "
        "run with SCENARIO_DEBUG=1 for the traceback, and report it\n"
    )
    assert run("list") == Ran(program.BUG, "", said)
    monkeypatch.setenv("SCENARIO_DEBUG", "1")
    ran = run("list")
    assert (ran.status, ran.err.startswith("Traceback (most recent call last):")) == (program.BUG, True)


@pytest.mark.parametrize("pid", [1, 2])
def test_the_first_process_of_a_container_ends_by_sigterm_too(monkeypatch: pytest.MonkeyPatch, pid: int):
    """The kernel would have it go on, until it is killed."""
    before = signal.getsignal(signal.SIGTERM)
    met: list[object] = []

    def run(_arguments: object) -> int:
        met.append(signal.getsignal(signal.SIGTERM))
        return 0

    monkeypatch.setattr(program, "run", run)
    monkeypatch.setattr("os.getpid", lambda: pid)
    monkeypatch.setattr("runtime.process.shutdown.exit_process", sys.exit)
    try:
        with pytest.raises(SystemExit):
            program.main()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert met == [signal.default_int_handler if pid == 1 else before]


def test_ctrl_c_ends_quietly_with_130(run: Run, monkeypatch: pytest.MonkeyPatch):
    broken(monkeypatch, KeyboardInterrupt())
    assert run("list") == Ran(130, "", "")


@pytest.mark.parametrize("command", ["schema", "--help"])
def test_a_reader_that_is_gone_ends_it_quietly_with_141(run: Run, monkeypatch: pytest.MonkeyPatch, command: str):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as gone:
        monkeypatch.setattr(sys, "stdout", gone)
        assert run(command) == Ran(141, "", "")


def test_a_full_disk_is_named(run: Run, monkeypatch: pytest.MonkeyPatch):
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert run("--version") == Ran(1, "", "scenario: the output cannot be written: no space left on device\n")


FILE = "examples/post-purchase.yaml"
WITHOUT_SERVERS = (
    ("--help",),
    ("check", FILE),
    ("preview", FILE, "--entry", "examples/entries/post-purchase.json"),
    ("preview", FILE, "--random", "1"),
    ("test", FILE),
)


def test_what_needs_no_server_loads_neither_temporal_nor_the_store_nor_http(tmp_path: Path):
    book = tmp_path / "destinations.yaml"
    book.write_text("default: {public_secrets: [WAX_TOKEN]}\n")
    # In one process: what one of them loads, is loaded after the next as well.
    code = (
        "import sys; from cli import program\n"
        "import cli.app\n"
        "if 'pydantic' in sys.modules: sys.exit('the help takes a quarter longer with pydantic')\n"
        f"for arguments in {WITHOUT_SERVERS}:\n"
        "    status = program.run(arguments)\n"
        "    heavy = {'temporalio', 'sqlalchemy', 'opentelemetry', 'aiohttp', 'httpx', 'uvicorn'}\n"
        "    heavy &= sys.modules.keys()\n"
        "    if status or heavy: sys.exit(f'{arguments}: {status} {heavy}')\n"
        "import service.authoring_process\n"
        "heavy = {'temporalio', 'sqlalchemy', 'aiohttp', 'httpx'} & sys.modules.keys()\n"
        "if heavy: sys.exit(f'the process that checks and previews for others: {heavy}')\n"
    )
    ended = process(code=code, SCENARIO_DESTINATIONS=str(book))
    assert ended.returncode == 0, ended.stderr


def test_no_color_is_obeyed():
    plain = process("--help", FORCE_COLOR="1", NO_COLOR="1", TERM="xterm").stdout
    # Bold and dim are not colours; see https://no-color.org.
    assert "\x1b[" in plain
    assert not any(f"\x1b[{start}{code}m" in plain for code in range(30, 38) for start in ("", "1;"))
