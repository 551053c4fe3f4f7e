import math
from pathlib import Path
from typing import Any

import pytest
import torch

from groundup.checkpoint import Checkpoint, load_checkpoint
from groundup.errors import BadInput
from groundup.evaluation.log_likelihood import log_likelihoods
from groundup.interop.published import import_model
from tests.interop.published_models import random_gpt2, save_published

PAIRS = [
    ("low lower", " lowest"),
    ("low ", "newer"),  # the space belongs to the continuation
    ("", "wider low"),
    ("low " * 300, "lowest"),  # the beginning is not read
    ("new\n", "er"),
]
LONG = "newest wider lower low naïve " * 40


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


def test_a_continuation_needs_a_token(both: tuple[Checkpoint, Any, Any]) -> None:
    with pytest.raises(BadInput, match="no token of its own"):
        log_likelihoods(both[0].model, both[0].tokenizer, [("low", "lower"), ("low", "")])
