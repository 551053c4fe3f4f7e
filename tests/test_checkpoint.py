import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from groundup.checkpoint import fingerprint, load_checkpoint, save_checkpoint
from groundup.errors import BadInput
from groundup.nn.classifier import SequenceClassifier
from groundup.nn.config import LoRAConfig
from groundup.nn.decoder import Decoder
from groundup.nn.lora import adapter_weights, add_adapters
from groundup.nn.trainable import freeze_all_but
from groundup.tokenizers.bpe import BPETokenizer
from tests.tiny import random_decoder, random_encoder, random_encoder_decoder


@pytest.fixture(scope="module")
def tokenizer() -> BPETokenizer:
    return BPETokenizer.train(["low low lower"], 259)


def decoder(tokenizer: BPETokenizer, preset: str = "modern") -> Decoder:
    return random_decoder(preset, vocab_size=tokenizer.vocab_size)


@pytest.fixture
def folder(tokenizer: BPETokenizer, tmp_path: Path) -> Path:
    save_checkpoint(tmp_path / "model", decoder(tokenizer), tokenizer)
    return tmp_path / "model"


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("preset", ["gpt2", "modern"])
@torch.no_grad()
def test_a_decoder_is_restored_bit_for_bit(tokenizer: BPETokenizer, tmp_path: Path, preset: str) -> None:
    model = decoder(tokenizer, preset)
    facts: dict[str, Any] = {"prompt_style": "alpaca", "params": {"a": {"b": [1, 0.5]}}, "data": {"x": "ff"}}
    save_checkpoint(tmp_path / "model", model, tokenizer, **facts)
    found = load_checkpoint(tmp_path / "model")
    idx = torch.randint(259, (2, 7))
    assert torch.equal(found.model.logits(found.model(idx)), model.logits(model(idx)))
    assert (found.kind, found.prompt_style, found.config.model) == ("decoder", "alpaca", model.config)
    assert (found.config.params, found.config.data) == (facts["params"], facts["data"])
    assert found.tokenizer.fingerprint == tokenizer.fingerprint
    assert not found.model.training


@torch.no_grad()
def test_a_classifier_is_restored_bit_for_bit(tokenizer: BPETokenizer, tmp_path: Path) -> None:
    model = SequenceClassifier(decoder(tokenizer, "gpt2"), 2, "mean").eval()
    nn.init.normal_(model.score.weight)
    save_checkpoint(tmp_path / "model", model, tokenizer, labels=("ham", "spam"))
    found = load_checkpoint(tmp_path / "model")
    idx, lengths = torch.randint(259, (2, 7)), torch.tensor([3, 7])
    assert torch.equal(found.model(idx, lengths), model(idx, lengths))
    assert (found.kind, found.config.labels, found.config.pooling) == ("classifier", ("ham", "spam"), "mean")


@torch.no_grad()
def test_an_encoder_and_its_classifier_are_restored_bit_for_bit(
    tokenizer: BPETokenizer, tmp_path: Path
) -> None:
    model = random_encoder("bert", vocab_size=tokenizer.vocab_size)
    classifier = SequenceClassifier(model, 2, "first").eval()
    nn.init.normal_(classifier.score.weight)
    save_checkpoint(tmp_path / "encoder", model, tokenizer)
    save_checkpoint(tmp_path / "classifier", classifier, tokenizer, labels=("ham", "spam"))
    idx, lengths = torch.randint(259, (2, 7)), torch.tensor([3, 7])
    found = load_checkpoint(tmp_path / "encoder", kind="encoder")
    assert torch.equal(found.model.logits(found.model(idx, lengths)), model.logits(model(idx, lengths)))
    found = load_checkpoint(tmp_path / "classifier", kind="classifier")
    assert torch.equal(found.model(idx, lengths), classifier(idx, lengths))


@torch.no_grad()
def test_an_encoder_decoder_is_restored_bit_for_bit_with_one_token_table(
    tokenizer: BPETokenizer, tmp_path: Path
) -> None:
    model = random_encoder_decoder("transformer", vocab_size=tokenizer.vocab_size)
    save_checkpoint(tmp_path / "model", model, tokenizer)
    tables = [
        n
        for n in load_file(tmp_path / "model/model.safetensors")
        if n.endswith(("wte.weight", "head.weight"))
    ]
    assert len(tables) == 1
    found = load_checkpoint(tmp_path / "model").model
    source, lengths, idx = torch.randint(259, (2, 6)), torch.tensor([6, 2]), torch.randint(259, (2, 4))
    assert torch.equal(found.logits(found(source, lengths, idx)), model.logits(model(source, lengths, idx)))
    assert found.encoder.wte.weight is found.decoder.wte.weight is found.decoder.lm_head.weight


