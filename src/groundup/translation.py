"""The encoder-decoder as a translator: pairs as token ids, batches to learn from, and translating.

The source is read with the end-of-text token behind it. The target begins with that token, as a sign to start, and
ends with it.
"""

from collections.abc import Callable, Mapping, Sequence

import torch

from groundup.datasets.batching import pad, sorted_batches
from groundup.nn.encoder_decoder import EncoderDecoder
from groundup.objectives import IGNORE_INDEX, TranslationBatch, sequence_to_sequence
from groundup.recipes import TrainingConfig
from groundup.tokenizers.loading import Tokenizer

Ids = list[int]


def encode_pairs(tokenizer: Tokenizer, pairs: Sequence[Mapping[str, str]]) -> list[tuple[Ids, Ids]]:
    """Source and target of each pair (rows with source and target), each with its end-of-text token."""
    sides = [tokenizer.encode_batch([pair[side] for pair in pairs]) for side in ("source", "target")]
    end = [tokenizer.eot_id]
    return [(source + end, target + end) for source, target in zip(*sides, strict=True)]


def translation_batch(pairs: Sequence[tuple[Ids, Ids]]) -> TranslationBatch:
    """Encoded pairs, padded on the right; what the decoder reads is the target moved by one, behind its end token."""
    sources, targets = zip(*pairs, strict=True)
    return TranslationBatch(
        source=pad(sources, 0),
        source_lengths=torch.tensor([len(source) for source in sources]),
        idx=pad([[target[-1], *target[:-1]] for target in targets], 0),
        targets=pad(targets, IGNORE_INDEX),
    )


def translation_batches(
    pairs: Sequence[tuple[Ids, Ids]], training: TrainingConfig, seed: int
) -> Callable[[int], list[TranslationBatch]]:
    """Seeded batches of encoded pairs, sorted by length inside a step."""
    return sorted_batches(
        [len(source) + len(target) for source, target in pairs],
        lambda chosen: translation_batch([pairs[i] for i in chosen]),
        training.batch_size,
        training.grad_accum_steps,
        seed,
    )


@torch.inference_mode()
def translation_loss(model: EncoderDecoder, pairs: Sequence[tuple[Ids, Ids]], batch_size: int) -> float:
    """Mean loss over all tokens of the targets, in nats per token, without smoothing."""
    device = model.decoder.wte.weight.device
    order = sorted(pairs, key=lambda pair: len(pair[0]) + len(pair[1]))
    nats = count = 0.0
    for start in range(0, len(order), batch_size):
        batch = translation_batch(order[start : start + batch_size]).to(device)
        loss, terms = sequence_to_sequence(model, batch)
        nats, count = nats + float(loss), count + float(terms)
    return nats / count
