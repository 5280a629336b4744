"""Secrets come from variables and files, follow their files, and are never printed."""

import os
from pathlib import Path

import pytest

from runtime.errors import SettingsError
from runtime.secrets import MAX_BYTES, Secrets
from runtime.settings import Settings

VALUE = "s3cr3t-value"


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SCENARIO_SECRETS_DIR", str(tmp_path))
    return tmp_path


def secrets(**variables: str) -> Secrets:
    environ = {f"SCENARIO_SECRET_{name}": value for name, value in variables.items()}
    return Secrets(Settings(), environ | {"SCENARIO_SECRETS_DIR": "x", "PATH": "y"}, every=0)


def test_files_are_secrets_and_win_over_variables(files: Path):
    (files / "WAX_TOKEN").write_text("from-file\n")
    (files / "PUSH_KEY").write_text("one\ntwo\r\n")
    found = secrets(WAX_TOKEN="from-variable", OTHER=VALUE)
    assert dict(found.snapshot()) == {"WAX_TOKEN": "from-file", "PUSH_KEY": "one\ntwo", "OTHER": VALUE}
    (files / "WAX_TOKEN").unlink()
    assert found.snapshot()["WAX_TOKEN"] == "from-variable"


def test_other_files_folders_and_dangling_links_are_left_alone(files: Path):
    for name in (".gitkeep", "a.pem", "..data", "with space", "0DAY"):
        (files / name).write_bytes(b"\xff")
    (files / "NAME").mkdir()
    (files / "TOKEN").symlink_to(files / "nowhere")
    assert dict(secrets(NAME=VALUE).snapshot()) == {"NAME": VALUE}


def test_a_file_is_replaced_by_one_of_the_same_size_and_time(files: Path):
    # As Kubernetes does: the name is a link that is moved to another folder.
    for version in ("old", "new"):
        (files / f".{version}").mkdir()
        (files / f".{version}" / "TOKEN").write_text(version)
        os.utime(files / f".{version}" / "TOKEN", ns=(1, 1))
    (files / "TOKEN").symlink_to(files / ".old" / "TOKEN")
    found = secrets()
    assert found.snapshot()["TOKEN"] == "old"
    (files / "next").symlink_to(files / ".new" / "TOKEN")
    (files / "next").replace(files / "TOKEN")
    assert found.snapshot()["TOKEN"] == "new"


def test_a_file_that_does_not_change_is_read_once(files: Path, monkeypatch: pytest.MonkeyPatch):
    (files / "TOKEN").write_text(VALUE)
    reads: list[Path] = []
    read = Path.read_bytes

    def counted(path: Path) -> bytes:
        reads.append(path)
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", counted)
    found = secrets()
    assert [found.snapshot()["TOKEN"] for _ in range(3)] == [VALUE] * 3
    assert len(reads) == 1


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"\xff\xfe", "the file of the secret TOKEN is not UTF-8 text: write it as text"),
        (
            b"x" * (MAX_BYTES + 1),
            f"the secret TOKEN is a file of more than {MAX_BYTES} bytes: remove it from the folder",
        ),
    ],
)
def test_a_file_that_cannot_be_read_stands_in_the_way_of_those_alone_who_ask_for_it(
    files: Path, content: bytes, sentence: str
):
    (files / "TOKEN").write_bytes(content)
    found = secrets(TOKEN="behind the file", OTHER=VALUE).snapshot()
    assert dict(found) == {"OTHER": VALUE}
    assert ("TOKEN" in found, "ANOTHER" in found) == (True, False)
    for read in (found.get, found.__getitem__):
        with pytest.raises(SettingsError) as caught:
            read("TOKEN")
        assert str(caught.value) == sentence


def test_a_folder_that_went_away_is_named_until_it_is_back(files: Path):
    (files / "TOKEN").write_text("old")
    found = secrets()
    hidden = files.rename(files.parent / "hidden")
    with pytest.raises(SettingsError, match=r"^SCENARIO_SECRETS_DIR names a folder that cannot be read"):
        found.snapshot()
    hidden.rename(files)
    assert found.snapshot()["TOKEN"] == "old"


def test_printing_shows_no_secret(files: Path):
    (files / "TOKEN").write_text(VALUE)
    found = secrets(OTHER=VALUE)
    assert VALUE not in f"{found!r} {found.snapshot()!r}"


def test_a_file_that_is_empty_or_gone_is_waited_for_by_those_who_ask_for_it(files: Path):
    """As it is in the middle of being written over, or of being taken away and put back."""
    path = files / "TOKEN"
    path.write_text(VALUE)
    given = secrets(OTHER=VALUE)
    assert given.snapshot()["TOKEN"] == VALUE
    for change, sentence in (
        (lambda: path.write_text(""), "the file of the secret TOKEN is empty: write the secret into it"),
        (lambda: path.write_text("\n"), "the file of the secret TOKEN is empty: write the secret into it"),
        (path.unlink, "the file of the secret TOKEN is gone: put it back"),
    ):
        change()
        found = given.snapshot()
        assert dict(found) == {"OTHER": VALUE}
        with pytest.raises(SettingsError) as caught:
            found["TOKEN"]
        assert str(caught.value) == sentence
    path.write_text("new")
    assert given.snapshot()["TOKEN"] == "new"


def test_deliveries_look_at_the_files_once_a_second(files: Path):
    now = 0.0
    (files / "TOKEN").write_text("old")
    (files / "BROKEN").write_bytes(b"\xff")
    given = Secrets(Settings(), {}, clock=lambda: now)
    first = given.snapshot()
    (files / "TOKEN").write_text("newer")
    now = 0.9
    assert given.snapshot() is first
    now = 1.0
    second = given.snapshot()
    assert (first["TOKEN"], second["TOKEN"]) == ("old", "newer")
    now = 2.0
    assert given.snapshot() is second  # nothing has changed
    (files / "BROKEN").write_text("mended")
    now = 3.0
    third = given.snapshot()
    assert third is not second
    assert third["BROKEN"] == "mended"
