"""The process that reads HTML: what becomes of it, and of those who wait for it."""

import gc
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from activities.email.sandbox import TOO_MUCH, Markup, MarkupProcess, MarkupProcessLost
from scenario.errors import TemplateError
from tests.activities.email.hostile import MAILS, outcome

HELLO = Markup("Hello\n", "<p>Hello")


@pytest.fixture
def cell() -> Iterator[MarkupProcess]:
    cell = MarkupProcess()
    yield cell
    cell.close()


def child(cell: MarkupProcess) -> subprocess.Popen[bytes]:
    process = cell._process._process  # pyright: ignore[reportPrivateUsage]
    assert process is not None
    return process


def number(cell: MarkupProcess) -> int:
    return child(cell).pid


def test_one_process_reads_many_e_mails(cell: MarkupProcess):
    assert [cell.work("<p>Hello") for _ in range(3)] == [HELLO] * 3
    first = number(cell)
    with pytest.raises(TemplateError, match="nested"):
        cell.work("<b>" * 300)
    assert cell.work("") == Markup("", "")
    for stop in (signal.SIGTERM, signal.SIGINT):  # which stop a worker
        os.kill(first, stop)
    assert cell.work("<p>Hello") == HELLO
    assert number(cell) == first


def test_an_answer_longer_than_any_e_mail_is_not_read(cell: MarkupProcess, monkeypatch: pytest.MonkeyPatch):
    assert cell.work("<p>Hello") == HELLO
    first = number(cell)
    monkeypatch.setattr("activities.email.sandbox.LARGEST", 40)
    with pytest.raises(TemplateError, match=f"^{re.escape(TOO_MUCH)}$"):
        cell.work("<p>Hello" * 9)
    assert cell.work("") == Markup("", "")
    assert number(cell) != first


def test_it_is_replaced_after_a_thousand_or_where_it_ended(cell: MarkupProcess, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("activities.email.sandbox._LIFE", 2)
    numbers: list[int] = []
    for _ in range(2):
        assert cell.work("<p>Hello") == HELLO
        numbers.append(number(cell))
    process = child(cell)
    process.kill()
    process.wait()
    assert cell.work("<p>Hello") == HELLO
    assert len({*numbers, number(cell)}) == 3


def test_what_ends_it_from_outside_is_not_the_e_mails_fault(cell: MarkupProcess, monkeypatch: pytest.MonkeyPatch):
    cell.work("<p>Hello")

    def unaware(_: object) -> None:
        """As where it ends only after the e-mail was handed over."""

    monkeypatch.setattr(subprocess.Popen, "poll", unaware)
    os.kill(number(cell), signal.SIGKILL)
    with pytest.raises(MarkupProcessLost):
        cell.work("<p>Hello")
    monkeypatch.undo()
    assert cell.work("<p>Hello") == HELLO


BEGIN = "import sys; sys.path[:] = {path!r}\n"
SAYS_MAIL = """
from activities.email import markup
def fail(html): raise ValueError(html)
markup._answer = fail
markup.serve()
"""


@pytest.mark.parametrize(
    ("program", "cause"),
    [
        ("import not_installed", "(1): ModuleNotFoundError: No module named 'not_installed'"),
        ("sys.exit(3)", "(3)"),
        (SAYS_MAIL, "(1)"),
    ],
    ids=["cannot start", "ends at once", "fails at an e-mail"],
)
def test_why_it_could_not_start_is_told_and_nothing_of_an_e_mail(
    cell: MarkupProcess, monkeypatch: pytest.MonkeyPatch, program: str, cause: str
):
    monkeypatch.setattr("runtime.process.sandboxed._PROGRAM", BEGIN + program)
    with pytest.raises(MarkupProcessLost) as lost:
        cell.work("<p>Hello")
    assert str(lost.value) == f"the process that reads HTML ended {cause}"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_it_is_given_no_secret_and_ends_with_its_cell(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SCENARIO_SMTP", "smtp://user:secret@host")
    cell = MarkupProcess()
    cell.work("<p>Hello")
    process = child(cell)
    assert b"SCENARIO" not in Path(f"/proc/{process.pid}/environ").read_bytes()
    assert process.poll() is None
    del cell
    gc.collect()
    assert process.wait(10) == 0


def test_hostile_e_mails_are_refused_or_sent():
    """In a thread whose stack is as small as a thread's may be in a worker: musl gives less."""
    ended: dict[str, str | None] = {}
    thread = threading.Thread(target=lambda: ended.update({name: outcome(name) for name in MAILS}))
    before = threading.stack_size(2**20)
    try:
        thread.start()
    finally:
        threading.stack_size(before)
    thread.join()
    assert ended == {name: reason for name, (_, reason) in MAILS.items()}