def test_a_model_of_another_kind_is_an_error(folder: Path) -> None:
    with pytest.raises(BadInput, match=r"holds a decoder \(language model\); expected an encoder-decoder"):
        load_checkpoint(folder, kind="encoder_decoder")


def test_equal_models_give_equal_bytes_and_replace_an_older_checkpoint(
    tokenizer: BPETokenizer, folder: Path
) -> None:
    before = content(folder)
    assert before.keys() == {"model.safetensors", "config.json", "tokenizer.json"}
    save_checkpoint(folder, random_decoder("gpt2", vocab_size=259), tokenizer)
    assert content(folder) != before
    save_checkpoint(folder, decoder(tokenizer), tokenizer)
    assert content(folder) == before
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_tied_weights_are_stored_once(tokenizer: BPETokenizer, tmp_path: Path) -> None:
    for name, model in (
        ("decoder", decoder(tokenizer, "gpt2")),
        ("classifier", SequenceClassifier(decoder(tokenizer, "gpt2"), 2, "last")),
    ):
        facts = {"labels": ("a", "b")} if name == "classifier" else {}
        save_checkpoint(tmp_path / name, model, tokenizer, **facts)
        stored = load_file(tmp_path / name / "model.safetensors")
        assert sum(t.numel() for t in stored.values()) == sum(p.numel() for p in model.parameters())
        loaded = load_checkpoint(tmp_path / name).model
        loaded = getattr(loaded, "trunk", loaded)
        assert loaded.lm_head.weight is loaded.wte.weight


@pytest.mark.parametrize("cut", [0, 4, 100, -1])
def test_refuses_truncated_weights(folder: Path, cut: int) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(BadInput, match=r"model\.safetensors is damaged .*`dvc checkout --force "):
        load_checkpoint(folder)


def test_refuses_values_that_are_no_weights(folder: Path) -> None:
    sound = load_file(folder / "model.safetensors")
    for wrong, words in (
        (sound["wte.weight"].to(torch.int8), "is int8 instead of float32"),
        (sound["wte.weight"] / 0, "values that are infinite or not a number"),
    ):
        save_file(sound | {"wte.weight": wrong}, folder / "model.safetensors")
        with pytest.raises(
            BadInput, match=rf"model\.safetensors: wte\.weight .*{words}; expected the weights"
        ):
            load_checkpoint(folder)


def test_names_every_tensor_that_does_not_match(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["h.1.mlp.c_fc.weight"], weights["lm_head.weight"]
    weights["h.5.mlp.c_fc.weight"] = torch.zeros(1)
    weights["wte.weight"] = torch.zeros(3, 16)
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(BadInput) as caught:
        load_checkpoint(folder)
    for words in (
        "missing h.1.mlp.c_fc.weight",
        "missing lm_head.weight",
        "unexpected h.5.mlp.c_fc.weight",
        "wte.weight is (3, 16) instead of (259, 16)",
    ):
        assert words in str(caught.value)


def test_refuses_another_tokenizer(folder: Path) -> None:
    BPETokenizer.train(["other words, other words"], 259).save(folder / "tokenizer.json")
    with pytest.raises(BadInput, match="the tokenizer has fingerprint"):
        load_checkpoint(folder)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kind": "rnn"}, "kind: Input should be 'decoder', 'encoder', 'encoder_decoder' or 'classifier'"),
        ({"kind": "encoder"}, "an encoder sees both sides, but causal is true"),
        ({"format_version": 1}, "format_version: Input should be 2"),
        ({"colour": "red"}, "colour: Unexpected keyword argument"),
        ({"model": {"n_layer": 1}}, "model.vocab_size: Field required"),
    ],
)
def test_refuses_a_config_that_does_not_describe_a_checkpoint(
    folder: Path, changes: dict[str, Any], words: str
) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(BadInput) as caught:
        load_checkpoint(folder)
    assert words in str(caught.value)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_refuses_a_folder_that_lacks_a_file(folder: Path, name: str) -> None:
    with pytest.raises(BadInput, match=f"{name} is a file; expected the folder of a checkpoint"):
        load_checkpoint(folder / name)
    (folder / name).unlink()
    with pytest.raises(BadInput, match=f"has no {name}"):
        load_checkpoint(folder)


def test_refuses_a_config_that_is_not_json(folder: Path) -> None:
    (folder / "config.json").write_bytes(b"\xff{")
    with pytest.raises(BadInput, match=r"config.json does not describe a checkpoint"):
        load_checkpoint(folder)


