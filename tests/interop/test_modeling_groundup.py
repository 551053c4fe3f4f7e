"""groundup's own class of transformers computes what groundup computes; the oracle is the checkpoint's own model."""

import json
import os
import subprocess
import sys
from dataclasses import asdict, make_dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from groundup.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from groundup.errors import BadInput
from groundup.generation.decoding import generate
from groundup.generation.sampling import Sampling
from groundup.interop.export_huggingface import export_huggingface
from groundup.interop.layouts import own
from groundup.interop.own_config import READ, from_own, not_expressed, to_own
from groundup.interop.published import import_model
from groundup.nn.classifier import SequenceClassifier
from groundup.nn.config import ModelConfig, Pooling, RopeScaling
from groundup.tasks.classification import spam_probabilities
from groundup.tokenizers.bpe import BPETokenizer
from tests.nn.test_decoder import VARIANTS
from tests.tiny import model_config, random_decoder, random_encoder, randomised

SCALED = [
    ("modern", {"rope_scaling": RopeScaling("llama3", 4.0, original_context=16)}),
    ("modern", {"rope_scaling": RopeScaling("yarn", 4.0, original_context=16, attention_factor=1.2)}),
]
SIZES: dict[str, Any] = {"vocab_size": 40, "context_length": 64}
MESSAGES = ["tea and cake", "", "Win £1000 now!!! <|endoftext|> call 0800", "cake\n\n  and 😀" * 9]


def equal(theirs: torch.Tensor, ours: torch.Tensor) -> bool:
    """Equal within a relative error of 1e-5, and of the largest logit where they cancel."""
    return torch.allclose(theirs, ours, rtol=1e-5, atol=1e-5 * float(ours.abs().max()))


def twin(model: Any, **facts: Any) -> Any:
    from groundup.interop.modeling_groundup import GroundupConfig, GroundupForCausalLM

    theirs = GroundupForCausalLM(GroundupConfig(**to_own(model.config), **facts)).eval()
    state = model.state_dict()
    weights = {part: state[name] for name, foreign in own(model).items() for part in foreign.names}
    report = theirs.load_state_dict(weights, strict=False)
    assert (
        report.missing_keys == ["lm_head.weight"] * model.config.tie_embeddings and not report.unexpected_keys
    )
    return theirs


@torch.no_grad()
@pytest.mark.parametrize(("preset", "changes"), [*VARIANTS, *SCALED])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_logits_are_equal_alone_cached_and_padded(
    preset: str, changes: dict[str, Any], attention: str
) -> None:
    from transformers import DynamicCache

    model = random_decoder(preset, **{**SIZES, **changes})
    theirs, idx = twin(model, attn_implementation=attention), torch.randint(40, (3, 40))
    ours = model.logits(model(idx))
    assert equal(theirs(idx).logits, ours)
    # texts of 40, 31 and 22 tokens in one batch, padded on one side, read in pieces with a cache
    lengths = [40, 31, 22]
    alone = [model.logits(model(row[None, :n]))[0] for row, n in zip(idx, lengths, strict=True)]
    for left in (True, False):
        batch, mask = torch.randint(40, (3, 40)), torch.zeros(3, 40, dtype=torch.long)
        for row, n in enumerate(lengths):
            place = slice(40 - n, 40) if left else slice(n)
            batch[row, place], mask[row, place] = idx[row, :n], 1
        whole = theirs(batch, attention_mask=mask, use_cache=False).logits
        cache, parts = (
            (None if left else DynamicCache()),
            [],
        )  # with and without the layers that a config names
        for first, last in ((0, 20), (20, 21), (21, 22), (22, 40)):
            step = theirs(
                batch[:, first:last], attention_mask=mask[:, :last], past_key_values=cache, use_cache=True
            )
            cache = step.past_key_values
            parts.append(step.logits)
        for logits in (whole, torch.cat(parts, dim=1)):
            assert all(
                equal(each[here.bool()], one) for each, here, one in zip(logits, mask, alone, strict=True)
            )


