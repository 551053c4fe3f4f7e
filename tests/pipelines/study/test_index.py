import json
from pathlib import Path

from groundup.reports.study_index import headline
from groundup.tracking import silent
from pipelines.study.index import main
from tests.evaluation.study_facts import study_facts

ORDER = (
    "tokenizers",
    "embeddings",
    "contextual",
    "causal",
    "masked",
    "transfer",
    "transformer",
    "translation",
)


def test_each_metrics_file_stands_in_its_place(tmp_path: Path) -> None:
    facts = study_facts()
    for name in ORDER:
        (tmp_path / f"{name}.json").write_text(json.dumps(facts[name]), encoding="utf-8")
    outs = [tmp_path / "headline.json", tmp_path / "index.html"]
    main(silent(), *(tmp_path / f"{name}.json" for name in ORDER), *outs)
    assert json.loads(outs[0].read_text(encoding="utf-8")) == headline(facts)
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "from counts to context" in page and page.count('class="card"') == 6
