"""`python -m pipelines.docs`: what is not current is written, or reported by --check; broken links are reported."""

from pathlib import Path

import pytest

from pipelines.docs import __main__ as command


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one page to generate."""
    due = tmp_path / "page.md"
    monkeypatch.setattr(command, "ROOT", tmp_path)
    monkeypatch.setattr(command, "texts", lambda root: {})
    monkeypatch.setattr(command, "schemas", dict)
    monkeypatch.setattr(command, "generate", lambda root: {due: "# Page\n"})
    return due


def test_check_names_what_is_not_current_and_writes_nothing(page: Path) -> None:
    for before in (None, "# Older\n"):
        if before:
            page.write_text(before)
        with pytest.raises(SystemExit, match=r"error: page\.md: not current .* run `make docs` and commit"):
            command.main(check=True)
        assert (page.read_text() if page.exists() else None) == before


def test_what_was_written_passes_the_check(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command.main()
    assert page.read_text() == "# Page\n"
    assert capsys.readouterr().out == "Wrote page.md.\n"
    command.main(check=True)
    command.main()
    assert capsys.readouterr().out == ""


def test_a_broken_link_is_one_sentence(page: Path) -> None:
    page.with_name("other.md").write_text("[gone](gone.md)\n")
    with pytest.raises(SystemExit, match=r"^error: other\.md links to gone\.md: .* correct the links\.$"):
        command.main()