def test_fingerprint_is_sha256(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")  # the example of FIPS 180-2, appendix B.1
    assert (
        fingerprint(tmp_path / "file") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )


LORA = LoRAConfig(rank=2, alpha=4.0, dropout=0.0, targets=("c_attn", "c_fc"))


def adapted(folder: Path, tokenizer: BPETokenizer) -> Decoder:
    """Save a base model and a model with non-zero adapters on it; return the latter."""
    torch.manual_seed(0)
    model = decoder(tokenizer)
    save_checkpoint(folder / "base", model, tokenizer)
    add_adapters(model, LORA)
    with torch.no_grad():
        for tensor in adapter_weights(model).values():
            tensor.normal_()
    save_checkpoint(folder / "adapted", model, tokenizer, base=folder / "base", lora=LORA)
    return model


@torch.no_grad()
def test_adapters_are_saved_alone_and_restored_merged(tokenizer: BPETokenizer, tmp_path: Path) -> None:
    model = adapted(tmp_path, tokenizer)
    assert load_file(tmp_path / "adapted/model.safetensors").keys() == adapter_weights(model).keys()
    idx = torch.randint(259, (2, 7))
    expected = model.logits(model(idx))
    found = load_checkpoint(tmp_path / "adapted")
    assert found.config.base is not None and found.config.base.folder == "../base"
    assert all(p.requires_grad for p in found.model.parameters())  # as in any other checkpoint
    torch.testing.assert_close(found.model.logits(found.model(idx)), expected, rtol=1e-4, atol=1e-5)
    (tmp_path / "base").rename(tmp_path / "elsewhere")
    moved = load_checkpoint(tmp_path / "adapted", base=tmp_path / "elsewhere")
    assert torch.equal(moved.model.wte.weight, found.model.wte.weight)


@torch.no_grad()
@pytest.mark.parametrize("labels", [(), ("ham", "spam")])
def test_adapters_on_a_padded_base(labels: tuple[str, ...], tokenizer: BPETokenizer, tmp_path: Path) -> None:
    """The config of an older checkpoint counts the padding rows of the token table."""
    trunk = random_decoder("modern", vocab_size=tokenizer.vocab_size + 5, ngram_rows=0)
    save_checkpoint(tmp_path / "base", trunk, tokenizer)
    add_adapters(trunk, LORA)
    for tensor in adapter_weights(trunk).values():
        tensor.normal_()
    model = SequenceClassifier(trunk, 2, "max").eval() if labels else trunk
    save_checkpoint(tmp_path / "adapted", model, tokenizer, base=tmp_path / "base", lora=LORA, labels=labels)
    idx = torch.randint(tokenizer.vocab_size, (2, 7))
    found = load_checkpoint(tmp_path / "adapted")
    assert found.config.model.vocab_size == tokenizer.vocab_size
    if labels:
        ours, expected = found.model(idx, torch.tensor([7, 4])), model(idx, torch.tensor([7, 4]))
    else:
        ours, expected = found.model.logits(found.model(idx)), trunk.logits(trunk(idx))[..., :-5]
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_translation_models_lose_their_padding(tokenizer: BPETokenizer, tmp_path: Path) -> None:
    model = random_encoder_decoder(vocab_size=tokenizer.vocab_size + 5)
    save_checkpoint(tmp_path / "model", model, tokenizer)
    found = load_checkpoint(tmp_path / "model").model
    assert found.encoder.wte is found.decoder.wte
    source, target = torch.randint(tokenizer.vocab_size, (2, 2, 7))
    lengths = torch.tensor([7, 4])
    ours, expected = (each.logits(each(source, lengths, target)) for each in (found, model))
    torch.testing.assert_close(ours, expected[..., :-5])


@torch.no_grad()
def test_adapters_on_an_adapted_model(tokenizer: BPETokenizer, tmp_path: Path) -> None:
    adapted(tmp_path, tokenizer)
    model = load_checkpoint(tmp_path / "adapted").model
    add_adapters(model, LORA)
    adapter_weights(model)["h.1.mlp.c_fc.lora_b"].normal_()
    save_checkpoint(tmp_path / "twice", model, tokenizer, base=tmp_path / "adapted", lora=LORA)
    idx = torch.randint(259, (2, 7))
    found = load_checkpoint(tmp_path / "twice").model
    torch.testing.assert_close(found.logits(found(idx)), model.logits(model(idx)), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_classifier_on_a_frozen_base_stores_only_what_was_trained(
    tokenizer: BPETokenizer, tmp_path: Path
) -> None:
    trunk = decoder(tokenizer)
    save_checkpoint(tmp_path / "base", trunk, tokenizer)
    model = SequenceClassifier(trunk, 2, "max").eval()
    freeze_all_but(trunk, 1, None)
    nn.init.normal_(model.score.weight)
    nn.init.normal_(trunk.h[1].mlp.c_proj.weight)
    save_checkpoint(tmp_path / "model", model, tokenizer, base=tmp_path / "base", labels=("ham", "spam"))
    names = load_file(tmp_path / "model/model.safetensors").keys()
    assert all(name.startswith(("trunk.h.1.", "trunk.ln_f.", "score.")) for name in names)
    found = load_checkpoint(tmp_path / "model").model
    idx, lengths = torch.randint(259, (2, 7)), torch.tensor([3, 7])
    assert torch.equal(found(idx, lengths), model(idx, lengths))


def test_adapters_without_their_base_are_an_error(tokenizer: BPETokenizer, tmp_path: Path) -> None:
    adapted(tmp_path, tokenizer)
    save_checkpoint(tmp_path / "base", random_decoder("modern", 7, vocab_size=259), tokenizer)
    with pytest.raises(BadInput, match=r"trained on a model with fingerprint .{12}; .*base holds"):
        load_checkpoint(tmp_path / "adapted")
    shutil.rmtree(tmp_path / "base")
    with pytest.raises(BadInput, match=r"trained on the model in .*base, which does not exist"):
        load_checkpoint(tmp_path / "adapted")


def test_refuses_a_head_with_an_unexpected_bias(tokenizer: BPETokenizer, tmp_path: Path) -> None:
    """With pooling `last`, the head of a decoder without biases has none."""
    model = SequenceClassifier(decoder(tokenizer), 2, "last")
    model.score = nn.Linear(16, 2)
    save_checkpoint(tmp_path / "model", model, tokenizer, labels=("ham", "spam"))
    with pytest.raises(BadInput, match=r"unexpected score\.bias; .* train or import it again"):
        load_checkpoint(tmp_path / "model")


def test_a_missing_adapter_is_named(tokenizer: BPETokenizer, tmp_path: Path) -> None:
    adapted(tmp_path, tokenizer)
    weights = load_file(tmp_path / "adapted/model.safetensors")
    weights.pop("h.0.attn.c_attn.lora_a")
    save_file(weights, tmp_path / "adapted/model.safetensors")
    with pytest.raises(BadInput, match=r"missing h\.0\.attn\.c_attn\.lora_a"):
        load_checkpoint(tmp_path / "adapted")


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ({"n_layer": 10**9}, "tensors for the 1000000000 layers"),
        ({"n_embd": 10**9}, "a size that no model has"),
        ({"n_embd": 10**5}, "weights do not match"),
        ({"ngram_rows": 10**12}, "weights do not match"),
        ({"context_length": 10**9, "position": "rotary"}, "expected at most 16777216"),
        ({"n_layer": "1"}, r"model\.n_layer: Input should be a valid integer"),
    ],
)
def test_refuses_a_config_of_huge_size_before_it_takes_memory(
    folder: Path, size: dict[str, Any], message: str
) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["model"] |= size
    (folder / "config.json").write_text(json.dumps(config))
    before = torch.get_rng_state()
    with pytest.raises(BadInput, match=message):
        load_checkpoint(folder)
    assert torch.equal(torch.get_rng_state(), before)