@torch.no_grad()
def test_generation_is_equal_in_a_batch_and_with_every_kind_of_cache() -> None:
    model = random_decoder(**SIZES)
    theirs = twin(model, pad_token_id=0)
    prompts = [torch.randint(1, 40, (n,)).tolist() for n in (3, 9, 6)]
    ours = generate(model, prompts, max_new_tokens=20, sampling=Sampling(), stop_ids=[])
    batch = torch.tensor([[0] * (9 - len(prompt)) + prompt for prompt in prompts])
    asked: dict[str, Any] = {
        "attention_mask": torch.tensor([[0] * (9 - len(prompt)) + [1] * len(prompt) for prompt in prompts]),
        "max_new_tokens": 20,
        "do_sample": False,
    }
    assert theirs.generate(batch, **asked)[:, 9:].tolist() == ours
    for attention in ("sdpa", "eager"):
        theirs.set_attn_implementation(attention)
        fixed = {"cache_implementation": "static", "disable_compile": True}
        assert theirs.generate(batch, **asked, **fixed)[:, 9:].tolist() == ours
    beams = [theirs.generate(batch, **asked, num_beams=3, use_cache=cached) for cached in (True, False)]
    assert torch.equal(*beams)
    # speculation crops the cache, with the tokens in it
    one = theirs.generate(torch.tensor([prompts[1]]), max_new_tokens=20, prompt_lookup_num_tokens=3)
    assert one[0, 9:].tolist() == ours[1]


