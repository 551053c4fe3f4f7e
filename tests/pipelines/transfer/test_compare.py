from pathlib import Path

import pytest

from groundup.evaluation.predictions import write_predictions
from groundup.evaluation.starting_points import STARTS
from groundup.files import write_json
from groundup.text.jsonl import read_splits, write_jsonl
from groundup.tracking import silent
from pipelines.transfer.compare import main
from tests.evaluation.test_starting_points import scored
from tests.pipelines.prepared import make_instructions, make_spam, read_json
from tests.tiny import EVALUATE


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_spam(tmp_path / "spam")
    make_instructions(tmp_path / "instructions")
    tests = read_splits(tmp_path / "instructions", ("test",))["test"]
    splits = read_splits(tmp_path / "spam", ("val", "test"))
    sure = {(seed, split): [0.9] * len(splits[split]) for seed in (1, 2) for split in splits}
    for number, name in enumerate(STARTS):
        write_json(tmp_path / f"scores/{name}.json", scored(0.1 * number, 2.0))
        answers = [row["output"] if i < number - 2 else "?" for i, row in enumerate(tests * 2)]
        rows = [
            {**row, "id": str(i), "split": "test" if i < 3 else "held_out", "response": answer}
            for i, (row, answer) in enumerate(zip(tests * 2, answers, strict=True))
        ]
        write_jsonl(tmp_path / f"responses/{name}.jsonl", rows)
        write_predictions(tmp_path / f"predictions/{name}.csv", splits, sure)
    write_predictions(tmp_path / "predictions/book.csv", splits, sure)
    write_json(tmp_path / "judge.json", {"judge": None, "scores": {}})
    return tmp_path


def test_one_table_of_all_starts(folder: Path) -> None:
    names = (
        "spam",
        "spam",
        "predictions",
        "responses",
        "scores",
        "judge.json",
        "table.json",
        "headline.json",
    )
    run, logged = silent(), dict[str, float]()
    run.log = lambda metrics, step=None: logged.update(metrics)  # type: ignore[method-assign]
    main(run, *(folder / name for name in names), evaluate=EVALUATE)
    found = read_json(folder / "table.json")
    assert isinstance(found, dict)
    # the score files are made by number: published is the fourth, lora the fifth
    f1 = found["starts"]["published"]["spam"]["f1"]["mean"]
    figures = {"bpb": 2.0, "spam_f1": f1, "unseen": 0.4, "held_out": 0.4}
    assert read_json(folder / "headline.json") == pytest.approx(figures, abs=1e-4)
    assert list(found["starts"]) == sorted(STARTS)  # as JSON sorts them
    of_starts = {f"{n}/{k}" for n in STARTS for k in ("bits_per_byte", "exact_match", "spam_f1")}
    assert logged.keys() == of_starts | figures.keys()
    assert logged["published/bits_per_byte"] == 2.0 and logged["published/spam_f1"] == f1
    # of the three instances of test none is right as published, one after LoRA, two after DPO
    assert found["gains"]["lora - published"]["test"]["mean"] == pytest.approx(1 / 3, abs=1e-6)
    assert found["gains"]["dpo - lora"]["test"]["mean"] == pytest.approx(1 / 3, abs=1e-6)
    assert found["judge"] == {"judge": None, "scores": {}}
    assert found["book"]["items"] == 6 and found["book"]["leakage"]["exact"] == 6
