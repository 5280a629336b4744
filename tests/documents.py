"""The parts of the documentation that are made from the code.

``python -m tests.documents``, from the project's root, writes them anew; tests compare.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from scenario.legacy.fields import CONTACT, TABLES, pairs

DOCS: Final = Path(__file__).parents[1] / "docs"
COMMAND: Final = "python -m tests.documents"
_KINDS: Final = {"text": "", "number": " (number)", "flag": " (true or false)", "date": " (date)"}


def _old_names() -> Iterator[str]:
    yield "| in the old syntax | here |"
    yield "|---|---|"
    for table, known in TABLES.items():
        if table == "cart":
            continue  # another word for BASKET
        olds: dict[str, list[str]] = {}
        for old, ours in pairs(table):
            olds.setdefault(ours, []).append(f"`${table}.{old}$`" if table != CONTACT else f"`${old}$`")
        for ours, shown in olds.items():
            yield f"| {' '.join(shown)} | `{known.path}.{ours}` |"


GENERATED: Final[Mapping[tuple[str, str], Callable[[], Iterable[str]]]] = {
    ("converting.md", "names"): _old_names,
}
"""What is generated, by its page and by the name of its marks there."""


def page(name: str) -> str:
    """A page as it should be.

    Args:
        name: The file's.
    """
    text = (DOCS / name).read_text(encoding="utf-8")
    for (file, mark), made in GENERATED.items():
        if file == name:
            begin, end = f"<!-- {mark}: generated, do not edit between these marks -->\n", f"<!-- end of {mark} -->"
            before, _, rest = text.partition(begin)
            _, _, after = rest.partition(end)
            lines = "".join(f"{line}\n" for line in made())
            text = f"{before}{begin}\n{lines}\n{end}{after}"
    return text


if __name__ == "__main__":
    for document in {file for file, _ in GENERATED}:
        (DOCS / document).write_text(page(document), encoding="utf-8")
