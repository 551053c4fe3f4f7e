"""Find broken links in Markdown pages; only links inside the repository are checked."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)


def broken_links(pages: Iterable[Path]) -> Iterator[str]:
    """Yield a phrase such as "usage.md links to data.md#own" for each link whose file or heading does not exist."""
    for page in pages:
        for target in LINK.findall(CODE.sub("", page.read_text(encoding="utf-8"))):
            if "://" in target or target.startswith("mailto:"):
                continue
            name, _, anchor = target.partition("#")
            path = page.parent / name if name else page
            if not path.exists() or (anchor and path.suffix == ".md" and anchor not in anchors(path)):
                yield f"{page.name} links to {target}"


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to a page's headings, without its numbers for repeated headings."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in HEADING.findall(text)}
