"""Hooks of the documentation site: the generated reference, `llms.txt`, and each page as Markdown beside its HTML."""

from __future__ import annotations

import posixpath
import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

_SOURCES: dict[str, str] = {}
_CODE = re.compile(r"`[^`\n]+`")
_LINK = re.compile(r"\[([^\]]+)\]\(((?:\.\./)+[^)\s#]+)[^)]*\)")


def on_files(files: Any, config: Any) -> Any:
    """Add the pages of the reference."""
    sys.path.insert(0, str(Path(config.docs_dir).parent))
    from docs.reference import PAGES

    for path, made in PAGES.items():
        files.append(File.generated(config, path, content="\n".join(made())))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Turn links to files of the repository outside `docs`, which the site does not have, into their text.

    Unescape pipes in code, too: GitHub needs the backslash within a table, but Python-Markdown would show it.
    """
    del config, files

    def within_site(link: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page.file.src_uri), link[2]))
        return link[0] if path.startswith("docs/") else link[1]

    _SOURCES[page.file.src_uri] = _LINK.sub(within_site, markdown)
    return _CODE.sub(lambda code: code[0].replace("\\|", "|"), _SOURCES[page.file.src_uri])


def on_post_build(config: Any) -> None:
    """Write `llms.txt` (see https://llmstxt.org) and copy each page's Markdown."""
    lines = [f"# {config.site_name}", "", f"> {config.site_description}", ""]
    for section in config.nav:
        ((title, pages),) = section.items()
        if isinstance(pages, str):
            continue
        lines += [f"## {title}", ""]
        for entry in pages:
            ((name, path),) = entry.items()
            lines.append(f"- [{name}]({path})")
            target = Path(config.site_dir, path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(_SOURCES[path], encoding="utf-8")
        lines.append("")
    Path(config.site_dir, "llms.txt").write_text("\n".join(lines), encoding="utf-8")