def test_refuses_a_base_that_leads_back(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "other")
    weights = fingerprint(folder / "model.safetensors")
    for one, base in (("model", "../other"), ("other", "../model")):
        config = json.loads((tmp_path / one / "config.json").read_text())
        config["base"] = {"folder": base, "weights": weights}
        (tmp_path / one / "config.json").write_text(json.dumps(config))
    with pytest.raises(BadInput, match="leads back to itself"):
        load_checkpoint(folder)


def test_refuses_an_adapter_of_huge_rank_before_it_takes_memory(
    tokenizer: BPETokenizer, tmp_path: Path
) -> None:
    save_checkpoint(tmp_path / "base", decoder(tokenizer, "gpt2"), tokenizer)
    model, lora = load_checkpoint(tmp_path / "base").model, LoRAConfig(2, 4.0, 0.0, ("c_attn",))
    add_adapters(model, lora)
    save_checkpoint(tmp_path / "lora", model, tokenizer, base=tmp_path / "base", lora=lora)
    assert load_checkpoint(tmp_path / "lora").config.lora == lora
    config = json.loads((tmp_path / "lora" / "config.json").read_text())
    config["lora"]["rank"] = 10**12
    (tmp_path / "lora" / "config.json").write_text(json.dumps(config))
    with pytest.raises(BadInput, match="no adapter of the rank 1000000000000"):
        load_checkpoint(tmp_path / "lora")
