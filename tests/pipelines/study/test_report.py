from pathlib import Path

from groundup.evaluation.study_headline import FILES
from groundup.files import write_json
from groundup.tracking import silent
from groundup.training.curves import write_curve
from pipelines.study.report import DRAW, main
from tests.evaluation import comparison
from tests.evaluation.study_facts import study_facts
from tests.reports.html_page import Page
from tests.validation import by_hand


def test_writes_each_page_and_its_pictures_to_the_given_paths(tmp_path: Path) -> None:
    facts = study_facts() | comparison.figures() | {"transfer": comparison.transfer()}
    for name, file in FILES.items():
        write_json(tmp_path / "metrics" / file, facts[name])
    for name, rows in comparison.curves().items():
        write_curve(tmp_path / "curves" / f"objective_{name}.csv", rows)
    write_json(tmp_path / "shown" / "verses.json", by_hand.report())
    pages = [tmp_path / f"{name}.html" for name in ("index", "objectives", "verses")]
    folders = [tmp_path / name for name in ("metrics", "curves", "shown")]
    main(silent(), *folders, tmp_path / "plots" / "objectives", *pages)
    titles = [Page(page.read_text(encoding="utf-8")).text_of("h1") for page in pages]
    assert titles == [
        ["The study: from counts to context"],
        ["Objectives: next tokens and masked tokens"],
        ["Validation of the pairs of verses"],
    ]
    drawn = sorted(path.name for path in (tmp_path / "plots").rglob("*.png"))
    assert drawn == ["accuracy.png", "curves.png", "transfer.png"]
    first = pages[0].read_text(encoding="utf-8")
    assert {link.removesuffix(".html") for link in Page(first).links if "#" not in link} <= set(DRAW)
