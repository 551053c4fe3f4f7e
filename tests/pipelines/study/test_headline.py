import json
from pathlib import Path

from groundup.evaluation.study_headline import FILES, headline
from groundup.tracking import silent
from pipelines.study.headline import main
from tests.evaluation.study_facts import study_facts


def test_the_headline_comes_from_the_metrics_of_the_other_stages(tmp_path: Path) -> None:
    facts = study_facts()
    for name, file in FILES.items():
        (tmp_path / file).write_text(json.dumps(facts[name]), encoding="utf-8")
    main(silent(), tmp_path, tmp_path / "headline.json")
    assert json.loads((tmp_path / "headline.json").read_text(encoding="utf-8")) == headline(facts)
