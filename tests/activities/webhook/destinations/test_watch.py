"""The living file: it changes while the worker runs, and sometimes for the worse."""

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from trustme import CA

from activities.webhook.destinations.destinations import Destinations
from activities.webhook.destinations.reading import DestinationsFile
from runtime.errors import SettingsError
from runtime.watched_file import UnusableFile
from tests.fakes import Clock

ONE = "destinations: {one: {url: https://one.example}}\n"
TWO = "destinations: {two: {url: https://two.example}}\n"
BAD = "destinations: {two: {ulr: https://two.example}}\n"


Edit = Callable[[Path, str], object]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "destinations.yaml"
    path.write_text(ONE)
    return path


def replace(path: Path, text: str) -> None:
    """As editors and Kubernetes do it."""
    other = path.with_name("new")
    other.write_text(text)
    other.replace(path)


def swap(path: Path, text: str) -> None:
    """As Kubernetes does it: the file is a link into a folder, which is a link to another folder, which is moved."""
    folder = path.with_name(f"..{len(list(path.parent.iterdir()))}")
    folder.mkdir()
    (folder / path.name).write_text(text)
    os.utime(folder / path.name, ns=(1, 1))
    (path.parent / "..next").symlink_to(folder.name)
    (path.parent / "..next").replace(path.parent / "..data")
    if not path.is_symlink():
        path.unlink()
        path.symlink_to(Path("..data") / path.name)


@pytest.mark.parametrize("edit", [Path.write_text, replace, swap], ids=["written over", "replaced", "another folder"])
def test_an_edit_is_in_use_at_the_second_look(file: Path, clock: Clock, edit: Edit):
    destinations = DestinationsFile(file, clock=clock, wall=lambda: 0.0)
    for text, names in ((TWO, ("two",)), (ONE, ("one",))):
        before, begin = destinations.names, clock.now
        edit(file, text)
        for later in (0, 0.9, 1.1, 2.0):
            clock.now = begin + later
            assert destinations.names == before
        clock.now = begin + 2.2
        assert destinations.names == names


def test_an_edit_of_long_ago_is_in_use_at_the_first_look(file: Path, clock: Clock):
    destinations = DestinationsFile(file, clock=clock, wall=lambda: time.time() + 3600)
    replace(file, TWO)
    clock.now = 3600
    assert destinations.names == ("two",)


def test_what_is_still_being_written_is_not_in_use(file: Path, clock: Clock, caplog: pytest.LogCaptureFixture):
    destinations = DestinationsFile(file, clock=clock, wall=lambda: 0.0)
    whole = "destinations:\n  one: {url: https://one.example}\n  two: {url: https://two.example}\n"
    for end in (0, 20, 30, 50, 60, 70, len(whole)):
        file.write_text(whole[:end])
        clock.now += 2
        assert destinations.names == ("one",)
    file.unlink()
    clock.now += 2
    assert destinations.names == ("one",)
    file.write_text(whole)
    for names in (("one",), ("one", "two")):
        clock.now += 2
        assert destinations.names == names
    assert [record.levelname for record in caplog.records if record.levelno > logging.INFO] == []


def test_a_bad_edit_is_told_once_and_the_last_good_one_stays(
    file: Path, clock: Clock, caplog: pytest.LogCaptureFixture
):
    destinations = DestinationsFile(file, clock=clock, wall=lambda: 0.0)
    before = destinations.book
    with caplog.at_level(logging.INFO):
        file.write_text(BAD)
        for clock.now in (2, 4, 6):
            assert destinations.book is before
        assert [record.levelname for record in caplog.records] == ["ERROR"]
        [message] = caplog.messages
        assert message == (
            f"{file}:1: 'url' is missing here (and 1 more: see 'scenario destinations {file}'); "
            "the earlier content stays in use"
        )
        file.write_text(TWO)
        for clock.now in (8, 10):
            names = destinations.names
        assert names == ("two",)
    assert caplog.messages[1:] == [f"{file} was read again: 1 destinations"]


def test_a_file_that_is_taken_away_and_put_back(file: Path, clock: Clock, caplog: pytest.LogCaptureFixture):
    destinations = DestinationsFile(file, clock=clock, wall=lambda: 0.0)
    file.unlink()
    for clock.now in (2, 4):
        assert destinations.names == ("one",)
    assert len(caplog.messages) == 1
    assert "cannot be read" in caplog.messages[0]
    file.write_text(TWO)
    for clock.now, names in ((6, ("one",)), (8, ("two",))):
        assert destinations.names == names


def test_what_says_the_same_is_the_same_book(file: Path, clock: Clock):
    destinations = DestinationsFile(file, clock=clock, wall=lambda: 0.0)
    before = destinations.book
    file.write_text("# a comment\n" + ONE)
    for clock.now in (2, 4):
        assert destinations.book is before


@pytest.mark.parametrize("text", [BAD, "", "null", "destinations: [", None])
def test_a_worker_does_not_start_with_a_bad_file(file: Path, text: str | None):
    if text is None:
        file.unlink()
    else:
        file.write_text(text)
    with pytest.raises(SettingsError) as caught:
        DestinationsFile(file)
    assert isinstance(caught.value, UnusableFile)
    assert "\n" not in str(caught.value)


def test_without_a_file_there_are_no_destinations(clock: Clock):
    destinations = DestinationsFile(clock=clock)
    clock.now = 100
    assert (destinations.configured, destinations.names, destinations.book) == (False, (), Destinations())


def test_what_was_in_the_way_of_an_edit_may_come_to_an_end_without_another(
    file: Path, clock: Clock, caplog: pytest.LogCaptureFixture
):
    """A certificate is often put in place after the file that names it."""
    destinations = DestinationsFile(file, clock=clock, wall=lambda: 0.0)
    file.write_text("destinations: {one: {url: https://one.example, tls: {ca: ca.pem}}}\n")
    for clock.now in (2, 4, 15, 26):
        one = destinations.book.get("one")
        assert one
        assert one.tls.ca_file is None
    assert len(caplog.messages) == 1, "it is told once"
    CA().cert_pem.write_to_path(file.with_name("ca.pem"))
    clock.now = 37
    one = destinations.book.get("one")
    assert one
    assert one.tls.ca_file == str(file.with_name("ca.pem"))
