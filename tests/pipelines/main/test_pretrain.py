from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

from groundup.checkpoint import load_checkpoint
from groundup.errors import BadInput
from groundup.evaluation.language_model import bits_per_byte, total_nats
from groundup.tokenizers.bpe import BPETokenizer
from groundup.tracking import Run, silent
from groundup.training.config import PretrainConfig
from groundup.training.shards import open_shard, read_documents, read_meta
from pipelines.main.pretrain import main
from tests.interop.published_models import CHAT, random_gpt2, random_llama, save_bert, save_published
from tests.pipelines.prepared import (
    MODEL,
    PRETRAIN,
    Interrupted,
    content,
    interrupted_run,
    make_corpus,
    read_json,
)
from tests.tiny import CPU


@pytest.fixture
def data(tmp_path: Path) -> Path:
    make_corpus(tmp_path / "data")
    return tmp_path / "data"


def pretrain(
    data: Path,
    out: Path,
    run: Run | None = None,
    config: PretrainConfig = PRETRAIN,
    pretrained: str = "none",
) -> None:
    main(
        run or silent(),
        data / "tokens",
        data / "tokenizer.json",
        data / "contamination.json",
        data / "catalogue.yaml",
        out / "model",
        out / "metrics.json",
        out / "curve.csv",
        data / "state" / out.name,
        model=MODEL,
        pretrain=config,
        pretrained=pretrained,
        compute=CPU,
    )


def test_writes_a_checkpoint_its_figures_and_its_curve(data: Path, tmp_path: Path) -> None:
    pretrain(data, tmp_path / "out")
    checkpoint = load_checkpoint(tmp_path / "out" / "model")
    found = read_json(tmp_path / "out" / "metrics.json")
    val, meta = open_shard(data / "tokens", "val"), read_meta(data / "tokens")
    nats = total_nats(checkpoint.model, val, checkpoint.tokenizer.eot_id)
    assert found == {
        "val": {
            "loss": pytest.approx(nats / len(val), abs=1e-5),
            "bpb": pytest.approx(bits_per_byte(nats, meta["val"]["message_bytes"]), abs=1e-5),
            "bytes": meta["val"]["message_bytes"],
        },
        "tokens": 6 * 2 * 64,
        "steps": 6,
        "parameters": sum(p.numel() for p in checkpoint.model.parameters()),
    }
    curve = pd.read_csv(tmp_path / "out" / "curve.csv", index_col="step")
    assert curve.index.tolist() == [1, 2, 3, 4, 5, 6]
    assert curve["val/loss"].dropna().index.tolist() == [4, 6]
    assert curve["train/loss"].iloc[-1] < curve["train/loss"].iloc[0]
    assert checkpoint.config.params["pretrain"]["training"]["max_steps"] == 6
    assert not (data / "state" / "out").exists()


def test_interrupted_or_not_the_bytes_are_the_same(data: Path, tmp_path: Path) -> None:
    pretrain(data, tmp_path / "once")
    pretrain(data, tmp_path / "twice")
    assert content(tmp_path / "once") == content(tmp_path / "twice")
    for stop in (3, 5):
        with pytest.raises(Interrupted):
            pretrain(data, tmp_path / "resumed", interrupted_run("train/loss", stop))
        assert not (tmp_path / "resumed").exists()
        assert len(list((data / "state" / "resumed").iterdir())) == 1
    steps: list[int | None] = []
    run = silent()
    run.log = lambda metrics, step=None: steps.append(step)  # type: ignore[method-assign]
    pretrain(data, tmp_path / "resumed", run)
    assert steps[0] == 5
    assert content(tmp_path / "resumed") == content(tmp_path / "once")


def test_samples_are_shown(data: Path, tmp_path: Path) -> None:
    run, shown = silent(), {}
    run.text = lambda text, name: shown.update({name: text})  # type: ignore[method-assign]
    pretrain(data, tmp_path / "out", run)
    assert list(shown) == ["samples/step_000004.txt", "samples/step_000006.txt"]
    first, second = shown["samples/step_000006.txt"].split("\n---\n")
    assert first.startswith("how are")
    assert second.startswith("I")


def test_no_sample_prompts(data: Path, tmp_path: Path) -> None:
    pretrain(data, tmp_path / "out", config=replace(PRETRAIN, sample_prompts=()))
    assert (tmp_path / "out" / "model").is_dir()


def test_tokens_of_another_tokenizer(data: Path, tmp_path: Path) -> None:
    BPETokenizer.train(["something else, something else"], 280).save(data / "tokenizer.json")
    with pytest.raises(BadInput, match="another tokenizer"):
        pretrain(data, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@torch.no_grad()
@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_a_published_model_is_taken_over_and_measured(kind: str, data: Path, tmp_path: Path) -> None:
    reference = random_llama() if kind == "llama" else random_gpt2()
    save_published(tmp_path / "hf", reference, CHAT if kind == "llama" else None)
    pretrain(data, tmp_path / "out", pretrained=str(tmp_path / "hf"))
    checkpoint = load_checkpoint(tmp_path / "out" / "model")
    assert checkpoint.prompt_style == ("chat_template" if kind == "llama" else None)
    assert list(checkpoint.config.data) == ["model.safetensors"]
    # by hand: what val holds, in the model's own tokens, up to eval_tokens of them
    end = checkpoint.tokenizer.eot_id
    ids, n_bytes = [end], 0
    for messages in read_documents(data / "corpus" / "val.jsonl"):
        if len(ids) - 1 < PRETRAIN.eval_tokens:
            ids += [*checkpoint.tokenizer.encode("\n".join(messages)), end]
            n_bytes += sum(len(message.encode()) for message in messages)
    # rows of the table that are no tokens are left out
    reference.resize_token_embeddings(checkpoint.tokenizer.vocab_size)
    log_p = reference(torch.tensor([ids[:-1]])).logits[0].log_softmax(dim=-1)
    nats = -float(log_p.gather(1, torch.tensor(ids[1:])[:, None]).sum())
    assert read_json(tmp_path / "out" / "metrics.json") == {
        "val": {
            "loss": pytest.approx(nats / (len(ids) - 1), abs=1e-4),
            "bpb": pytest.approx(bits_per_byte(nats, n_bytes), abs=1e-4),
            "bytes": n_bytes,
        },
        "tokens": 0,
        "steps": 0,
        "parameters": sum(p.numel() for p in reference.parameters()),
    }
    assert (tmp_path / "out" / "curve.csv").read_text().startswith("step,val/loss\n0,")
    pretrain(data, tmp_path / "again", pretrained=str(tmp_path / "hf"))
    assert content(tmp_path / "again") == content(tmp_path / "out")


def test_an_encoder_has_no_bits_per_byte(data: Path, tmp_path: Path) -> None:
    save_bert(tmp_path / "hf")
    pretrain(data, tmp_path / "out", pretrained=str(tmp_path / "hf"))
    assert load_checkpoint(tmp_path / "out" / "model").kind == "encoder"
    assert set(read_json(tmp_path / "out" / "metrics.json")) == {"tokens", "steps", "parameters"}
    assert (tmp_path / "out" / "curve.csv").read_text() == "step\n0\n"


def test_an_unknown_published_model(data: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="pretrained is gpt-2, which is neither a known model nor here"):
        pretrain(data, tmp_path / "out", pretrained="gpt-2")
    assert not (tmp_path / "out").exists()
