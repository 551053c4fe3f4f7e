from pathlib import Path

from groundup.files import write_json
from groundup.tracking import silent
from groundup.training.curves import write_curve
from pipelines.study.compare_objectives import main
from tests.evaluation import comparison
from tests.pipelines.study.objectives import OBJECTIVES


def test_draws_and_explains_what_the_stages_wrote(tmp_path: Path) -> None:
    inputs = []
    for name, facts in comparison.figures().items():
        write_json(tmp_path / f"{name}.json", facts)
        inputs.append(tmp_path / f"{name}.json")
    write_json(tmp_path / "transfer.json", comparison.transfer())
    inputs.append(tmp_path / "transfer.json")
    for name, rows in comparison.curves().items():
        write_curve(tmp_path / f"{name}.csv", rows)
        inputs.append(tmp_path / f"{name}.csv")
    outs = (tmp_path / "plots" / "objectives", tmp_path / "objectives.html")
    main(silent(), *inputs, *outs, objectives=OBJECTIVES)
    drawn = sorted(path.name for path in (tmp_path / "plots" / "objectives").iterdir())
    assert drawn == ["accuracy.png", "curves.png", "transfer.png"]
    page = (tmp_path / "objectives.html").read_text(encoding="utf-8")
    assert page.count("data:image/png") == 3
    assert "more often than counting" in page
