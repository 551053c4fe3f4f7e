"""Links between pages, by GitHub's rules for anchors."""

from pathlib import Path

from pipelines.docs.links import anchors, broken_links


def test_links_to_files_and_headings(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/data.md").write_text("# Data\n\n## Your own data\n\n### src/nn/\n")
    page = tmp_path / "README.md"
    page.write_text(
        "[a](docs/data.md) [b](docs/data.md#your-own-data) [c](docs/data.md#srcnn) [d](https://x.org) [e](#top)\n"
        "# Top\n[f](docs/data.md#gone) [g](gone.md) `[h](code.md)`\n```sh\n[i](fence.md)\n# no heading\n```\n"
        "![picture](gone.svg) [j](#no-heading)\n"
    )
    assert list(broken_links([page])) == [
        "README.md links to docs/data.md#gone",
        "README.md links to gone.md",
        "README.md links to gone.svg",
        "README.md links to #no-heading",
    ]


def test_anchors_are_github_s(tmp_path: Path) -> None:
    page = tmp_path / "a.md"
    page.write_text("# Runs, serving, retraining\n## `make docs`: what it does\n## What's new?\n### a_b -c\n")
    assert anchors(page) == {"runs-serving-retraining", "make-docs-what-it-does", "whats-new", "a_b--c"}
