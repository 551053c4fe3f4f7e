from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from groundup.nn.decoder import Decoder
from groundup.nn.encoder import Encoder
from groundup.tasks import frozen_features as trunk_features
from groundup.tasks.classification import finetune, make_classifier, predict, training_batches
from groundup.tasks.frozen_features import compute_features, fixed_blocks
from groundup.training.config import ComputeConfig, SpamTrainingConfig
from groundup.training.loop import fit
from groundup.training.objectives import classification
from tests import tiny
from tests.tiny import CPU, random_decoder, random_encoder, training_config

# not AdamW: the gradient of the keys' bias is only rounding, which AdamW would scale up to full steps
SGD = replace(tiny.SGD, max_lr=0.1, weight_decay=0.0)
CONFIG = SpamTrainingConfig(
    seeds=(1,),
    pooling="max",
    trainable_blocks=1,
    lora=None,
    class_weights="none",
    token_dropout=0.0,
    training=training_config(max_steps=8, batch_size=3, grad_accum_steps=2, optimizer=SGD),
)
IDS = [torch.randint(11, (n,), generator=torch.Generator().manual_seed(n)).tolist() for n in range(1, 13)]
LABELS = ["ham", "spam", "ham"] * 4


def without_cache(trunk: Decoder | Encoder, config: SpamTrainingConfig) -> dict[str, Tensor]:
    torch.manual_seed(5)
    model = make_classifier(trunk, config)
    batches = training_batches(IDS, LABELS, config.training, 5)
    fit(model, classification, batches, config.training, CPU, seed=5, log=lambda metrics, step: None)
    return model.state_dict()


@pytest.mark.parametrize("trainable", [0, 1, 2])
@pytest.mark.parametrize("preset", ["gpt2", "modern", "llama", "bert"])
def test_cached_features_give_the_same_weights(preset: str, trainable: int) -> None:
    def trunk() -> Decoder | Encoder:
        return random_encoder(preset) if preset == "bert" else random_decoder(preset)

    config = replace(CONFIG, trainable_blocks=trainable)
    cached, read = trunk(), []
    cached.wte.register_forward_hook(lambda module, args, output: read.append(len(args[0])))
    blocks = fixed_blocks(cached, config)
    assert blocks == 2 - trainable
    features = compute_features(cached, IDS, blocks, CPU)
    model, _ = finetune(cached, features, LABELS, config, CPU, seed=5, description="", blocks=blocks)
    seen = predict(model, features, blocks=blocks)
    assert sum(read) <= 2 * len(IDS)  # each text once; the token shift asks for embeddings a second time
    torch.testing.assert_close(torch.tensor(seen), torch.tensor(predict(model, IDS)), atol=1e-6, rtol=1e-5)
    start = trunk()
    found = model.state_dict()
    torch.testing.assert_close(found, without_cache(trunk(), config), atol=1e-6, rtol=1e-5)
    moved = {name for name, p in start.named_parameters() if not torch.equal(p, found[f"trunk.{name}"])}
    assert moved == {
        name
        for name, _ in start.named_parameters()
        if "ln_f" in name or name.startswith(("h.0.", "h.1.")[2 - trainable :])
    }


def test_features_are_cached_only_if_they_cannot_change() -> None:
    trunk = random_decoder()
    assert [fixed_blocks(trunk, replace(CONFIG, trainable_blocks=n)) for n in (None, 0, 1, 2)] == [
        None,
        2,
        1,
        0,
    ]
    assert fixed_blocks(trunk, replace(CONFIG, token_dropout=0.1)) is None
    assert fixed_blocks(random_decoder(dropout=0.1), CONFIG) is None


def test_large_features_go_to_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    trunk = random_decoder()
    in_memory = compute_features(trunk, IDS, 1, CPU)
    mapped: list[Any] = []
    original = trunk_features.np.memmap

    def spy(*args: Any, **kwargs: Any) -> Any:
        mapped.append(kwargs["shape"])
        return original(*args, **kwargs)

    monkeypatch.setattr(trunk_features, "MEMORY", 4 * 16 * sum(range(1, 13)) - 1)
    monkeypatch.setattr(trunk_features.np, "memmap", spy)
    in_file = compute_features(trunk, IDS, 1, CPU)
    assert mapped == [(sum(range(1, 13)), 16)]
    for a, b, ids in zip(in_memory, in_file, IDS, strict=True):
        assert torch.equal(a, b)
        torch.testing.assert_close(a, trunk.below(torch.tensor([ids]), 1)[0], atol=1e-5, rtol=1e-5)


def test_features_have_the_precision_of_the_training() -> None:
    trunk = random_decoder("gpt2")
    bf16 = ComputeConfig(device="cpu", dtype="bfloat16", threads=1, compile=False)
    found = compute_features(trunk, IDS, 1, bf16)[-1]
    exact = compute_features(trunk, IDS, 1, CPU)[-1]
    assert found.dtype == torch.float32
    assert not torch.equal(found, exact)
    assert nn.functional.cosine_similarity(found.flatten(), exact.flatten(), dim=0) > 0.999
