import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from groundup.checkpoint import Checkpoint, load_checkpoint
from groundup.errors import BadInput
from groundup.evaluation.language_model import (
    bits_of_texts,
    bits_per_byte,
    log_likelihoods,
    nats_of_texts,
    total_nats,
)
from groundup.evaluation.metrics import Bootstrap
from groundup.interop.published import import_model
from groundup.nn.decoder import Decoder
from groundup.tokenizers.bpe import BPETokenizer
from groundup.training.objectives import IGNORE_INDEX, Batch
from tests.interop.published_models import random_gpt2, save_published
from tests.tiny import model_config, random_decoder

EOT = 10
PAIRS = [
    ("low lower", " lowest"),
    ("low ", "newer"),  # the space belongs to the continuation
    ("", "wider low"),
    ("low " * 300, "lowest"),  # the beginning is not read
    ("new\n", "er"),
]
LONG = "newest wider lower low naïve " * 40


@pytest.mark.parametrize("n", [1, 11, 12, 13, 40])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_equals_token_by_token(n: int, batch_size: int) -> None:
    model = random_decoder()
    ids = np.random.default_rng(n).integers(10, size=n).astype(np.uint16)
    expected = 0.0
    for i in range(n):
        first = i // 12 * 12  # start of this window
        known = [EOT if first == 0 else int(ids[first - 1]), *ids[first:i].tolist()]
        with torch.no_grad():
            log_p = model.logits(model(torch.tensor([known])))[0, -1].log_softmax(dim=-1)
        expected -= float(log_p[int(ids[i])])
    assert total_nats(model, ids, EOT, batch_size) == pytest.approx(expected, rel=1e-5)


def test_scores_every_token_once(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def spy(model: Decoder, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        real = batch.targets[batch.targets != IGNORE_INDEX]
        seen.extend(real.tolist())
        return torch.tensor(0.0), torch.tensor(len(real))

    monkeypatch.setattr("groundup.evaluation.language_model.causal_lm", spy)
    ids = np.arange(100, dtype=np.uint16)
    total_nats(random_decoder(), ids, EOT, batch_size=2)
    assert seen == list(range(100))


def test_a_uniform_model_needs_log_of_the_vocabulary_size() -> None:
    nats = total_nats(Decoder(model_config()).eval(), np.zeros(30, dtype=np.uint16), EOT)
    assert nats == pytest.approx(30 * math.log(11), rel=1e-5)


def test_bits_per_byte_by_hand() -> None:
    # "naïve" has five characters and six bytes; a uniform guess over 256 values costs eight bits each.
    assert bits_per_byte(6 * math.log(256), len("naïve".encode())) == pytest.approx(8.0)
    assert bits_per_byte(math.log(2), 4) == pytest.approx(0.25)


@torch.no_grad()
@pytest.mark.parametrize("begin", ["<|begin|>", "<|endoftext|>"])
def test_a_prefix_token_is_read_but_not_scored(begin: str) -> None:
    """A text by itself is read as transformers reads it; two texts in one window are read as one row."""
    special = {"<|endoftext|>": 259, "<|begin|>": 258}
    ranks = BPETokenizer.train(["low low lower"], 259).ranks
    tokenizer = BPETokenizer(ranks, "gpt2", special, begin=begin)
    model, texts = random_decoder(vocab_size=260, ngram_rows=0, ngram_orders=()), ["low lower", "lowest"]
    for text in texts:
        row = torch.tensor([[special[begin], *tokenizer.encode(text), 259]])
        expected = torch.nn.functional.cross_entropy(
            model.logits(model(row[:, :-1]))[0], row[0, 1:], reduction="sum"
        )
        assert nats_of_texts(model, tokenizer, [text], window=12) == pytest.approx(float(expected), rel=1e-5)
    between = [259] if begin == "<|endoftext|>" else [259, 258]
    both = [special[begin], *tokenizer.encode(texts[0]), *between, *tokenizer.encode(texts[1]), 259]
    log_p = model.logits(model(torch.tensor([both[:-1]])))[0].log_softmax(dim=-1)
    scored = [n for n, i in enumerate(both[1:]) if i != 258]
    expected = -sum(log_p[n, both[n + 1]] for n in scored)
    model.config = replace(model.config, context_length=64)
    assert nats_of_texts(model, tokenizer, texts, window=64) == pytest.approx(float(expected), rel=1e-5)


def test_texts_are_read_as_the_shards_hold_them() -> None:
    tokenizer = BPETokenizer.train(["low low lower"], 259)
    model, texts = random_decoder(vocab_size=259), ["low lower", "lowest"]
    ids = np.array([i for text in texts for i in (*tokenizer.encode(text), tokenizer.eot_id)])
    assert nats_of_texts(model, tokenizer, texts, window=12) == total_nats(model, ids, tokenizer.eot_id)
    # a shorter window sees less, but each token is still scored once
    short = sum(
        total_nats(model, ids[i : i + 4], ids[i - 1] if i else tokenizer.eot_id)
        for i in range(0, len(ids), 4)
    )
    assert nats_of_texts(model, tokenizer, texts, window=4) == pytest.approx(short, rel=1e-5)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Checkpoint, Any, Any]:
    """A random GPT-2, read by groundup and by transformers, with a row of embeddings per token."""
    transformers = pytest.importorskip("transformers")
    from tests.tokenizers.test_published_bpe import reference

    folder: Path = tmp_path_factory.mktemp("gpt2")
    model = random_gpt2()
    model.resize_token_embeddings(reference("gpt2").get_vocab_size())
    save_published(folder / "theirs", model, None)
    import_model(folder / "theirs", folder / "ours")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "theirs")
    tokenizer.bos_token = tokenizer.eos_token  # as in GPT-2
    return load_checkpoint(folder / "ours"), model.eval(), tokenizer


