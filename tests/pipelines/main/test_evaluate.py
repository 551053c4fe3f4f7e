import csv
import json
from dataclasses import replace

import pytest
import torch

from groundup.checkpoint import save_checkpoint
from groundup.nn.config import ModelConfig, ModelParams
from groundup.nn.decoder import Decoder
from groundup.text.jsonl import read_jsonl, write_jsonl
from groundup.tokenizers.bpe import BPETokenizer
from groundup.tracking import silent
from groundup.training.config import ComputeConfig
from groundup.verifiable import tasks
from pipelines.main.evaluate import main
from tests.tiny import EVALUATE as TINY

COMPUTE = ComputeConfig(device="cpu", dtype="float32", threads=1, compile=False)
EVALUATE = replace(TINY, max_new_tokens=3, batch_size=8)
OUTS = ("spam.json", "instructions.json", "headline.json", "samples.jsonl", "plots", "report.html")


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """All deps of the stage: tiny splits, two random models, predictions, reports, curves."""
    root = tmp_path_factory.mktemp("evaluate")
    part = {"documents": 3, "messages": 9, "message_bytes": 1234}
    write_json(root / "corpus/report.json", {"splits": {"train": part, "val": part}, "dropped": {}})

    texts = [("spam", f"win cash {c}") for c in "abcdefgh"] + [("ham", f"hello you {c}") for c in "abcdefgh"]
    rows = [
        {"id": f"m{i}", "label": label, "text": text, "group": f"m{i}"}
        for i, (label, text) in enumerate(texts)
    ]
    splits = {"train": rows[::2], "val": rows[1::4], "test": rows[3::4]}
    for name, messages in splits.items():
        write_jsonl(root / f"spam/{name}.jsonl", messages)
    split = {"messages": 4, "groups": 4, "ham": 2, "spam": 2}
    write_json(
        root / "spam/report.json", {"protocol": "deduplicated", "splits": {"test": split}, "dropped": {}}
    )
    with open(root / "predictions.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("seed", "split", "id", "label", "spam_probability"))
        for seed in (1, 2):
            for row in splits["test"]:
                writer.writerow(
                    (seed, "test", row["id"], row["label"], 0.9 if row["label"] == "spam" else 0.1 * seed)
                )

    instructions = tasks.generate(2, seed=1)
    families = sorted({row["family"] for row in instructions})
    write_jsonl(root / "instructions/test.jsonl", [r for r in instructions if r["family"] in families[:3]])
    write_jsonl(root / "instructions/held_out.jsonl", [r for r in instructions if r["family"] == families[3]])
    held = {"rows": 2, "families": {families[3]: 2}}
    write_json(
        root / "instructions/report.json",
        {"protocol": "deduplicated", "splits": {"held_out": held}, "dropped": {}},
    )

    tokenizer = BPETokenizer.train([text for _, text in texts], 280)
    for seed, name in enumerate(("pretrained", "finetuned")):
        torch.manual_seed(seed)
        params = ModelParams(
            preset="modern", context_length=256, n_layer=1, n_head=1, n_kv_head=1, n_embd=8, dropout=0.0,
            ngram_rows=0, ngram_embd=0, ngram_orders=(),
        )  # fmt: skip
        config = params.config(tokenizer.vocab_size)
        assert isinstance(config, ModelConfig)
        save_checkpoint(root / name, Decoder(config), tokenizer, prompt_style="alpaca_short")
    counts = {"message_bytes": 100, "tokens": 40, "documents": 1}
    write_json(
        root / "tokens/meta.json", {"vocab_size": tokenizer.vocab_size, "train": counts, "val": counts}
    )
    write_json(root / "pretrain.json", {"val": {"bpb": 2.0, "loss": 3.0}, "tokens": 100, "parameters": 5})
    pair = {"exact": 0, "normalised": 0, "13-gram": 0}
    sets = {"spam/test": {"items": 4, "contaminated": 0, "training": {"corpus": pair}}}
    write_json(root / "contamination.json", {"contaminated": 0, "canary": {"exact": True}, "sets": sets})
    for name, header in (
        ("pretrain", "step"),
        ("finetune_spam", "step,seed"),
        ("finetune_instructions", "step"),
    ):
        ones = ",".join("1" for _ in header.split(","))
        (root / f"{name}.csv").write_text(f"{header},train/loss,val/loss\n{ones},2.5,\n{ones},2.4,2.6\n")
    return [
        root / name
        for name in (
            "corpus", "spam", "instructions", "tokens", "pretrained", "finetuned", "predictions.csv", "pretrain.json",
            "contamination.json", "pretrain.csv", "finetune_spam.csv", "finetune_instructions.csv",
        )
    ]  # fmt: skip


def test_writes_every_output_and_the_same_bytes_twice(inputs, tmp_path):
    for run in ("one", "two"):
        outs = [tmp_path / run / name for name in OUTS]
        main(silent(), *inputs, *outs, evaluate=EVALUATE, compute=COMPUTE)
    files = sorted(
        path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file()
    )
    assert len(files) == 5 + 13  # five files, eleven pictures and two tables
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes(), file

    spam = json.loads((tmp_path / "one/spam.json").read_text())
    assert spam["test"]["accuracy"] == {"mean": 1.0, "low": 1.0, "high": 1.0}
    assert spam["leakage"]["normalised"] == 0
    instructions = json.loads((tmp_path / "one/instructions.json").read_text())
    assert instructions["unseen_instances"]["instances"] == 6
    assert instructions["held_out_families"]["instances"] == 2
    assert len(instructions["families"]) == 4
    exact = [instructions[part]["exact_match"]["mean"] for part in ("unseen_instances", "held_out_families")]
    headline = json.loads((tmp_path / "one/headline.json").read_text())
    assert headline == {"bpb": 2.0, "spam_f1": 1.0, "unseen": exact[0], "held_out": exact[1]}
    assert len(read_jsonl(tmp_path / "one/samples.jsonl")) == 4
    assert str(tmp_path) not in (tmp_path / "one/report.html").read_text()


def test_predictions_of_another_split_leave_nothing_behind(inputs, tmp_path):
    from groundup.errors import BadInput

    broken = tmp_path / "predictions.csv"
    broken.write_text("seed,split,id,label,spam_probability\n1,test,other,ham,0.5\n")
    deps = [broken if path.name == "predictions.csv" else path for path in inputs]
    with pytest.raises(BadInput, match="seed 1 has answers to 1 test messages"):
        main(silent(), *deps, *[tmp_path / "out" / name for name in OUTS], evaluate=EVALUATE, compute=COMPUTE)
    assert not (tmp_path / "out").exists()
