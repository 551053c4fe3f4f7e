from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sacrebleu import corpus_chrf

from groundup.checkpoint import load_checkpoint
from groundup.evaluation.word_alignment import WordSubstitution, learn, words_of
from groundup.inspection.attention_maps import load_maps
from groundup.tasks.translation import translate
from groundup.text.jsonl import read_jsonl, write_splits
from groundup.tracking import silent
from pipelines.study import evaluate_translation, train_translation
from tests.pipelines.prepared import content, read_json
from tests.tiny import CPU, MUON, training_config
from tests.tiny_translation import CONFIG, EVALUATE, PAIRS


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("translation")
    write_splits(folder / "verses", {"train": PAIRS, "val": PAIRS[:3], "test": PAIRS}, {})
    train_translation.main(
        silent(),
        folder / "verses",
        folder / "gate.json",
        folder / "model",
        folder / "curve.csv",
        folder / "train.json",
        folder / "state",
        translation=replace(
            CONFIG, training=training_config(max_steps=40, batch_size=8, optimizer=MUON)
        ),  # knows its words
        compute=CPU,
    )
    return folder


def evaluate(trained: Path, out: Path) -> None:
    evaluate_translation.main(
        silent(),
        trained / "verses",
        trained / "model",
        out / "translations.jsonl",
        out / "shown",
        out / "metrics.json",
        evaluate_translation=EVALUATE,
        compute=CPU,
    )


def test_every_system_translates_every_verse_and_is_scored(trained: Path, tmp_path: Path) -> None:
    evaluate(trained, tmp_path / "once")
    rows = read_jsonl(tmp_path / "once" / "translations.jsonl")
    sources, references = [row["source"] for row in PAIRS], [row["target"] for row in PAIRS]
    checkpoint = load_checkpoint(trained / "model")
    table = learn([(words_of(s), words_of(t)) for s, t in zip(sources, references, strict=True)], 3)
    expected = {
        "copy": sources,
        "word_table": [WordSubstitution(table)(source) for source in sources],
        "model_greedy": translate(checkpoint, sources, beam_size=1, length_penalty=0.0),
        "model": translate(checkpoint, sources, beam_size=2, length_penalty=1.0),
    }
    for name in ("word_table", "model_greedy", "model"):
        assert [row[name] for row in rows] == expected[name]
    scored = read_json(tmp_path / "once" / "metrics.json")["systems"]  # type: ignore[index]
    for name, texts in expected.items():
        assert scored[name]["chrF2"]["score"] == pytest.approx(
            corpus_chrf(texts, [references]).score, abs=1e-3
        )
    samples = read_jsonl(tmp_path / "once" / "shown" / "samples.jsonl")
    assert len(samples) == EVALUATE.samples and all(sample in rows for sample in samples)
    maps = load_maps(tmp_path / "once" / "shown" / "maps.npz")
    assert {name.partition("_")[0] for name in maps} == {"attention", "model1"}
    for one in maps.values():
        assert one.weights.sum(axis=1) == pytest.approx(np.ones(len(one.rows)), abs=1e-5)
        assert one.weights.shape == (len(one.rows), len(one.columns))
    evaluate(trained, tmp_path / "again")
    again, once = content(tmp_path / "again"), content(tmp_path / "once")
    assert again == once