@torch.no_grad()
def test_equals_transformers(both: tuple[Checkpoint, Any, Any]) -> None:
    ours, model, tokenizer = both
    found = log_likelihoods(ours.model, ours.tokenizer, PAIRS, top=2)
    for (context, continuation), one in zip(PAIRS, found, strict=True):
        context, spaces = context.rstrip(), context[len(context.rstrip()) :]
        ids = [*tokenizer(context).input_ids, *tokenizer(spaces + continuation).input_ids]
        given = len(tokenizer(context).input_ids)
        if not given:
            ids, given = [tokenizer.eos_token_id, *ids], 1
        ids, given = ids[-129:], given - max(0, len(ids) - 129)
        logprobs = model(torch.tensor([ids[:-1]])).logits[0, given - 1 :].log_softmax(dim=-1)
        expected = [float(row[token]) for row, token in zip(logprobs, ids[given:], strict=True)]
        assert [token.logprob for token in one.tokens] == pytest.approx(expected, abs=1e-4)
        assert one.total == pytest.approx(sum(expected), abs=1e-4)
        assert [[i for i, _ in t.top] for t in one.tokens] == logprobs.topk(2).indices.tolist()
        assert one.n_bytes == len((spaces + continuation).encode())
        assert one.bits_per_byte == pytest.approx(-one.total / math.log(2) / one.n_bytes)


def test_equals_the_harness(both: tuple[Checkpoint, Any, Any]) -> None:
    harness = pytest.importorskip("lm_eval.models.huggingface")
    from lm_eval.api.instance import Instance

    ours, model, tokenizer = both
    theirs = harness.HFLM(pretrained=model, tokenizer=tokenizer, max_length=128, batch_size=3, device="cpu")
    asked = [Instance("loglikelihood", {}, pair, n) for n, pair in enumerate(PAIRS)]
    found = log_likelihoods(ours.model, ours.tokenizer, PAIRS)
    for (total, is_greedy), one in zip(theirs.loglikelihood(asked, disable_tqdm=True), found, strict=True):
        assert one.total == pytest.approx(total, abs=1e-4) and one.is_greedy == is_greedy
    [rolling] = theirs.loglikelihood_rolling(
        [Instance("loglikelihood_rolling", {}, (LONG,), 0)], disable_tqdm=True
    )
    [one] = log_likelihoods(ours.model, ours.tokenizer, [("", LONG)])
    assert len(one.tokens) > 2 * 128 and one.total == pytest.approx(rolling, rel=1e-6)


def test_bits_of_texts_are_over_all_bytes(both: tuple[Checkpoint, Any, Any]) -> None:
    ours, texts = both[0], ["low lower", "naïve", LONG[:700]]
    found = bits_of_texts(ours.model, ours.tokenizer, texts, Bootstrap(200, 0.95, seed=1))
    each = [log_likelihoods(ours.model, ours.tokenizer, [("", text)])[0] for text in texts]
    n_bytes = sum(len(text.encode()) for text in texts)
    mean = -sum(one.total for one in each) / math.log(2) / n_bytes
    assert found["bits_per_byte"]["mean"] == pytest.approx(mean, abs=1e-5)
    assert (found["texts"], found["bytes"]) == (3, n_bytes)
    lowest, *_, highest = sorted(one.bits_per_byte for one in each)
    assert (
        lowest - 1e-5
        <= found["bits_per_byte"]["low"]
        < mean
        < found["bits_per_byte"]["high"]
        <= highest + 1e-5
    )


def test_a_continuation_needs_a_token(both: tuple[Checkpoint, Any, Any]) -> None:
    with pytest.raises(BadInput, match="no token of its own"):
        log_likelihoods(both[0].model, both[0].tokenizer, [("low", "lower"), ("low", "")])
