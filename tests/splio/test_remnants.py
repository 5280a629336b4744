"""The old syntax where Liquid is read is warned of; Liquid, amounts and JSON Schema's words are not."""

from pathlib import Path

from splio.old_syntax import OldTag, OldVariable, split_template

ROOT = Path(__file__).parents[2]
REAL = [
    *(ROOT / "tests" / "scenario" / "liquid" / "pages").iterdir(),
    *(path for path in (ROOT / "examples").rglob("*") if path.suffix in (".yaml", ".html", ".txt")),
]


def test_there_is_no_false_alarm() -> None:
    assert len(REAL) > 30
    found = [
        part
        for path in REAL
        for part in split_template(path.read_text("utf-8"), liquid=True)
        if isinstance(part, OldVariable | OldTag)
    ]
    assert found == []
