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


def test_variables_are_secrets():
    found = Secrets(Settings(), {"SCENARIO_SECRET_WAX_TOKEN": VALUE, "SCENARIO_SECRETS_DIR": "x", "PATH": "y"})
    assert found.all() == {"WAX_TOKEN": VALUE}
    assert found["WAX_TOKEN"] == VALUE
    assert "OTHER" not in found


def test_files_are_secrets_and_win_over_variables(files: Path):
    (files / "WAX_TOKEN").write_text("from-file\n")
    (files / "PUSH_KEY").write_text("one\ntwo\r\n")
    found = Secrets(Settings(), {"SCENARIO_SECRET_WAX_TOKEN": "from-variable", "SCENARIO_SECRET_OTHER": VALUE})
    assert found.all() == {"WAX_TOKEN": "from-file", "PUSH_KEY": "one\ntwo", "OTHER": VALUE}
    assert (found["WAX_TOKEN"], found["OTHER"]) == ("from-file", VALUE)
    assert found.names() == ["OTHER", "PUSH_KEY", "WAX_TOKEN"]


def test_other_files_folders_and_dangling_links_are_left_alone(files: Path):
    for name in (".gitkeep", "a.pem", "..data", "with space", "0DAY"):
        (files / name).write_bytes(b"\xff")
    (files / "NAME").mkdir()
    (files / "TOKEN").symlink_to(files / "nowhere")
    assert Secrets(Settings(), {"SCENARIO_SECRET_NAME": VALUE}).all() == {"NAME": VALUE}


def test_a_file_that_changes_is_read_again(files: Path):
    path = files / "TOKEN"
    path.write_text("old")
    found = Secrets(Settings(), {})
    assert found["TOKEN"] == "old"
    path.write_text("new")
    os.utime(path, ns=(1, 1))
    assert found["TOKEN"] == "new"
    path.unlink()
    assert found.all() == {}


def test_a_file_is_replaced_by_one_of_the_same_size_and_time(files: Path):
    # As Kubernetes does: the name is a link that is moved to another folder.
    for version in ("old", "new"):
        (files / f".{version}").mkdir()
        (files / f".{version}" / "TOKEN").write_text(version)
        os.utime(files / f".{version}" / "TOKEN", ns=(1, 1))
    (files / "TOKEN").symlink_to(files / ".old" / "TOKEN")
    found = Secrets(Settings(), {})
    assert found.all() == {"TOKEN": "old"}
    (files / "next").symlink_to(files / ".new" / "TOKEN")
    (files / "next").replace(files / "TOKEN")
    assert found.all() == {"TOKEN": "new"}


def test_a_file_that_does_not_change_is_read_once(files: Path, monkeypatch: pytest.MonkeyPatch):
    (files / "TOKEN").write_text(VALUE)
    reads: list[Path] = []
    read = Path.read_bytes

    def counted(path: Path) -> bytes:
        reads.append(path)
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", counted)
    found = Secrets(Settings(), {})
    assert [found.all() for _ in range(3)] == [{"TOKEN": VALUE}] * 3
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
def test_a_file_that_is_no_secret_is_named(files: Path, content: bytes, sentence: str):
    (files / "TOKEN").write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        Secrets(Settings(), {}).all()
    assert str(caught.value) == sentence


def test_a_folder_that_went_away_is_named(files: Path):
    found = Secrets(Settings(), {})
    files.rmdir()
    with pytest.raises(SettingsError, match=r"^SCENARIO_SECRETS_DIR names a folder that cannot be read"):
        found.names()


def test_printing_shows_names_only(files: Path):
    (files / "TOKEN").write_text(VALUE)
    found = Secrets(Settings(), {"SCENARIO_SECRET_OTHER": VALUE})
    assert found.all()
    assert f"{found!r} {found}" == "Secrets(OTHER, TOKEN) Secrets(OTHER, TOKEN)"


def test_a_file_that_cannot_be_read_stands_in_the_way_of_those_alone_who_ask_for_it(files: Path):
    (files / "BROKEN").write_bytes(b"\xff")
    found = Secrets(
        Settings(), {"SCENARIO_SECRET_TOKEN": VALUE, "SCENARIO_SECRET_BROKEN": "behind the file"}
    ).snapshot()
    assert dict(found) == {"TOKEN": VALUE}
    assert (len(found), "BROKEN" in found, "OTHER" in found) == (1, True, False)
    with pytest.raises(SettingsError, match=r"^the file of the secret BROKEN is not UTF-8 text"):
        found["BROKEN"]
    with pytest.raises(SettingsError):
        found.get("BROKEN")
    assert (found.get("OTHER"), repr(found)) == (None, "Snapshot(TOKEN)")


def test_a_file_that_is_empty_or_gone_is_waited_for_by_those_who_ask_for_it(files: Path):
    """As it is in the middle of being written over, or of being taken away and put back."""
    path = files / "TOKEN"
    path.write_text(VALUE)
    secrets = Secrets(Settings(), {"SCENARIO_SECRET_OTHER": VALUE}, every=0)
    assert secrets.snapshot()["TOKEN"] == VALUE
    for change, sentence in (
        (lambda: path.write_text(""), "the file of the secret TOKEN is empty: write the secret into it"),
        (lambda: path.write_text("\n"), "the file of the secret TOKEN is empty: write the secret into it"),
        (path.unlink, "the file of the secret TOKEN is gone: put it back"),
    ):
        change()
        found = secrets.snapshot()
        assert dict(found) == {"OTHER": VALUE}
        with pytest.raises(SettingsError) as caught:
            found["TOKEN"]
        assert str(caught.value) == sentence
    path.write_text("new")
    assert secrets.snapshot()["TOKEN"] == "new"


def test_the_variable_of_a_file_that_is_gone_takes_its_place(files: Path):
    (files / "TOKEN").write_text("from-file")
    secrets = Secrets(Settings(), {"SCENARIO_SECRET_TOKEN": "from-variable"}, every=0)
    assert secrets.snapshot()["TOKEN"] == "from-file"
    (files / "TOKEN").unlink()
    assert secrets.snapshot()["TOKEN"] == "from-variable"


def test_deliveries_look_at_the_files_once_a_second(files: Path):
    now = 0.0
    (files / "TOKEN").write_text("old")
    (files / "BROKEN").write_bytes(b"\xff")
    secrets = Secrets(Settings(), {}, clock=lambda: now)
    first = secrets.snapshot()
    (files / "TOKEN").write_text("newer")
    now = 0.9
    assert secrets.snapshot() is first
    now = 1.0
    second = secrets.snapshot()
    assert (first["TOKEN"], second["TOKEN"]) == ("old", "newer")
    now = 2.0
    assert secrets.snapshot() is second  # nothing has changed
    (files / "BROKEN").write_text("mended")
    now = 3.0
    third = secrets.snapshot()
    assert third is not second
    assert third["BROKEN"] == "mended"


def test_a_folder_that_went_away_is_looked_for_at_every_delivery(files: Path):
    (files / "TOKEN").write_text("old")
    now = 0.0
    secrets = Secrets(Settings(), {}, clock=lambda: now)
    secrets.snapshot()
    hidden = files.rename(files.parent / "hidden")
    now = 1.0
    with pytest.raises(SettingsError):
        secrets.snapshot()
    hidden.rename(files)
    assert secrets.snapshot()["TOKEN"] == "old"