def test_it_can_be_trained() -> None:
    model = random_decoder(**SIZES)
    theirs, idx = twin(model), torch.randint(40, (2, 16))
    theirs.train().activation_checkpointing_enable()
    loss = theirs(idx, labels=idx).loss
    expected = F.cross_entropy(model.logits(model(idx))[:, :-1].flatten(0, 1), idx[:, 1:].flatten())
    torch.testing.assert_close(loss, expected)
    loss.backward()
    expected.backward()
    for name, [theirs_name] in ((name, foreign.names) for name, foreign in own(model).items()):
        if name != "ngrams.codes":
            gradient = theirs.get_parameter(theirs_name).grad
            torch.testing.assert_close(gradient, model.get_parameter(name).grad, rtol=1e-3, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("pooling", ["last", "mean", "max"])
def test_classifiers_give_equal_probabilities(pooling: Pooling, tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    import groundup.interop.transformers  # noqa: F401

    checkpoint = exported(tmp_path, pooling)
    theirs = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out").eval()
    assert theirs.config.id2label == {0: "ham", 1: "spam"}
    for side in ("left", "right"):
        read = AutoTokenizer.from_pretrained(tmp_path / "out", padding_side=side)
        scores = theirs(**read(MESSAGES, truncation=True, padding=True, return_tensors="pt")).logits
        ours = spam_probabilities(checkpoint, MESSAGES)
        assert scores.softmax(dim=1)[:, 1].tolist() == pytest.approx(ours, abs=1e-6)


def exported(folder: Path, pooling: Pooling | None = None) -> Checkpoint:
    """The preset modern as an export in folder/out, and as the checkpoint that it came from."""
    tokenizer = BPETokenizer.train(["tea and cake and tea, 12 cakes", "the cat's mat and the hat"] * 2, 290)
    model: Any = random_decoder(vocab_size=tokenizer.vocab_size, context_length=64)
    facts = {"labels": ("ham", "spam")} if pooling else {"prompt_style": "alpaca_short"}
    if pooling:
        model = randomised(SequenceClassifier(model, 2, pooling), seed=1)
    save_checkpoint(folder / "ours", model, tokenizer, **facts)
    checkpoint = load_checkpoint(folder / "ours")
    export_huggingface(checkpoint, folder / "out")
    return checkpoint


@torch.no_grad()
def test_the_folder_is_enough_where_groundup_is_not_installed(tmp_path: Path) -> None:
    """Another process, in which groundup cannot be imported, runs the code of the folder."""
    checkpoint = exported(tmp_path)
    code = f"""
import json, sys
sys.modules["groundup"] = None
from transformers import AutoModelForCausalLM, AutoTokenizer
folder = {str(tmp_path / "out")!r}
read = AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
model = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True)
asked = [{{"role": "user", "content": "tea"}}]
inputs = read.apply_chat_template(asked, add_generation_prompt=True, return_dict=True, return_tensors="pt")
new = model.generate(**inputs, max_new_tokens=12)[0, inputs["input_ids"].shape[1]:]
model.save_pretrained({str(tmp_path / "again")!r})
print(json.dumps(new.tolist()))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": "", "HF_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    [prompt] = checkpoint.prompter().prompts([("tea", "")])
    [ours] = generate(
        checkpoint.model, [prompt], max_new_tokens=12, sampling=Sampling(), stop_ids=checkpoint.stop_ids
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert found[: len(ours)] == ours and len(found) - len(ours) <= 1  # the stop token
    assert (tmp_path / "again" / "modeling_groundup.py").is_file()
    assert from_own(json.loads((tmp_path / "again" / "config.json").read_text()), "again") == replace(
        checkpoint.config.model, n_inner=checkpoint.config.model.hidden
    )


@pytest.mark.parametrize("pooling", [None, "max"])
def test_it_comes_back_bit_for_bit_without_its_code(pooling: Pooling | None, tmp_path: Path) -> None:
    checkpoint = exported(tmp_path, pooling)
    (tmp_path / "out" / "modeling_groundup.py").write_text("raise SystemExit('this code was run')")
    import_model(tmp_path / "out", tmp_path / "back")
    back = load_checkpoint(tmp_path / "back")
    ours, theirs = checkpoint.model.state_dict(), back.model.state_dict()
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert replace(back.config.model, n_inner=None) == checkpoint.config.model
    assert (back.config.labels, back.config.pooling) == (checkpoint.config.labels, checkpoint.config.pooling)
    assert back.tokenizer.fingerprint == checkpoint.tokenizer.fingerprint
    if pooling is None:
        assert back.prompter().prompts([("tea", "")]) == checkpoint.prompter().prompts([("tea", "")])


def test_a_damaged_folder_is_refused_with_the_reason(tmp_path: Path) -> None:
    exported(tmp_path, "max")
    config, weights = tmp_path / "out" / "config.json", tmp_path / "out" / "model.safetensors"
    good, tensors = json.loads(config.read_text()), load_file(weights)
    for change, words in (
        ({"pooling": "median"}, "has the pooling 'median' and 2 labels for 2 scores"),
        ({"id2label": {"0": "ham"}}, "and 1 labels for 2 scores"),
        ({"norm": "batchnorm"}, "norm"),
        ({"n_head": None}, "n_head"),
        ({"n_layer": str(good["n_layer"])}, "n_layer: Input should be a valid integer"),
        ({"ngram_rows": 7}, "transformer.ngrams.codes is"),
    ):
        config.write_text(json.dumps({**good, **change}))
        with pytest.raises(BadInput, match=words):
            import_model(tmp_path / "out", tmp_path / "back")
    config.write_text(json.dumps(good))
    for name, tensor in (("ngrams.codes", torch.zeros(300)), ("wte.weight", torch.zeros(290, 16).long())):
        save_file({**tensors, f"transformer.{name}": tensor}, weights)
        with pytest.raises(BadInput, match=f"stores transformer.{name} as"):
            import_model(tmp_path / "out", tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_every_field_is_read_or_refused() -> None:
    from groundup.interop.modeling_groundup import GroundupConfig

    theirs = GroundupConfig.__annotations__
    assert theirs.keys() >= READ and {"tie_word_embeddings", "rope_parameters"} <= theirs.keys()
    for preset, changes in [*VARIANTS, *SCALED]:
        config = model_config(preset, **changes)
        assert not_expressed(config) == []
        assert from_own(to_own(config), "config.json") == replace(config, n_inner=config.hidden)
    assert not_expressed(random_encoder().config) == ["causal"]
    tomorrow = make_dataclass(
        "Tomorrow", [("softcap", float | None, None)], bases=(ModelConfig,), frozen=True
    )
    values = asdict(model_config())
    assert not_expressed(tomorrow(**values)) == []
    assert not_expressed(tomorrow(**values, softcap=30.0)) == ["softcap"]
