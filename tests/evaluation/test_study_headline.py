import json
from pathlib import Path

from groundup.evaluation.study_headline import (
    FILES,
    all_messages,
    headline,
    last_layers,
    lossless,
    read_metrics,
)
from tests.evaluation.study_facts import study_facts


def test_every_metrics_file_is_read_under_its_key(tmp_path: Path) -> None:
    facts = study_facts()
    for name, file in FILES.items():
        (tmp_path / file).write_text(json.dumps(facts[name]), encoding="utf-8")
    assert read_metrics(tmp_path) == facts


def test_the_best_of_comparable_values() -> None:
    found = study_facts()
    assert set(lossless(found)) == {"bpe_1k", "byte"}  # a lossy tokenizer's bits per byte cannot be compared
    figures = headline(found)
    assert figures["bpb"] == round(lossless(found)["bpe_1k"]["mean"], 4)
    scores = found["embeddings"]["corpora"]["mix"]["benchmarks"]["WordSim-353"]["scores"]
    assert figures["wordsim"] == round(scores["groundup glove"]["mean"], 4)  # gensim's is higher
    assert figures["chrf"] == 22.5
    f1 = found["transfer"]["f1"]
    assert figures["spam_f1"] == round(max(f1[name]["3000"]["mean"] for name in ("causal", "masked")), 4)
    assert all_messages(found, "causal") == f1["causal"]["3000"]


def test_the_last_layer_is_read_at_the_word() -> None:
    found = study_facts()
    layers = last_layers(found)
    assert set(layers) == {"study encoder", "study decoder"}
    assert all(row["layer"] == 2 and row["read"] == "the word" for row in layers.values())
    found["contextual"]["rows"][3]["cosine"]["auc"]["mean"] += 0.5  # the best layer is not the last
    assert headline(found)["wic"] == round(max(row["cosine"]["auc"]["mean"] for row in layers.values()), 4)
